"""The lists and the providers of the fake API; tests may count on what `tests/integration/test_fake_api.py` pins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap_payments import providers, streams

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_PAGE = 500
"""The most records any of the APIs puts on one page."""

PAGE_DEFAULTS = {"chargedesk": 20}
"""The number of records on a page when its parameter is missing, where it is not the most."""


@dataclass(frozen=True)
class Stream:
    """One list of the API.

    Attributes:
        key: The field that names a record.
        time: The field a list is sorted by, in Unix seconds.
    """

    key: str
    time: str


@dataclass(frozen=True)
class Provider:
    """The dialect of one API.

    Attributes:
        page_param: The query parameter that asks for a number of records.
        page_default: The number of records on a page when that parameter is missing.
        filters: For each stream, the name before `[min]` and `[max]` in a range filter; no entry, no filter.
        max_offset: For each stream, the largest `offset` that is not answered 400; no entry, no largest one.
    """

    page_param: str
    page_default: int
    filters: Mapping[str, str]
    max_offset: Mapping[str, int]


STREAMS = {name: Stream(stream.primary_keys[0], stream.time_field) for name, stream in streams.STREAMS.items()}
PROVIDERS = {
    name: Provider(
        known.limit_param,
        PAGE_DEFAULTS.get(name, MAX_PAGE),
        {stream: listing.filter_field for stream, listing in known.listings.items() if listing.filter_field},
        {stream: listing.max_offset for stream, listing in known.listings.items() if listing.max_offset},
    )
    for name, known in providers.PROVIDERS.items()
}
