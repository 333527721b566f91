"""INCREMENTAL: what is new since the bookmark, what may have changed since, and a part of all that is older.

A list that the API can filter by time is read window by window, oldest first, with a bookmark after each; another is
read whole, and what is older is left out, unless it is to be read again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from tap_payments.errors import WindowTooLongError
from tap_payments.records.chunk import Chunk
from tap_payments.records.timestamps import Window
from tap_payments.replication.rereading import Older, Part, Rereading
from tap_payments.replication.windows import Span, Windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tap_payments.records.chunk import ReadPages, ReplicationState
    from tap_payments.records.page import PageOutline


@dataclass(frozen=True)
class Range:
    """Where an INCREMENTAL run begins and ends; all in Unix seconds.

    Attributes:
        state: How far earlier runs came.
        start: The setting `start_date`; None is the beginning.
        lookback: Seconds before the bookmark from which records are read again.
        started: When the run began.
        earliest: The second before which records are too few to be worth windows of their own.
    """

    state: ReplicationState
    start: int | None
    lookback: int
    started: int
    earliest: int

    @property
    def since(self) -> int | None:
        """The second that reading begins at; None is the beginning."""
        if self.state.bookmark is None:
            return self.start
        begin = self.state.bookmark - self.lookback
        return begin if self.start is None else max(begin, self.start)

    @property
    def beginning(self) -> int:
        """The second that the span of all records is measured from."""
        begin = self.earliest if self.start is None else self.start
        return max(begin, self.state.oldest or begin)


class Incremental:
    """Reads a list by the times of its records."""

    def __init__(
        self, read_pages: ReadPages, reach: Range, *, filterable: bool, window_days: float, reread_days: float
    ) -> None:
        """Read nothing yet.

        Args:
            read_pages: Reads a window.
            reach: Where the run begins and ends.
            filterable: Whether the API can filter the list by time.
            window_days: Length of a window where records are many.
            reread_days: Days within which all older records are read again; 0 is never.
        """
        self._read_pages = read_pages
        self._range = reach
        self._state = reach.state
        self._window_days = window_days
        self._filterable = filterable
        self._since = reach.since
        if filterable and self._since is not None:
            self._since = max(self._since, 0)  # The filters take Unix seconds; there are no payments before 1970.
        self._rereading: Rereading | None = None
        reads_all = reach.state.bookmark is not None and self._since == 0
        if reread_days and not reads_all:
            begin = reach.beginning
            older = Older(
                reach.start,
                until=begin if self._since is None else self._since,
                begin=begin,
                end=reach.started - reach.lookback,
            )
            self._rereading = Rereading(reach.state.rereading, older, started=reach.started, days=reread_days)
        # The first run reads windows from the beginning, so that the first record that it finds is the oldest one.
        self._finds_oldest = bool(reread_days) and reach.state.bookmark is None

    def chunks(self) -> Iterator[Chunk]:
        """Yield the records to emit, and how far replication is behind those that it covers."""
        return self._read_by_windows() if self._filterable else self._read_whole()

    def _read_by_windows(self) -> Iterator[Chunk]:
        """Read window by window, oldest first: what is new, then what is to be read again."""
        since, reach = self._since, self._range
        windows = Windows(
            Span(reach.earliest if since is None else since, reach.started, Window(since, None)),
            days=self._window_days,
            # The window that is open at the bottom says nothing of how dense the records after it are.
            length=0 if since is None else None,
        )
        yield from self._read_windows(windows, partial(self._finish_window, windows))
        if self._rereading is None:
            return
        for part in self._rereading.parts:
            # The first window is as long as the part: where records are few, a request or two bring all of it.
            windows = Windows(part.span, days=self._window_days, length=part.span.length)
            finish = partial(self._finish_reread_window, self._rereading, part, windows)
            yield from self._read_windows(windows, finish, is_reread=True)
        yield self._finish_rereading(self._rereading)

    def _read_windows(
        self, windows: Windows, finish: Callable[[_Times], Chunk], *, is_reread: bool = False
    ) -> Iterator[Chunk]:
        """Read these windows; `finish` makes the chunk behind each of them from the times of its records."""
        # Two neighbouring windows share a second, whose records go out once.
        boundary_keys: set[str] = set()
        while not windows.finished:
            window, times = windows.current, _Times()
            next_boundary_keys: set[str] = set()
            pages = 0
            try:
                for fetched, fresh in self._read_pages(window, windows.may_halve):
                    outline = fetched.page.outline
                    places = [place for place in fresh if outline.keys[place] not in boundary_keys]
                    times.add(outline, places)
                    next_boundary_keys.update(
                        key
                        for key, time in zip(outline.keys, outline.times, strict=True)
                        if time is not None and window.until is not None and time >= window.until
                    )
                    pages += bool(places)
                    yield Chunk(fetched, places, is_reread=is_reread)
            except WindowTooLongError:
                windows.halve()
                continue
            boundary_keys = next_boundary_keys
            yield finish(times)
            if pages > 1:
                windows.overflowed()
            else:
                windows.fitted()

    def _read_whole(self) -> Iterator[Chunk]:
        """Read the whole list, leave out what is older and not to be read again, and promote all at the very end."""
        rereading, times = self._rereading, _Times()
        for fetched, fresh in self._read_pages(Window(), False):  # noqa: FBT003 - it is not given up
            known = fetched.page.outline.times
            times.add(fetched.page.outline, fresh)
            older = {place: time for place in fresh if (time := known[place]) is not None and self._is_older(time)}
            yield Chunk(fetched, [place for place in fresh if place not in older])
            again = [place for place, time in older.items() if rereading is not None and rereading.covers(time)]
            if again:
                yield Chunk(fetched, again, is_reread=True)
        self._advance(times, None)
        yield Chunk(bookmark=self._reached) if rereading is None else self._finish_rereading(rereading)

    def _is_older(self, time: float) -> bool:
        return self._since is not None and time < self._since

    # How far replication is.

    @property
    def _reached(self) -> ReplicationState | None:
        """What a STATE may say; None before the first bookmark."""
        return None if self._state.bookmark is None else self._state

    def _finish_window(self, windows: Windows, times: _Times) -> Chunk:
        until = windows.current.until
        self._advance(times, until)
        return Chunk(bookmark=self._reached, reached=until)

    def _finish_reread_window(self, rereading: Rereading, part: Part, windows: Windows, _: _Times) -> Chunk:
        second = windows.reached
        self._state = replace(self._state, rereading=rereading.state_at(part, second))
        return Chunk(bookmark=self._reached, reached=second, is_reread=True)

    def _finish_rereading(self, rereading: Rereading) -> Chunk:
        self._state = replace(self._state, rereading=rereading.state_at_end)
        return Chunk(bookmark=self._reached, is_reread=True)

    def _advance(self, times: _Times, until: int | None) -> None:
        """Take note that a window is out, with records of these times; the bookmark never goes back.

        Args:
            times: Their oldest and newest.
            until: The upper end of the window.
        """
        state, started = self._state, self._range.started
        if times.newest is not None:
            ends = [math.floor(times.newest), started] + ([] if until is None else [until])
            bookmark = min(ends) if state.bookmark is None else max(min(ends), state.bookmark)
            self._state = replace(state, bookmark=bookmark)
        if self._finds_oldest and state.oldest is None and times.oldest is not None:
            self._state = replace(self._state, oldest=math.floor(times.oldest))


@dataclass
class _Times:
    """Times of the records of a window.

    Attributes:
        oldest: The oldest time by which the API filters them; None where they do not show it.
        newest: The newest time that they were made at.
    """

    oldest: float | None = None
    newest: float | None = None

    def add(self, outline: PageOutline, places: Sequence[int]) -> None:
        """Take in the times of the records at these places of a page."""
        filter_times = (outline.filter_times[place] for place in places)
        self.oldest = min((time for time in (self.oldest, *filter_times) if time is not None), default=None)
        times = (outline.times[place] for place in places)
        self.newest = max((time for time in (self.newest, *times) if time is not None), default=None)
