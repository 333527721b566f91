"""Spans of time, requests for pages, the rules of paging, and facts learnt from a list."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby, pairwise
from math import floor
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_payments.providers import Listing
    from tap_payments.records.page import Page
    from tap_payments.settings import Settings


class Span(NamedTuple):
    """A span of whole Unix seconds, both ends inclusive; a time with a fraction belongs to the second before it.

    Attributes:
        since: Oldest second; None where the span is open at the bottom.
        until: Newest second; None where it is open at the top.
    """

    since: int | None = None
    until: int | None = None

    def covers(self, time: float) -> bool:
        """Whether a time is in the span."""
        return (self.since is None or self.since <= time) and (self.until is None or floor(time) <= self.until)


WHOLE = Span()


class PageToken(NamedTuple):
    """One request for a page.

    Attributes:
        offset: Records to skip.
        since: Oldest Unix second wanted, inclusive; None is no bound.
        until: Newest Unix second wanted, inclusive; None is no bound.
    """

    offset: int = 0
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True)
class PagingRules:
    """Parameters and limits of a list's paging; the same for all its spans.

    Attributes:
        page_size: Records asked for a page.
        overlap: Records that two neighbouring pages share.
        single_page: Whether the API does not page: its one page is the list.
        check_total: Whether an end that the API's own total contradicts is refused.
        max_offset: The largest offset that the API accepts; None where there is none.
        is_filterable: Whether the list can be asked for a span of time.
        shows_filter_time: Whether records show the time that the API filters by.
        earliest: Unix second below which records are too few to be worth windows of their own.
        started: Unix second of the run's start.
    """

    page_size: int
    overlap: int = 1
    single_page: bool = False
    check_total: bool = True
    max_offset: int | None = None
    is_filterable: bool = False
    shows_filter_time: bool = False
    earliest: int = 0
    started: int = 0

    @classmethod
    def for_list(cls, settings: Settings, listing: Listing, time_field: str, started: int) -> PagingRules:
        """Return the rules of a list.

        Args:
            settings: The settings.
            listing: The list's filter and largest offset.
            time_field: The time that its records show.
            started: Unix second of the run's start.
        """
        return cls(
            settings.page_size,
            overlap=settings.page_overlap,
            single_page=not settings.offset_param,
            check_total=settings.check_total,
            max_offset=listing.max_offset,
            is_filterable=listing.filter_field is not None,
            shows_filter_time=listing.filter_field == time_field,
            earliest=settings.provider.earliest,
            started=started,
        )


@dataclass
class ListFacts:
    """Facts learnt while a list is read; carried from one span of it to the next.

    Attributes:
        full: The length of a full page: the size asked for, or the server's own cap once that is known.
        longest: The length of the longest page.
        longest_group: The largest group of records of one second at the end of a page, of those up to a tenth of it.
        varies: Whether a page that was shorter than another was followed by new records.
        total: The API's own count of the whole list; None where it does not say.
        warnings: Possible losses, to follow the list's name, in the order in which they were noticed.
        notes: Limits that took effect, likewise.
    """

    full: int
    longest: int = 0
    longest_group: int = 0
    varies: bool = False
    total: int | None = None
    # Ordered sets.
    warnings: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def warn(self, warning: str) -> None:
        """Add a warning, once."""
        self.warnings[warning] = None


def second_of(time: float | None) -> int | None:
    """Return the whole second that a time belongs to."""
    return None if time is None else floor(time)


def is_falling(seconds: Sequence[int | None]) -> bool:
    """Whether every second is known, and none is later than the one before it."""
    known = [second for second in seconds if second is not None]
    return len(known) == len(seconds) and all(later <= earlier for earlier, later in pairwise(known))


def group_length(page: Page) -> int:
    """Return how many records at the end of a page share the last one's second, or lack a time as it does."""
    _, group = next(groupby(map(second_of, reversed(page.times))))
    return len(list(group))
