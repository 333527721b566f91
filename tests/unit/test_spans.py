"""Whatever an account is like and wherever runs are killed, a STATE is true, and every change arrives in time.

`SPANS_EXAMPLES` sets how many accounts each property is tried on; with it they are drawn by chance, without it they are
the same at every run.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from math import ceil, floor
from itertools import takewhile
from operator import attrgetter
from random import Random
from statistics import mean
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tap_payments.errors import RunError
from tap_payments.replication.spans import CLOCK_MARGIN, DAY, Plan, clip, merge
from tap_payments.replication.state import KEYS, Span, StreamState, read_state, write_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

EXAMPLES = os.environ.get("SPANS_EXAMPLES")
TODAY = 1_750_000_000
EARLIEST = 1_262_304_000
NIGHTS = 400
KEY = "occurred"


def tried(share: float = 1.0) -> settings:
    return settings(
        max_examples=ceil(int(EXAMPLES or 40) * share),
        derandomize=EXAMPLES is None,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


@dataclass(eq=False)
class Row:
    """A record of an account.

    Attributes:
        time: The time that the list is filtered by.
        place: Its place within its second.
        changed: When it was changed first since it went out last; None where it has not changed since.
        is_late: Whether it was made with a time of before then, where a STATE says that all is out.
        is_out: Whether it has gone out.
    """

    time: float
    place: float
    changed: float | None
    is_late: bool = False
    is_out: bool = False

    @property
    def order(self) -> tuple[int, float]:
        """Where it stands in the list: the order within a second is any."""
        return floor(self.time), self.place


class Killed(Exception):  # noqa: N818 - it is no error
    """The run is killed here."""


@dataclass
class Account:
    """An account, its records, and the runs that read them.

    Attributes:
        rng: Draws everything.
        kind: How its list is read: down a `walk`, by `windows` where it does not show its filter's times, or `whole`.
        lookback_days: The setting.
        reread_days: The setting.
        start: `start_date` in Unix seconds.
        now: The tap's clock.
        skew: How far the API's clock is ahead of it.
        saved: The stream's part of the last STATE.
        undisturbed: Whether the last run came to its end, and read the look-back.
    """

    rng: Random
    kind: str = "walk"
    lookback_days: float = 30
    reread_days: float = 30
    start: int | None = None
    page_size: int = 20
    now: int = TODAY
    skew: int = 0
    saved: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    missing: set[Row] = field(default_factory=set)
    sent: list[Row] = field(default_factory=list)
    unconfirmed: list[Row] = field(default_factory=list)
    state: StreamState = StreamState()
    states: int = 0
    disturbed: list[tuple[int, int]] = field(default_factory=list)
    undisturbed: bool = True
    last_start: int = 0
    complete: float | None = None
    kill_at: int | None = None
    busy: int = 0

    def insert(self, time: float, *, changed: float | None = None) -> Row:
        """Make a record."""
        row = Row(time, self.rng.random(), self.now if changed is None else changed)
        insort(self.rows, row, key=attrgetter("order"))
        self.missing.add(row)
        self._mark_late([row])
        return row

    def rows_in(self, spans: Iterable[Span]) -> list[Row]:
        """Return the records of disjoint spans, newest first."""
        found: list[Row] = []
        for since, until in spans:
            low = 0 if since is None else bisect_left(self.rows, (since,), key=attrgetter("order"))
            high = len(self.rows) if until is None else bisect_left(self.rows, (until + 1,), key=attrgetter("order"))
            found += self.rows[low:high][::-1]
        return found

    def _mark_late(self, rows: Sequence[Row]) -> None:
        for row in rows:
            row.is_late |= row.time < self.now + self.skew and is_claimed(self.state, row.time)

    def change(self, count: int) -> None:
        """Change some records."""
        for row in self.rng.choices(self.rows, k=count) if self.rows else ():
            row.changed = self.now if row.changed is None else row.changed

    def live(self) -> list[Row]:
        """Insert, delete and change records while a run goes on; return those that are new."""
        # So few a run that an account does not grow faster the more there is to read.
        if self.busy <= 0 or self.rng.random() < 0.7:
            return []
        self.busy -= 1
        self.change(self.rng.randint(0, 2))
        if self.rows and self.rng.random() < 0.2:
            self.missing.discard(self.rows.pop(self.rng.randrange(len(self.rows))))
        ages = self.rng.choices((0, 60, 20 * DAY), k=self.rng.randint(0, 2))
        return [self.insert(self.moment(age)) for age in ages]

    def moment(self, age: int) -> float:
        """Return a time of up to so many seconds ago, often with a fraction, by the API's clock."""
        time = self.now + self.skew - self.rng.randint(0, age)
        return time + self.rng.choice((0, 0, 0.25, 0.999))

    def step_back(self, seconds: int) -> None:
        """Set the tap's clock back, while the API's goes on."""
        self.now -= seconds
        self.skew += seconds

    # Runs.

    def plan(self) -> Plan:
        """Plan a run that begins now, from the last STATE."""
        state, _ = read_state(self.saved, KEY)
        return Plan(
            state,
            started=self.now,
            start=self.start,
            lookback=int(self.lookback_days * DAY),
            reread_days=self.reread_days,
            earliest=EARLIEST,
            shows_times=self.kind != "windows",
        )

    def run(self, *, kill_at: int | None = None) -> bool:
        """Run once; what goes out behind the last STATE of a run that is killed is lost.

        Args:
            kill_at: The STATE to be killed at, counted from the one at the start; None for none.

        Returns:
            Whether it came to its end.
        """
        if not self.undisturbed:
            self.disturbed.append((self.last_start, self.now))
        self.last_start, self.undisturbed = self.now, False
        self.states, self.kill_at, self.busy = 0, kill_at, self.rng.randint(0, 2)
        try:
            plan = self.plan()
        except RunError:
            assert not self.reread_days
            self.saved, self.state = {}, StreamState()
            return False
        state, _ = read_state(self.saved, KEY)
        looks_back = state.replication_key_value is not None and not clip(state.unread, since=self.start)
        started = self.now
        due = self.missing.intersection(self.rows_in(plan.spans))
        self.unconfirmed = []
        try:
            self._save(plan.state)
            self._read(plan)
        except Killed:
            return False
        finally:
            self.state, _ = read_state(self.saved, KEY)
        assert not clip(self.state.unread, since=self.start)
        assert not due & self.missing, f"due and not out: {due & self.missing}"
        if self.complete is None and self.state.replication_key_value is not None:
            self.complete = started
        self.undisturbed = looks_back
        if looks_back:
            self._expect_promise(started, state.newest)
        return True

    def _read(self, plan: Plan) -> None:
        if self.kind == "whole":
            times = [row.time for row in self.rows]
            self._send(self.rows_in(plan.spans))
            for span in plan.spans:
                state = plan.progress(span, [], times)
            self._save(state)
            return
        for span in plan.spans:
            for remaining, times in self._windows(span) if self.kind == "windows" else self._pages(span):
                made = self.live()
                self.state = plan.progress(span, remaining, times)
                # They were made after the page was read, and before what came with it is out.
                self._mark_late(made)
                self._save(self.state)
                self.live()

    def _pages(self, span: Span) -> Iterator[tuple[Sequence[Span], Sequence[float | None]]]:
        """Walk down a span, page by page; what comes above the boundary meanwhile is not seen."""
        remaining, boundary_rows = [span], set[Row]()
        while remaining:
            (rest,) = remaining
            page = [row for row in self.rows_in([rest]) if row not in boundary_rows][: self.page_size]
            self._send(page)
            if len(page) < self.page_size:
                remaining = []
            else:
                boundary = floor(page[-1].time)
                boundary_rows |= {row for row in page if floor(row.time) == boundary}
                remaining = clip(remaining, until=boundary)
            yield remaining, [row.time for row in page]

    def _windows(self, span: Span) -> Iterator[tuple[Sequence[Span], Sequence[float | None]]]:
        """Read a span by windows, whose records do not show the time."""
        top = self.now if span.until is None else span.until
        bottom = EARLIEST if span.since is None else span.since
        cuts = sorted({self.rng.randint(bottom, max(top, bottom)) for _ in range(self.rng.randint(0, 3))}, reverse=True)
        remaining = [span]
        for cut in [*cuts, None]:
            rows = self.rows_in(clip(remaining, since=cut))
            self._send(rows)
            remaining = [] if cut is None else clip(remaining, until=cut - 1)
            yield remaining, [None] * len(rows)
            if not remaining:
                return

    def _send(self, rows: Sequence[Row]) -> None:
        self.sent += rows
        self.unconfirmed += rows

    def _save(self, state: StreamState) -> None:
        """Write a STATE, as Meltano merges it into what it has, and hold it against the records."""
        if self.states == self.kill_at:
            raise Killed
        self.states += 1
        for row in self.unconfirmed:
            row.is_out, row.changed = True, None
        self.missing.difference_update(self.unconfirmed)
        self.unconfirmed = []
        message: dict[str, Any] = {}
        write_state(state, message, KEY, as_text=True)
        assert set(message) == KEYS | {"replication_key"}
        before = self.saved.get("replication_key_value")
        self.saved.update(json.loads(json.dumps(message)))
        found, warning = read_state(self.saved, KEY)
        assert (found, warning) == (state, None)
        self.state = state
        self._expect_true(state)
        bookmark = state.replication_key_value
        assert before is None or (bookmark is not None and bookmark >= min(int(before), self.now))

    def _expect_true(self, state: StreamState) -> None:
        """Assert the invariant of STATE."""
        assert list(state.unread) == merge(state.unread)
        assert state.newest is None or state.newest <= self.now
        lost = [row for row in self.missing if not row.is_late and is_claimed(state, row.time)]
        assert not lost, f"not out: {lost}, though {state}"

    def _expect_promise(self, started: float, newest: int | None) -> None:
        """Assert that a run that came to its end has left no change behind that has waited for as long as it may."""
        for row in self.rows:
            if row.changed is None or row.changed >= started or (self.start is not None and row.time < self.start):
                continue
            assert newest is None or row.time < newest - int(self.lookback_days * DAY), f"in the look-back: {row}"
            since = max(row.changed, started if self.complete is None else self.complete)
            disturbed = takewhile(lambda night: night[1] > since, reversed(self.disturbed))
            waited = started - since - sum(end - max(begin, since) for begin, end in disturbed)
            assert not self.reread_days or waited < self.reread_days * DAY, f"{waited / DAY} days: {row}"


def is_claimed(state: StreamState, time: float) -> bool:
    """Whether a STATE says that what was made at a time is out."""
    newest = state.newest
    return newest is not None and floor(time) <= newest and not any(span.covers(time) for span in state.unread)


def fill(account: Account, count: int, age: int) -> None:
    """Make the records of the past, of which half fall into a few busy days."""
    rng, begin = account.rng, TODAY - age * DAY
    busy = [rng.randint(begin, TODAY) for _ in range(3)]
    for _ in range(count):
        time = rng.randint(begin, TODAY)
        if rng.random() < 0.5:
            time = min(rng.choice(busy) + rng.randint(0, rng.choice((2, 5 * DAY))), TODAY)
        account.insert(time + rng.choice((0, 0, 0.5)), changed=-1)


def live_for(account: Account, nights: int, *, missed: float, killed: float, fickle: bool) -> None:
    """Let an account live for some nights, with runs that are missed, killed or repeated.

    Args:
        account: The account.
        nights: How many.
        missed: The share of nights without a run.
        killed: The share of runs that are killed.
        fickle: Whether settings change between runs, and the clock goes back.
    """
    rng = account.rng
    growth = rng.choice((0.0, 0.1, 3.0))
    begin = TODAY - 1000 * DAY
    away = 0
    skew = account.skew
    for night in range(nights):
        account.skew = skew
        account.now = TODAY + night * DAY + rng.randint(0, 3600)
        if fickle and rng.random() < 0.03:
            account.step_back(rng.choice((60, 40 * DAY, 300 * DAY)))
        for _ in range(round(rng.expovariate(1 / growth)) if growth else 0):
            account.insert(account.moment(rng.choice((DAY, 29 * DAY))))
        if rng.random() < 0.02:
            old = rng.randint(begin - 400 * DAY, account.now)
            for _ in range(rng.randint(1, 30)):
                account.insert(old + rng.randint(0, 20 * DAY))
        if fickle and rng.random() < 0.02:
            account.insert(account.now + rng.randint(2, 400 * DAY))
        account.change(rng.randint(0, 4))
        if fickle and rng.random() < 0.05:
            account.lookback_days = rng.choice((0, 3, 30))
            account.reread_days = rng.choice((0, 7, 30))
            account.start = rng.choice((None, begin, TODAY - 100 * DAY, TODAY + rng.randint(-30, 300) * DAY))
        away = away - 1 if away else (rng.randint(5, 60) if rng.random() < missed / 20 else 0)
        if away or rng.random() < missed:
            continue
        for _ in range(rng.choice((1, 1, 1, 3))):
            account.run(kill_at=rng.choice((0, 1, 2, 3, 5, 9, 30)) if rng.random() < killed else None)
            account.now += rng.randint(1, 3600)
            account.change(rng.randint(0, 2))


AGES = (0, 1, 30, 365, 3650)


@tried()
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(("walk", "walk", "windows", "whole")), age=st.sampled_from(AGES))
def test_every_change_arrives_in_time_and_every_state_is_true(seed: int, kind: str, age: int) -> None:
    rng = Random(seed)
    account = Account(
        rng,
        kind,
        start=rng.choice((None, None, TODAY - age * DAY, TODAY - age * DAY // 2)),
        reread_days=rng.choice((30, 30, 30, 7, 3, 365)),
        lookback_days=rng.choice((30, 30, 1, 3, 0.5, 90)),
        skew=rng.choice((0, -3600, 3600)),
    )
    fill(account, rng.choice((0, 1, 60, 300)), age)
    live_for(account, NIGHTS, missed=rng.choice((0.0, 0.1, 0.5)), killed=rng.choice((0.0, 0.2, 0.7)), fickle=False)


@tried()
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(("walk", "walk", "windows", "whole")), age=st.sampled_from(AGES))
def test_every_state_is_true_while_settings_change_and_the_clock_goes_back(seed: int, kind: str, age: int) -> None:
    rng = Random(seed)
    account = Account(
        rng,
        kind,
        start=rng.choice((None, None, TODAY - age * DAY, TODAY - age * DAY // 2)),
        reread_days=rng.choice((0, 30)),
        lookback_days=rng.choice((0, 3, 30)),
    )
    account._expect_promise = lambda *_: None  # type: ignore[method-assign] # settings that change have none
    fill(account, rng.choice((0, 1, 60, 300)), age)
    live_for(account, NIGHTS, missed=rng.choice((0.0, 0.5)), killed=rng.choice((0.2, 0.7)), fickle=True)
