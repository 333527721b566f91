"""What is remembered of the records of a list that is being read: little, however long the list."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

RECENT_PAGES = 3


@dataclass(frozen=True)
class PageOutline:
    """What the paginator needs to know of a page: its records in order, without their contents.

    Attributes:
        keys: The records' keys.
        times: The records' times in Unix seconds; None where a record has none that can be read.
        total: How many records the API says match what was asked; None where it does not say.
    """

    keys: Sequence[str]
    times: Sequence[float | None]
    total: int | None = None


class SeenRecords:
    """The last pages of a list, and all keys at the oldest time seen.

    Attributes:
        pages: The last pages, in the order in which they were read.
        ties: The keys of all records at the oldest second seen.
        newest_second: The newest time seen, in Unix seconds, rounded up.
        oldest_second: The oldest time seen, likewise.
        rises: Whether a record was newer than the one before it, which is not so in a list that comes newest first.
    """

    def __init__(self) -> None:
        self.pages: deque[PageOutline] = deque(maxlen=RECENT_PAGES)
        self.ties: set[str] = set()
        self.newest_second: int | None = None
        self.oldest_second: int | None = None
        self.rises = False
        self._keys: deque[frozenset[str]] = deque(maxlen=RECENT_PAGES)

    @property
    def last(self) -> PageOutline | None:
        """The page read last."""
        return self.pages[-1] if self.pages else None

    def known(self) -> set[str]:
        """Give the keys that are remembered."""
        return self.ties.union(*self._keys)

    def knows_any(self, page: PageOutline) -> bool:
        """Whether any record of a page is remembered, so that nothing lies between it and what was read."""
        return any(not keys.isdisjoint(page.keys) for keys in (*self._keys, self.ties))

    def seconds_above(self, second: int) -> list[int]:
        """Give the times of the last pages that are newer, in Unix seconds, rounded up, oldest first."""
        seconds = {ceil(time) for page in self.pages for time in page.times if time is not None}
        return sorted(newer for newer in seconds if newer > second)

    def keep(self, page: PageOutline) -> None:
        """Remember a page as the last, and nothing of its records, since nothing will be asked."""
        self.pages.append(page)

    def remember(self, page: PageOutline, *, overlaps: bool) -> None:
        """Remember a page and its records.

        Args:
            page: The page.
            overlaps: Whether it begins with records of the page before.
        """
        times = [time for time in page.times if time is not None]
        if not overlaps and self.pages and times and page.keys[0] not in self._keys[-1]:
            times = [time for time in self.pages[-1].times[-1:] if time is not None] + times
        self.rises = self.rises or any(newer < older for newer, older in pairwise(times))
        self.pages.append(page)
        self._keys.append(frozenset(page.keys))
        for key, time in zip(page.keys, page.times, strict=True):
            if time is None:
                continue
            second = ceil(time)
            if self.newest_second is None or second > self.newest_second:
                self.newest_second = second
            if self.oldest_second is None or second < self.oldest_second:
                self.oldest_second = second
                self.ties = {key}
            elif second == self.oldest_second:
                self.ties.add(key)
