"""What is asked of a list, and what reading it has taught."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import floor
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_payments.records.page import Page

# Largest share of a page that is read twice to keep the distance between pages even, as a divisor.
TIE_SHARE = 10

ORDER_WARNING = (
    "has records of one second that fill a page; if their order changes between requests, some may be missed: raise "
    "`page_size` if the API allows it"
)


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
    """How a list is paged; the same for all spans of it.

    Attributes:
        page_size: Records asked for a page.
        overlap: Records that two neighbouring pages share.
        single_page: Whether the API does not page: its one page is the list.
        check_total: Whether an end that the API's own total contradicts is refused.
        max_offset: The largest offset that the API accepts; None where there is none.
        is_filterable: Whether the list can be asked for a span of time.
        shows_filter_time: Whether records show the time that the API filters by.
        earliest: Unix second below which records are too few to be worth windows of their own.
        now: Unix second of the run's start.
    """

    page_size: int
    overlap: int = 1
    single_page: bool = False
    check_total: bool = True
    max_offset: int | None = None
    is_filterable: bool = False
    shows_filter_time: bool = False
    earliest: int = 0
    now: int = 0


@dataclass
class ListFacts:
    """What reading a list has taught; carried from one span of it to the next.

    Attributes:
        full: The length of a page that may be followed by another: the size asked for, or the server's own cap once
            that is known.
        longest: The length of the longest page.
        ties: The maximum records of one second at the end of a page, as far as they are few.
        varies: Whether a page that was shorter than another was followed by new records.
        slack: Seconds to add to an anchor: 1 where times have fractions, or the filter leaves its upper end out.
        total: The API's own count of the whole list; None where it does not say.
        warnings: What may be missing of the list, to follow its name, in the order in which it was noticed.
        notes: Limits that took effect, likewise.
    """

    full: int
    longest: int = 0
    ties: int = 0
    varies: bool = False
    slack: int = 0
    total: int | None = None
    warnings: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def warn(self, warning: str) -> None:
        """Note what may be missing."""
        self.warnings[warning] = None


class Boundary:
    """The oldest second that a walk has read.

    Attributes:
        second: The second; None before there is one.
        keys: The keys of the records read at it.
        above: Those read at the second above, which an anchor with slack brings back too.
        lowest: The oldest second that was ever read, also where the walk has gone on from above it.
    """

    def __init__(self) -> None:
        self.lowest: int | None = None
        self.forget()

    def forget(self) -> None:
        """Begin anew above what was read."""
        self.second: int | None = None
        self.keys: set[str] = set()
        self.above: set[str] = set()

    def lower(self, page: Page) -> bool:
        """Lower the boundary to the end of a page whose times fall; return whether that is progress."""
        last = second_of(page.times[-1]) or 0
        keys, above = (
            {key for key, time in zip(page.keys, page.times, strict=True) if second_of(time) == second}
            for second in (last, last + 1)
        )
        if self.second is None or last < self.second:
            self.above = above | (self.keys if self.second == last + 1 else set())
            self.second, self.keys = last, keys
            if self.lowest is not None and last >= self.lowest:
                return False
            self.lowest = last
            return True
        if last > self.second or keys <= self.keys:
            return False
        self.keys |= keys
        return True


def second_of(time: float | None) -> int | None:
    """Return the whole second that a time belongs to."""
    return None if time is None else floor(time)


def is_falling(times: Sequence[float | None]) -> bool:
    """Whether every time is known, and none is of a later second than the one before it."""
    known = [floor(time) for time in times if time is not None]
    return len(known) == len(times) and all(later <= earlier for earlier, later in pairwise(known))


def group_length(page: Page) -> int:
    """Return how many records at the end of a page share the last one's second."""
    second = second_of(page.times[-1])
    for length, time in enumerate(reversed(page.times)):
        if second_of(time) != second:
            return length
    return len(page.times)
