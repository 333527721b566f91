"""Keys and times of the pages of a list that were read last: little, however long the list."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from math import floor
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

RECENT_PAGES = 3


class Outline(Protocol):
    """What the paginator needs to know of a page: its records in order, without their contents."""

    @property
    def keys(self) -> Sequence[str]:
        """The records' keys."""

    @property
    def times(self) -> Sequence[float | None]:
        """The records' times in Unix seconds; None where a record has none that can be read."""

    @property
    def filter_times(self) -> Sequence[float | None]:
        """The times by which the API filters the list, likewise."""

    @property
    def total(self) -> int | None:
        """The API's own count of the list's records; None where there is none."""

    @property
    def has_more(self) -> bool:
        """Whether the API announces more records."""


class PageHistory:
    """The keys of the last pages of a list, and the order of its times.

    Attributes:
        pages: The last pages, in the order in which they were read.
        is_ascending: Whether a record was newer than the one before it, which is not so in a list that comes newest
            first.
    """

    def __init__(self) -> None:
        self.pages: deque[Outline] = deque(maxlen=RECENT_PAGES)
        self.is_ascending = False
        self._keys: deque[frozenset[str]] = deque(maxlen=RECENT_PAGES)

    @property
    def last(self) -> Outline | None:
        """The page read last."""
        return self.pages[-1] if self.pages else None

    def overlap(self, page: Outline) -> set[str]:
        """Return the keys of a page that are remembered."""
        keys = frozenset(page.keys)
        return set().union(*(recent & keys for recent in self._keys))

    def remember(self, page: Outline) -> None:
        """Remember a page as the last."""
        self.is_ascending = self.is_ascending or is_ascending(page.times)
        self.pages.append(page)
        self._keys.append(frozenset(page.keys))


def second_of(time: float | None) -> int | None:
    """Return the whole second that a time belongs to."""
    return None if time is None else floor(time)


def is_ascending(times: Sequence[float | None]) -> bool:
    """Whether the second of any of these times is later than the one before it; unknown times are passed over."""
    known = [time for time in times if time is not None]
    return any(later > earlier and floor(later) > floor(earlier) for earlier, later in pairwise(known))


def tie_length(page: Outline) -> int:
    """Return how many records at the end of a page share the last one's second.

    Returns:
        Their number; 0 where the last one's time is unknown, or that of the record above them, which would prove them
        to be all.
    """
    second = second_of(page.times[-1])
    for length, time in enumerate(reversed(page.times)):
        if time is None:
            return 0
        if second_of(time) != second:
            return length
    return len(page.times)
