"""Whatever an account is like and wherever runs are killed, a STATE is true, and every change arrives in time.

`SPANS_EXAMPLES` sets how many accounts each property is tried on; with it they are drawn by chance, without it they are
the same at every run.
"""

from __future__ import annotations

import json
from bisect import bisect_left, insort
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from math import floor
from operator import attrgetter
from random import Random
from statistics import mean
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_payments.errors import StreamError
from tap_payments.pagination.pages import WHOLE, Span
from tap_payments.replication.spans import CLOCK_MARGIN, DueSpans, clip, merge
from tap_payments.replication.state import KEYS, TIMES, StreamState, read_state, write_state
from tap_payments.timestamps import DAY
from tests.support.examples import tried

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

TODAY = 1_750_000_000
EARLIEST = 1_262_304_000
NIGHTS = 400
KEY = "occurred"


accounts = partial(tried, 25, "SPANS_EXAMPLES")


@dataclass(eq=False)
class Row:
    """A record of an account, by the time that its list is filtered by."""

    time: float
    # When it was changed first since it went out last; None where it has not changed since.
    changed: float | None
    # Whether it was made with a time of before then, where a STATE says that all is out.
    is_late: bool = False

    @property
    def second(self) -> int:
        """Where it stands in the list."""
        return floor(self.time)


class Killed(Exception):  # noqa: N818 - it is no error
    """The run is killed here."""


@dataclass
class Account:
    """An account, its records, and the runs that read them.

    Attributes:
        rng: Draws everything.
        kind: How its list is read: down a `walk`, by `windows` where it does not show its filter's times, or `whole`.
        start: `start_date` in Unix seconds.
        now: The tap's clock; the API's is ahead of it by `skew`.
        missing: The records that never went out before a STATE; `unconfirmed` went out since the last one.
        saved: The stream's part of the last STATE; `state` is the same, read.
        states: How many STATEs the run has written; it is killed at number `kill_at`.
        undisturbed: Whether the last run came to its end, and read the look-back; `disturbed` is when it did not.
        complete: When the first run began that left nothing unread.
        busy: How many more times the list changes while this run goes on.
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
    state: StreamState = field(default_factory=StreamState)
    states: int = 0
    disturbed: list[tuple[int, int]] = field(default_factory=list)
    undisturbed: bool = True
    last_start: int = 0
    complete: float | None = None
    kill_at: int | None = None
    busy: int = 0
    liveliness: int = 2
    keeps_settings: bool = True

    def insert(self, time: float, *, changed: float | None = None) -> Row:
        """Make a record."""
        row = Row(time, self.now if changed is None else changed)
        insort(self.rows, row, key=attrgetter("second"))
        self.missing.add(row)
        self._mark_late([row])
        return row

    def rows_in(self, spans: Iterable[Span]) -> list[Row]:
        """Return the records of disjoint spans, newest first."""
        found: list[Row] = []
        for since, until in spans:
            low = 0 if since is None else bisect_left(self.rows, since, key=attrgetter("second"))
            high = len(self.rows) if until is None else bisect_left(self.rows, until + 1, key=attrgetter("second"))
            found += self.rows[low:high][::-1]
        return found

    def _mark_late(self, rows: Sequence[Row]) -> None:
        for row in rows:
            # What is new begins with the newest second, which is read again.
            is_due = row.time >= self.now + self.skew and row.second != self.state.newest
            row.is_late |= not is_due and is_claimed(self.state, row.time)

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

    def plan(self) -> DueSpans:
        """Plan a run that begins now, from the last STATE."""
        return DueSpans(
            read_state(self.saved, KEY)[0],
            started=self.now,
            start=self.start,
            lookback=int(self.lookback_days * DAY),
            reread_days=self.reread_days,
            earliest=EARLIEST,
            shows_times=self.kind != "windows",
        )

    def run(self, *, kill_at: int | None = None) -> bool:
        """Run once, up to the STATE `kill_at`, and return whether the run came to its end.

        What goes out behind the last STATE of a run that is killed is lost.
        """
        if not self.undisturbed:
            self.disturbed.append((self.last_start, self.now))
        self.last_start, self.undisturbed = self.now, False
        self.states, self.kill_at, self.busy = 0, kill_at, self.rng.randint(0, self.liveliness)
        try:
            plan = self.plan()
        except StreamError:
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
        if looks_back and self.keeps_settings:
            self._expect_promise(started, state.newest)
        return True

    def _read(self, plan: DueSpans) -> None:
        if self.kind == "whole":
            self._send(self.rows_in(plan.spans))
            for span in plan.spans:
                state = plan.progress(span, [], [row.time for row in self.rows])
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
        """Walk down a span, page by page; what comes above the boundary meanwhile is not read."""
        remaining, boundary_rows = [span], set[Row]()
        while remaining:
            (rest,) = remaining
            page = [row for row in self.rows_in([rest]) if row not in boundary_rows][: self.page_size]
            self._send(page)
            if len(page) < self.page_size:
                remaining = []
            else:
                boundary = page[-1].second
                boundary_rows |= {row for row in page if row.second == boundary}
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
            row.changed = None
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
        assert list(state.unread) == merge(state.unread)
        assert state.newest is None or state.newest <= self.now
        lost = [row for row in self.missing if not row.is_late and is_claimed(state, row.time)]
        assert not lost, f"not out: {lost}, though {state}"
        bookmark = state.replication_key_value
        assert before is None or (bookmark is not None and bookmark >= min(int(before), self.now))

    def _expect_promise(self, started: float, newest: int | None) -> None:
        """Assert that a run that came to its end has left no change behind that has waited for as long as it may."""
        for row in self.rows:
            if row.changed is None or row.changed >= started or (self.start is not None and row.time < self.start):
                continue
            assert newest is None or row.time < newest - int(self.lookback_days * DAY), f"in the look-back: {row}"
            since = max(row.changed, started if self.complete is None else self.complete)
            disturbed = [(begin, end) for begin, end in self.disturbed if end > since]
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
        # By the API's clock nothing comes from the future.
        account.insert(time + rng.choice((0, 0, 0.5)) + min(account.skew, 0), changed=-1)


def live_for(account: Account, *, missed: float, killed: float, fickle: bool) -> None:
    """Let an account live for some nights, of which a share is `missed`, and of whose runs a share is `killed`.

    If it is `fickle`, settings change between runs, and the clock goes back.
    """
    rng = account.rng
    growth = rng.choice((0.0, 0.1, 3.0))
    begin = TODAY - 1000 * DAY
    away = 0
    skew = account.skew
    for night in range(NIGHTS):
        account.skew = skew
        account.now = TODAY + night * DAY + rng.randint(0, 3600)
        if fickle and rng.random() < 0.03:
            seconds = rng.choice((60, 40 * DAY, 300 * DAY))
            account.now, account.skew = account.now - seconds, account.skew + seconds
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


@accounts(share=1.5)
@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(("walk", "walk", "windows", "whole")),
    age=st.sampled_from((0, 1, 30, 365, 3650)),
    fickle=st.booleans(),
)
def test_every_change_arrives_in_time_and_every_state_is_true(seed: int, kind: str, age: int, *, fickle: bool) -> None:
    rng = Random(seed)
    account = Account(
        rng,
        kind,
        start=rng.choice((None, None, TODAY - age * DAY, TODAY - age * DAY // 2)),
        reread_days=rng.choice((0, 30) if fickle else (30, 30, 30, 7, 3, 365)),
        lookback_days=rng.choice((0, 3, 30) if fickle else (30, 30, 1, 3, 0.5, 90)),
        skew=0 if fickle else rng.choice((0, -3600, 3600)),
        keeps_settings=not fickle,
    )
    fill(account, rng.choice((0, 1, 60, 300)), age)
    live_for(account, missed=rng.choice((0.0, 0.1, 0.5)), killed=rng.choice((0.0, 0.2, 0.7)), fickle=fickle)


@accounts()
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(("walk", "windows")), start=st.sampled_from((None, -200 * DAY)))
def test_a_first_run_that_is_killed_every_night_ends_and_reads_no_part_twice(
    seed: int, kind: str, start: int | None
) -> None:
    rng = Random(seed)
    account = Account(rng, kind, start=None if start is None else TODAY + start)
    fill(account, 300, 365)
    runs = 1
    while not account.run(kill_at=rng.randint(2, 4)):
        account.now += 60
        runs += 1
        assert runs < 200
    # Each run reads again the second that the one before ended in, and the page behind its last STATE.
    assert kind == "windows" or len(account.sent) <= len(account.rows) + runs * (account.page_size + 5)
    assert account.state.replication_key_value == account.state.newest


@pytest.mark.parametrize("a_day", [1, 10])
@pytest.mark.parametrize("age", [30, 365, 3650], ids=["a month", "a year", "ten years"])
def test_nights_are_even(age: int, a_day: int) -> None:
    account = Account(Random(1), page_size=10_000, liveliness=0)
    for index in range(age * a_day):
        account.insert(TODAY - age * DAY + index * DAY // a_day)
    account.run()
    nights = []
    for _ in range(65):
        account.now += DAY
        for index in range(a_day):
            account.insert(account.now - DAY + index * DAY // a_day)
        account.sent = []
        account.run()
        nights.append(len(account.sent))
    assert max(nights) <= 2 * mean(nights)
    # The new ones, the look-back, and a thirtieth of those before it and of what becomes older meanwhile.
    assert mean(nights) <= a_day * (min(31, age + 65) + max(age + 65 - 30, 0) / 30 + 2) + 2


def plan(state: StreamState, *, started: int = TODAY, reread_days: float = 30, start: int | None = None) -> DueSpans:
    return DueSpans(
        state, started=started, start=start, lookback=30 * DAY, reread_days=reread_days, earliest=TODAY - 5000 * DAY
    )


OUT = StreamState(
    replication_key_value=TODAY - DAY,
    newest=TODAY - DAY,
    oldest=TODAY - 3030 * DAY,
    reread_position=TODAY - 1030 * DAY,
    reread_time=TODAY - DAY,
)


def test_a_night_reads_what_is_new_the_look_back_and_a_slice() -> None:
    due = plan(OUT)
    slice_end = TODAY - 1030 * DAY + 101 * DAY
    assert due.spans == [Span(TODAY - 31 * DAY, None), Span(TODAY - 1030 * DAY, slice_end)]
    assert due.state == replace(OUT, unread=tuple(due.spans), reread_position=slice_end, reread_time=TODAY)
    new, older = due.spans
    at_page = due.progress(new, [Span(TODAY - 31 * DAY, TODAY - 20 * DAY)], [TODAY - 60.5, None, TODAY - 20 * DAY])
    assert (at_page.newest, at_page.replication_key_value) == (TODAY - 61, TODAY - DAY)
    assert at_page.unread == (Span(TODAY - 31 * DAY, TODAY - 20 * DAY), older)
    assert due.progress(new, []).unread == (older,)
    assert due.progress(older, []) == replace(
        OUT, replication_key_value=TODAY - 61, newest=TODAY - 61, reread_position=slice_end, reread_time=TODAY
    )


def test_a_round_goes_on_at_the_oldest_record_open_at_the_bottom() -> None:
    due = plan(replace(OUT, reread_position=TODAY - 80 * DAY))
    assert due.spans == [Span(TODAY - 80 * DAY, None), Span(None, TODAY - 3030 * DAY + 51 * DAY)]
    assert due.state.reread_position == TODAY - 3030 * DAY + 51 * DAY


def test_a_round_begins_at_the_start() -> None:
    due = plan(replace(OUT, reread_position=None), start=TODAY - 330 * DAY)
    assert due.spans[1:] == [Span(TODAY - 330 * DAY, TODAY - 319 * DAY)]


@pytest.mark.parametrize("days_late", [30, 31, 1000])
def test_a_late_run_reads_no_more_than_everything_once(days_late: int) -> None:
    due = plan(replace(OUT, reread_time=TODAY - days_late * DAY))
    assert due.spans == [Span(None, None)]
    assert due.state.reread_position == OUT.reread_position


def test_the_look_back_waits_while_earlier_spans_are_owed() -> None:
    owed = Span(TODAY - 100 * DAY, TODAY - 90 * DAY)
    due = plan(replace(OUT, unread=(owed,)), reread_days=0)
    assert due.spans == [Span(TODAY - DAY, None), owed]


def test_what_lies_before_the_start_is_not_due_until_the_start_is_moved() -> None:
    due = plan(StreamState(), start=TODAY - 9 * DAY)
    assert due.spans == [Span(TODAY - 9 * DAY, None)]
    state = due.progress(due.spans[0], [], [TODAY - 60])
    assert (state.unread, state.oldest) == ((Span(None, TODAY - 9 * DAY - 1),), TODAY - 60)
    assert plan(state, start=TODAY - 5 * DAY, reread_days=0).spans == [Span(TODAY - 5 * DAY, None)]
    assert plan(state, start=TODAY - 20 * DAY, reread_days=0).spans[1:] == [Span(TODAY - 20 * DAY, TODAY - 9 * DAY - 1)]


def test_a_list_that_shows_no_times_is_out_up_to_the_margin_of_clocks() -> None:
    due = DueSpans(StreamState(), started=TODAY, shows_times=False)
    state = due.progress(due.spans[0], [], [None])
    assert (state.newest, state.oldest) == (TODAY - CLOCK_MARGIN, None)


@pytest.mark.parametrize("reread_days", [1e-320, 0.5, 36_500])
def test_any_number_of_days_is_taken(reread_days: float) -> None:
    assert plan(OUT, reread_days=reread_days).spans


BOOKMARK = StreamState(replication_key_value=1_700_000_000, newest=1_700_000_000)
OURS = {
    "replication_key": KEY,
    "replication_key_value": "1700000000",
    "newest": 1_700_000_100,
    "oldest": 1_500_000_000,
    "unread": [[1_600_000_000.5, 1_600_000_001.5], [None, 1_400_000_000]],
    "reread_position": 1_550_000_000,
    "reread_time": 1_699_999_999,
}
READ = StreamState(
    1_700_000_000,
    1_700_000_100,
    1_500_000_000,
    (Span(1_600_000_000, 1_600_000_002), Span(None, 1_400_000_000)),
    1_550_000_000,
    1_699_999_999,
)
NOT_SPANS: list[Any] = [None, {}, "x", [None], [[1]], [[1, 2, 3]], [[2, 1]], [["x", 1]], [[1, True]], [[1, 1e300]]]
NOT_TIMES: list[Any] = [None, True, "x", [], {}, 1_700_000_000_000, "1700000000000", 10**400, "9" * 9999, 1e400]


@pytest.mark.parametrize(
    ("saved", "state", "warns"),
    [
        ({}, StreamState(), False),
        ({"progress_markers": {}}, StreamState(), False),
        (OURS, READ, False),
        ({"replication_key_value": 1_700_000_000.9}, BOOKMARK, True),
        ({"replication_key": KEY, "replication_key_value": "2023-11-14T22:13:20Z"}, BOOKMARK, True),
        ({"replication_key": "other", "replication_key_value": "1700000000"}, StreamState(), True),
        ({"replication_key": {}, "replication_key_value": "1700000000"}, StreamState(), True),
        ({**OURS, "newest": True}, replace(READ, newest=1_700_000_000), True),
        ({**OURS, "oldest": "x"}, replace(READ, oldest=None), True),
        ({**OURS, "reread_time": 1_700_000_000_000}, replace(READ, reread_time=None), True),
        *(({**OURS, "unread": unread}, replace(READ, unread=(WHOLE,)), True) for unread in NOT_SPANS),
        ({**OURS, "newest": None, "unread": None}, replace(READ, newest=1_700_000_000, unread=()), True),
        *(({"replication_key": KEY, "replication_key_value": value}, StreamState(), True) for value in NOT_TIMES),
    ],
)
def test_a_state_of_any_form_is_read_as_far_as_it_makes_sense(
    saved: dict[str, Any], state: StreamState, *, warns: bool
) -> None:
    found, warning = read_state(saved, KEY)
    assert found == state
    assert (warning is not None) == warns


SECONDS = st.none() | st.integers(0, 30)
SPANS = st.lists(
    st.tuples(SECONDS, SECONDS)
    .filter(lambda ends: ends[0] is None or ends[1] is None or ends[0] <= ends[1])
    .map(lambda ends: Span(*ends))
)


@accounts(share=20)
@given(
    states=st.builds(StreamState, SECONDS, SECONDS, SECONDS, SPANS.map(merge).map(tuple), SECONDS, SECONDS),
    odd=st.dictionaries(st.sampled_from(TIMES), st.sampled_from(NOT_TIMES[1:])),
    odd_spans=st.sampled_from(NOT_SPANS),
    reread_days=st.sampled_from([0, 30]),
)
def test_what_a_state_does_not_tell_counts_as_unread(
    states: StreamState, odd: dict[str, Any], odd_spans: Any, reread_days: float
) -> None:
    bookmark, newest = states.replication_key_value, states.newest
    if bookmark is not None:
        states = replace(states, newest=max(bookmark, newest or 0))
    saved: dict[str, Any] = {}
    write_state(states, saved, KEY, as_text=False)
    saved |= odd if odd_spans is None else {**odd, "unread": odd_spans}
    found, warning = read_state(saved, KEY)
    assert (warning is not None) == bool(odd or odd_spans is not None)
    due = DueSpans(found, started=TODAY, reread_days=reread_days)
    for second in range(40):
        if not is_claimed(states, second):
            assert not is_claimed(found, second)
            assert any(span.covers(second) for span in due.spans)


@accounts(share=5)
@given(SPANS, SECONDS, SECONDS)
def test_spans_that_are_merged_or_clipped_keep_their_seconds(
    spans: list[Span], since: int | None, until: int | None
) -> None:
    def seconds(spans: Iterable[Span]) -> set[int]:
        return {second for second in range(-5, 40) if any(span.covers(second) for span in spans)}

    merged = merge(spans)
    assert seconds(merged) == seconds(spans)
    # Newest first, and at least a second between them.
    assert all(
        older.until is not None and newer.since is not None and older.until + 1 < newer.since
        for newer, older in pairwise(merged)
    )
    assert seconds(clip(spans, since=since, until=until)) == seconds(spans) & seconds([Span(since, until)])
