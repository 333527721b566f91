"""Which part of the older records an INCREMENTAL run reads again. Pure: no network, no clock.

No list can be asked for what has changed, so every record older than the look-back is read again once within
`reread_days`: each run reads as large a part of them as the time since the last run demands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tap_payments.records.chunk import RereadState
from tap_payments.records.timestamps import Window
from tap_payments.replication.windows import DAY, Span


@dataclass(frozen=True)
class Older:
    """The records older than the look-back of a run, in Unix seconds.

    Attributes:
        since: Where they begin; None is the beginning.
        until: Where the look-back begins.
        begin: Where their span is measured from.
        end: Where it is measured to. It must grow as time does, so it is not `until`, which follows the newest record
            and may stand still for a year and then leap.
    """

    since: int | None
    until: int
    begin: int
    end: int


@dataclass(frozen=True)
class Part:
    """A part of the older records, in Unix seconds.

    Attributes:
        begin: Where it is measured from.
        end: Where it is measured to.
        before: Seconds that the run reads before it.
        span: What to read of it: what is in the look-back is read as new.
    """

    begin: int
    end: int
    before: int
    span: Span

    def reached(self, second: int) -> int:
        """Return what the part is read to, in its own measure, once its span is read up to a second."""
        return self.end if second >= self.span.end else second


class Rereading:
    """What one run reads again.

    A run reads `elapsed * (older span / reread_days + 1)` of the older span, at most the whole of it, from the oldest
    records to the newest and round again. The span grows by a second each second while it is read, so that without the
    added 1 a round would take longer than `reread_days`.

    Attributes:
        parts: What to read, in this order: nothing, one part, or two where a round ends and the next one begins.
    """

    def __init__(self, state: RereadState | None, older: Older, *, started: int, days: float) -> None:
        """Plan the re-reading of a run.

        Args:
            state: How far earlier runs came; None where there was none, so that nothing is due yet.
            older: The records to choose from.
            started: When the run began, in Unix seconds.
            days: Days within which all of them are read again; more than 0.
        """
        begin = older.begin
        if older.since is None or older.since < begin:
            # However short it is measured, what lies before that may hold records.
            begin = min(begin, older.end - 1)
        length = max(older.end - begin, 0)
        speed = length / max(days * DAY, 1) + 1
        state = state or RereadState(begin, started)
        position = state.position if begin < state.position < begin + length else begin
        self._started = started
        # A debt of more than the whole span is paid by reading it once.
        self._paid_from = min(max(state.paid_until, started - math.ceil(length / speed)), started)
        self._share = min(math.ceil((started - self._paid_from) * speed), length)
        self._older, self._begin = older, begin
        end = min(position + self._share, begin + length)
        around = begin + self._share - (end - position)
        parts = [self._part(position, end, 0), self._part(begin, around, end - position)]
        #: How far re-reading is once all parts are read.
        self.state_at_end = RereadState(around if around > begin else end, started)
        self.parts = [part for part in parts if part is not None]

    def _part(self, begin: int, end: int, before: int) -> Part | None:
        """Return the part between these seconds; None where there is nothing to read."""
        since = self._older.since if begin == self._begin else begin
        until = min(end, self._older.until)
        if begin >= end or (since is not None and since >= until):
            return None
        return Part(begin, end, before, Span(min(begin, until - 1), until, Window(since, until)))

    def state_at(self, part: Part, second: int) -> RereadState:
        """Return how far re-reading is once a part is read up to a second.

        The time that is paid for advances in proportion, so that what a run leaves undone is due at the next.
        """
        elapsed = self._started - self._paid_from
        paid_until = self._paid_from + elapsed * self._read_at(part, second) // self._share
        return RereadState(part.reached(second), paid_until)

    def covers(self, time: float) -> bool:
        """Whether the run reads the records of a time again."""
        windows = [part.span.bounds for part in self.parts]
        return any(
            (window.since is None or time >= window.since) and (window.until is None or time <= window.until)
            for window in windows
        )

    def _read_at(self, part: Part, second: int) -> int:
        """Return how many seconds of the run's share are read once a part is read up to a second."""
        return part.before + part.reached(second) - part.begin
