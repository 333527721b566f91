"""INCREMENTAL: what is new since the bookmark, and what may have changed since.

A list that the API can filter by time is read window by window, oldest first, with a bookmark after each; another is
read whole, and what is older is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap_payments.errors import WindowTooLongError
from tap_payments.records.chunk import Chunk
from tap_payments.records.timestamps import Window
from tap_payments.replication.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_payments.records.chunk import ReadPages


@dataclass(frozen=True)
class Range:
    """Where an INCREMENTAL run begins and ends; all in Unix seconds.

    Attributes:
        bookmark: The bookmark that the run begins with; None where there is none.
        start: The setting `start_date`; None is the beginning.
        lookback: Seconds before the bookmark from which records are read again.
        started: When the run began.
        earliest: The second before which records are too few to be worth windows of their own.
    """

    bookmark: int | None
    start: int | None
    lookback: int
    started: int
    earliest: int

    @property
    def since(self) -> int | None:
        """The second that reading begins at; None is the beginning."""
        if self.bookmark is None:
            return self.start
        begin = self.bookmark - self.lookback
        return begin if self.start is None else max(begin, self.start)


class Incremental:
    """Reads a list by the times of its records.

    Attributes:
        span: The seconds at which reading begins and ends; None where the list is read whole.
    """

    def __init__(self, read_pages: ReadPages, reach: Range, *, filterable: bool, window_days: float) -> None:
        """Read nothing yet.

        Args:
            read_pages: Reads a window.
            reach: Where the run begins and ends.
            filterable: Whether the API can filter the list by time.
            window_days: Length of a window where records are many.
        """
        self._read_pages = read_pages
        self._range = reach
        self._bookmark = reach.bookmark
        self._window_days = window_days
        self._filterable = filterable
        self._since = reach.since
        self.span: tuple[float, float] | None = None
        if filterable:
            if self._since is not None:
                self._since = max(self._since, 0)  # The filters take Unix seconds; there are no payments before 1970.
            self.span = (reach.earliest if self._since is None else self._since, reach.started)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the records to emit, and a bookmark behind those that it covers."""
        return self._read_windows() if self._filterable else self._read_newer()

    def _read_windows(self) -> Iterator[Chunk]:
        """Read window by window, oldest first, with a bookmark after each."""
        windows = Windows(
            start=self._since, now=self._range.started, earliest=self._range.earliest, days=self._window_days
        )
        # Two neighbouring windows share a second, whose records go out once.
        boundary_keys: set[str] = set()
        while not windows.finished:
            window = windows.current
            newest: float | None = None
            next_boundary_keys: set[str] = set()
            pages = 0
            try:
                for fetched, fresh in self._read_pages(window, windows.may_halve):
                    outline = fetched.page.outline
                    places = [place for place in fresh if outline.keys[place] not in boundary_keys]
                    newest = _latest(newest, (outline.times[place] for place in places))
                    next_boundary_keys.update(
                        key
                        for key, time in zip(outline.keys, outline.times, strict=True)
                        if time is not None and window.until is not None and time >= window.until
                    )
                    pages += bool(places)
                    yield Chunk(fetched, places)
            except WindowTooLongError:
                windows.halve()
                continue
            boundary_keys = next_boundary_keys
            yield Chunk(bookmark=self._bookmark_after(newest, window), reached=window.until)
            if pages > 1:
                windows.overflowed()
            else:
                windows.fitted()

    def _read_newer(self) -> Iterator[Chunk]:
        """Read the whole list, leave out what is older, with a bookmark at the very end."""
        since = self._since
        newest: float | None = None
        for fetched, fresh in self._read_pages(Window(), False):  # noqa: FBT003 - it is not given up
            times = fetched.page.outline.times
            newest = _latest(newest, (times[place] for place in fresh))
            places = [place for place in fresh if since is None or (time := times[place]) is None or time >= since]
            yield Chunk(fetched, places)
        yield Chunk(bookmark=self._bookmark_after(newest, Window(since, None)))

    def _bookmark_after(self, newest: float | None, window: Window) -> int | None:
        """Return the bookmark for when a whole window is out, `newest` being its newest time; it never goes back."""
        if newest is not None:
            ends = [math.floor(newest), self._range.started] + ([] if window.until is None else [window.until])
            self._bookmark = min(ends) if self._bookmark is None else max(min(ends), self._bookmark)
        return self._bookmark


def _latest(newest: float | None, times: Iterable[float | None]) -> float | None:
    known = [time for time in (newest, *times) if time is not None]
    return max(known, default=None)
