"""The differences between the two payments APIs, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_PAGE = 500
"""The most records any of the APIs puts on one page."""


@dataclass(frozen=True)
class Stream:
    """One list of the API.

    Attributes:
        key: The field that names a record.
        time: The field a list is sorted by, in Unix seconds.
    """

    key: str
    time: str


STREAMS = {
    "charges": Stream("charge_id", "occurred"),
    "products": Stream("product_id", "first_seen"),
    "customers": Stream("customer_id", "first_seen"),
    "subscriptions": Stream("subscription_id", "first_seen"),
}


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
    filters: Mapping[str, str] = field(default_factory=dict)
    max_offset: Mapping[str, int] = field(default_factory=dict)


PROVIDERS = {
    "generic": Provider(page_param="limit", page_default=MAX_PAGE),
    "chargedesk": Provider(
        page_param="count",
        page_default=20,
        filters={
            "charges": "occurred",
            "customers": "first_seen",
            "subscriptions": "created",
            "products": "created",
        },
        max_offset={"charges": 50_000, "customers": 50_000, "subscriptions": 10_000, "products": 10_000},
    ),
}
