"""The differences between the two payments APIs, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from tests.fake_api import lists

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


# Each list of the API; the filters and largest offsets are ChargeDesk's.
MODULES = {module.name: import_module(f"{lists.__name__}.{module.name}") for module in iter_modules(lists.__path__)}
STREAMS = {name: Stream(module.KEY, module.TIME) for name, module in MODULES.items()}


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
        filters={name: module.FILTER for name, module in MODULES.items()},
        max_offset={name: module.MAX_OFFSET for name, module in MODULES.items()},
    ),
}
