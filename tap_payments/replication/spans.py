"""Spans of time that an INCREMENTAL run is to read. Pure: no network, no clock.

A run reads what earlier runs left unread, what is new, the look-back before that, and a slice of all older records:
no list can be asked for what has changed, so each older record is read again once within `reread_days`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from math import ceil, floor, inf
from typing import TYPE_CHECKING

from tap_payments.errors import StreamError
from tap_payments.pagination.pages import Span
from tap_payments.timestamps import DAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_payments.replication.state import StreamState

# Where records do not show the time that the API filters by, only the tap's clock says how far a run came, and the
# API's clock may be behind it.
CLOCK_MARGIN = DAY


def merge(spans: Iterable[Span]) -> list[Span]:
    """Return the same seconds as spans that neither overlap nor touch, newest first."""
    merged: list[Span] = []
    for span in sorted(spans, key=_top, reverse=True):
        if merged and _bottom(merged[-1]) <= _top(span) + 1:
            bottom = min(_bottom(merged[-1]), _bottom(span))
            merged[-1] = _between(bottom, _top(merged[-1]))
        else:
            merged.append(span)
    return merged


def clip(spans: Iterable[Span], *, since: int | None = None, until: int | None = None) -> list[Span]:
    """Return the parts of spans that lie between two seconds, both inclusive; None is open."""
    limits = Span(since, until)
    bounds = [(max(_bottom(span), _bottom(limits)), min(_top(span), _top(limits))) for span in spans]
    return [_between(bottom, top) for bottom, top in bounds if bottom <= top]


class DueSpans:
    """The spans that are due in one run, and the state as it reads them.

    Attributes:
        spans: The spans to read, newest first; none overlaps another.
        state: The state at the moment.
        warning: A warning about the state that the run begins with; None where there is none.
    """

    def __init__(  # noqa: PLR0913 - the facts that decide, given by name
        self,
        state: StreamState,
        *,
        started: int,
        start: int | None = None,
        lookback: int = 0,
        reread_days: float = 0,
        earliest: int = 0,
        shows_times: bool = True,
    ) -> None:
        """Plan a run.

        Args:
            state: The state that earlier runs left.
            started: When the run began, in Unix seconds.
            start: `start_date` in Unix seconds; None is the beginning.
            lookback: `lookback_days` in seconds.
            reread_days: Days within which all older records are read again; 0 is never.
            earliest: The Unix second before which records are few.
            shows_times: Whether records show the time that the API filters by.

        Raises:
            StreamError: If the state is from the future, and nothing would read again what it hides.
        """
        self._started, self._start, self._shows_times = started, start, shows_times
        self._newest: float | None = None
        self._oldest: float | None = None
        state, self.warning = _clamp(state, started, reread_days)
        # Records older than this count as read again.
        self._reread_until = None if state.replication_key_value is None else (state.newest or 0) - lookback
        new = Span(state.newest, None)
        due = [*clip(state.unread, since=start), new]
        if state.replication_key_value is None:
            # Nothing is re-read before a first run is out, and what changes meanwhile counts from then on.
            state = replace(state, reread_position=None, reread_time=started)
        else:
            # An interrupted run has planned its look-back already: it is unread.
            if len(due) == 1 and state.newest is not None:
                due.append(Span(state.newest - lookback, None))
            if reread_days:
                begin = max(second for second in (earliest, start, state.oldest) if second is not None)
                reread, state = _reread(state, started, begin, started - lookback, reread_days)
                due += reread
        # What lies before the start is not due, but still unread: the start may be moved.
        self._undue = [] if start is None else clip([*state.unread, new], until=start - 1)
        self.spans = merge(clip(due, since=start))
        self._remaining: dict[Span, Sequence[Span]] = {span: [span] for span in self.spans}
        self.state = replace(state, unread=self._unread)

    def is_due(self, span: Span, time: float | None) -> bool:
        """Whether a record belongs to a span: the request is a second wider at each end."""
        return time is None or not self._shows_times or span.covers(time)

    def count_reread(self, times: Iterable[float | None]) -> int:
        """Return how many of these times are older than what the run reads as new or as its look-back."""
        before = self._reread_until
        return 0 if before is None else sum(time is not None and time < before for time in times)

    def progress(self, span: Span, remaining: Sequence[Span], times: Iterable[float | None] = ()) -> StreamState:
        """Take a part of a span off what is unread, and return the new state.

        Args:
            span: One of `spans`.
            remaining: The parts of it that are not out; none at its end.
            times: The times, by which the API filters, of the records read since the last call.
        """
        for time in times:
            if time is not None:
                self._oldest = time if self._oldest is None else min(self._oldest, time)
                if time < self._started + 1:
                    self._newest = time if self._newest is None else max(self._newest, time)
        self._remaining[span] = remaining
        state = replace(self.state, unread=self._unread)
        if span.until is None and all(part.until is not None for part in remaining):
            newest = self._newest if self._shows_times else self._started - CLOCK_MARGIN
            state = replace(state, newest=_newer(state.newest, newest))
        if span.since in {None, self._start} and not remaining and self._shows_times:
            # A first run that was resumed may read no record in its last span, whose end then stands for the oldest
            # time. After it, the oldest time only moves back: else re-reading would slow down within a round.
            found = None if self._oldest is None or not span.covers(self._oldest) else floor(self._oldest)
            known = (found, span.until if state.replication_key_value is None else state.oldest)
            state = replace(state, oldest=min((second for second in known if second is not None), default=None))
        if not any(self._remaining.values()):
            state = replace(state, replication_key_value=_newer(state.replication_key_value, state.newest))
        self.state = state
        return state

    @property
    def _unread(self) -> tuple[Span, ...]:
        return tuple(merge(chain(self._undue, *self._remaining.values())))


def _clamp(state: StreamState, started: int, reread_days: float) -> tuple[StreamState, str | None]:
    """Set times from the future back to the start of the run: they would keep it from reading anything until then."""
    bookmark, newest, reread_time = (
        None if second is None else min(second, started)
        for second in (state.replication_key_value, state.newest, state.reread_time)
    )
    clamped = replace(state, replication_key_value=bookmark, newest=newest, reread_time=reread_time)
    if newest == state.newest:
        return clamped, None
    late = "the bookmark in the STATE is later than the start of this run"
    if not reread_days:
        raise StreamError(
            f"{late}, so that changes before the look-back (`lookback_days`) would be missed: set `reread_days`, "
            "or run a --full-refresh"
        )
    return clamped, (
        f"{late}, and is set back to it: changes before the look-back (`lookback_days`) come by re-reading only, "
        f"within {reread_days:g} days (`reread_days`), or at once with a --full-refresh"
    )


def _reread(
    state: StreamState, started: int, begin: int, end: int, reread_days: float
) -> tuple[list[Span], StreamState]:
    """Return the spans to re-read in this run, and the state that continues after them.

    The older span grows by a second each second while it is read, so that without the added 1 a round would take
    longer than `reread_days`. A slice that begins at the oldest record is open at the bottom, since records may be
    added below it; so even a span that is measured as nothing is read.

    Args:
        state: The state.
        started: When the run began.
        begin: The oldest second of the older span.
        end: Its newest.
        reread_days: Days within which it is read again.
    """
    begin = min(begin, end - 1)
    elapsed = 0 if state.reread_time is None else started - state.reread_time
    length = min(ceil(elapsed * ((end - begin) / max(reread_days * DAY, 1) + 1)), end - begin)
    position = state.reread_position
    if position is None or not begin <= position < end:
        position = begin
    state = replace(state, reread_position=position, reread_time=started)
    if not length:
        return [], state
    stop = position + length
    spans = [Span(None if position == begin else position, min(stop, end))]
    if stop > end:
        stop += begin - end
        spans.append(Span(None, stop))
    return spans, replace(state, reread_position=stop)


def _newer(second: int | None, time: float | None) -> int | None:
    return max((floor(known) for known in (second, time) if known is not None), default=None)


def _bottom(span: Span) -> float:
    return -inf if span.since is None else span.since


def _top(span: Span) -> float:
    return inf if span.until is None else span.until


def _between(bottom: float, top: float) -> Span:
    return Span(None if bottom == -inf else int(bottom), None if top == inf else int(top))
