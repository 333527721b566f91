"""Every change of every record arrives within `reread_days`, whatever the account is like and whenever runs die."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil
from random import Random
from statistics import mean
from typing import Any

import pytest
from tap_payments.records.chunk import ReplicationState, RereadState
from tap_payments.replication.bookmark import Bookmark
from tap_payments.replication.incremental import Incremental, Range
from tap_payments.replication.rereading import Older, Rereading

from tap_payments.records.timestamps import Window
from tests.support.nightly_requests import incremental
from tests.support.simulated_lists import SimulatedList

DAY = 86_400
TODAY = 1_750_000_000
NIGHTS = 400
JAN_2010 = 1_262_304_000


@dataclass
class Account:
    """An account, whose records are made and changed, and the nights on which it is read.

    Attributes:
        rng: What all chance comes from.
        age: Days that it is old when it is first read.
        filterable: Whether its list can be filtered by time.
        start: The setting `start_date`.
        reread_days: The setting of that name.
        lookback_days: The setting of that name.
        page_size: Records on a page.
    """

    rng: Random
    age: int
    filterable: bool = True
    start: int | None = None
    reread_days: float = 30
    lookback_days: float = 30
    page_size: int = 20
    state: dict[str, Any] = field(default_factory=dict)
    now: int = TODAY
    listing: SimulatedList = field(init=False)
    # The time of the oldest change of each record that has not arrived yet.
    changed: dict[str, float] = field(default_factory=dict)
    # When the first run with records that came to its end began.
    complete: float | None = None
    arrivals: int = 0

    def __post_init__(self) -> None:
        self.listing = SimulatedList(self.page_size)

    @property
    def begin(self) -> int:
        """When the account was opened."""
        return TODAY - self.age * DAY

    def insert(self, time: int, *, at: float | None = None) -> None:
        """Make a record, now or at another time."""
        key = self.listing.insert(time)
        if self.start is None or time >= self.start:
            self.changed[key] = self.now if at is None else at

    def fill(self, count: int) -> None:
        """Make the records of the past: as many as in all other times together fall into a few busy days."""
        busy = [self.rng.randint(self.begin, TODAY) for _ in range(3)]
        for _ in range(count):
            time = self.rng.randint(self.begin, TODAY)
            if self.rng.random() < 0.5:
                time = min(self.rng.choice(busy) + self.rng.randint(0, 5 * DAY), TODAY)
            self.insert(time, at=-1)

    def change(self, count: int) -> None:
        """Change some records, whatever their age."""
        for time, key in self.rng.choices(self.listing.rows, k=count) if self.listing.rows else ():
            if self.start is None or time >= self.start:
                self.changed.setdefault(key, self.now)

    def plan(self) -> Incremental:
        """Plan a run that begins now, from the STATE that the last one left."""
        bookmark = Bookmark(self.state, key="occurred", as_text=True)
        bookmark.clamp(self.now)
        earliest = JAN_2010 if self.filterable else 0
        reach = Range(bookmark.read(), self.start, int(self.lookback_days * DAY), self.now, earliest)
        return Incremental(
            self.listing.read_pages,
            reach,
            filterable=self.filterable,
            window_days=30,
            reread_days=self.reread_days,
        )

    def run(self, *, dies_after: int | None = None) -> bool:
        """Run once; what goes out behind the last STATE of a run that dies is lost.

        Args:
            dies_after: How many chunks it gets; None for all.

        Returns:
            Whether it came to its end.
        """
        bookmark = Bookmark(self.state, key="occurred", as_text=True)
        out: list[str] = []
        for number, chunk in enumerate(self.plan().chunks()):
            if number == dies_after:
                return False
            if chunk.fetched is not None:
                out += [chunk.fetched.outline.keys[place] for place in chunk.places]
            if chunk.bookmark is not None:
                bookmark.write(chunk.bookmark)
                self._arrive(out)
                out = []
        self._arrive(out)
        if self.complete is None and self.state:
            self.complete = self.now
        self._expect_promise(self.complete or self.now)
        return True

    def _arrive(self, keys: list[str]) -> None:
        for key in keys:
            self.arrivals += self.changed.pop(key, None) is not None

    def _expect_promise(self, complete: float) -> None:
        """Assert that a run has left no change behind that has waited for as long as it may.

        Args:
            complete: When the first run with records that came to its end began; earlier changes wait from then on.
        """
        waited = {key: self.now - max(changed, complete) for key, changed in self.changed.items()}
        late = {key: seconds / DAY for key, seconds in waited.items() if seconds >= self.reread_days * DAY}
        assert not late, f"not seen for so many days: {late}"


def live(account: Account, *, skipped: float, killed: float, nights: int = NIGHTS) -> None:
    """Let an account live for some nights, with runs that are skipped, come twice, or die."""
    rng = account.rng
    growth = rng.choice((0.0, 0.1, 3.0))
    away = 0
    for night in range(nights):
        account.now = TODAY + night * DAY + rng.randint(0, 3600)
        for _ in range(int(rng.expovariate(1 / growth)) if growth else 0):
            account.insert(account.now - rng.randint(0, DAY))
        if rng.random() < 0.02:
            # Another system is connected, which brings its own past.
            old = rng.randint(account.begin - 400 * DAY, account.now)
            for _ in range(rng.randint(1, 30)):
                account.insert(old + rng.randint(0, 20 * DAY))
        account.change(rng.randint(0, 4))
        away = away - 1 if away else (rng.randint(5, 60) if rng.random() < skipped / 20 else 0)
        if away or rng.random() < skipped:
            continue
        for _ in range(rng.choice((1, 1, 1, 3))):
            account.run(dies_after=rng.randint(0, 12) if rng.random() < killed else None)
            account.now += rng.randint(1, 3600)
            account.change(rng.randint(0, 2))


AGES = {"new": 0, "a month": 30, "a year": 365, "ten years": 3650}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("age", AGES.values(), ids=AGES)
def test_every_change_arrives_in_time_whatever_happens(age: int, seed: int) -> None:
    rng = Random(f"{age} {seed}")
    account = Account(
        rng,
        age,
        filterable=rng.random() < 0.8,
        start=rng.choice((None, None, TODAY - age * DAY, TODAY - age * DAY // 2)),
        reread_days=rng.choice((30, 30, 30, 7, 0.5, 365)),
        lookback_days=rng.choice((30, 30, 1, 0, 90)),
    )
    account.fill(rng.choice((0, 1, 60, 400)))
    live(account, skipped=rng.choice((0.0, 0.1, 0.5)), killed=rng.choice((0.0, 0.2, 0.7)))
    assert account.arrivals


@pytest.mark.parametrize("a_day", [1, 10, 100])
@pytest.mark.parametrize("age", [30, 365, 3650], ids=["a month", "a year", "ten years"])
def test_the_requests_of_a_night_are_even_and_few(age: int, a_day: int) -> None:
    nights = incremental(age * a_day, age, nights=65)
    assert max(nights.later) <= 2 * mean(nights.later)
    # A thirtieth of the pages each night, two requests for each window of 30 days, and what becomes older meanwhile.
    pages, windows = age * a_day / 499 / 30, age / 30 / 30
    assert pages * 0.9 < mean(nights.reread) + 0.1 * a_day < pages * 1.1 + 2 * windows + 3 + 0.2 * a_day


def plan(state: RereadState | None, *, hours: float = 0, days: int = 3000, reread_days: float = 30) -> Rereading:
    """Plan a run so many hours after the last one, of an account with so many days before the look-back."""
    older = Older(since=0, until=days * DAY, begin=0, end=days * DAY)
    state = state and replace(state, paid_until=TODAY - int(hours * 3600))
    return Rereading(state, older, started=TODAY, days=reread_days)


def length(rereading: Rereading) -> float:
    """Return the days that a run reads again."""
    return sum(part.span.length for part in rereading.parts) / DAY


BEGUN = RereadState(500 * DAY, TODAY)


def test_a_run_without_a_state_reads_nothing_again_and_begins_at_the_beginning() -> None:
    first = plan(None)
    assert not first.parts
    assert first.state_at_end == RereadState(0, TODAY)


def test_late_runs_read_a_larger_part_and_frequent_ones_a_smaller_one() -> None:
    assert length(plan(BEGUN, hours=24)) == pytest.approx(3000 / 30 + 1)
    assert length(plan(BEGUN, hours=1)) == pytest.approx((3000 / 30 + 1) / 24, rel=0.001)
    assert length(plan(BEGUN, hours=24 * 5)) == pytest.approx(5 * (3000 / 30 + 1))
    assert length(plan(BEGUN, hours=0)) == 0


@pytest.mark.parametrize("days_late", [30, 31, 1000])
def test_a_run_never_reads_more_than_all_of_it_once(days_late: int) -> None:
    late = plan(BEGUN, hours=24 * days_late)
    assert [part.span.bounds for part in late.parts] == [Window(500 * DAY, 3000 * DAY), Window(0, 500 * DAY)]
    assert late.state_at_end == BEGUN


def test_a_round_goes_on_at_the_beginning_once_it_comes_to_the_look_back() -> None:
    near_end = plan(RereadState(2950 * DAY, TODAY), hours=24)
    assert [part.span.bounds for part in near_end.parts] == [Window(2950 * DAY, 3000 * DAY), Window(0, 51 * DAY)]
    assert near_end.state_at_end == RereadState(51 * DAY, TODAY)


def test_a_run_that_dies_leaves_the_rest_to_the_next_one() -> None:
    first = plan(RereadState(2950 * DAY, TODAY), hours=24)
    last = first.parts[-1]
    died = first.state_at(last, 25 * DAY + DAY // 2)
    assert died == RereadState(25 * DAY + DAY // 2, TODAY - round(DAY * 25.5 / 101))
    rest = plan(died, hours=(TODAY - died.paid_until) / 3600)
    (part,) = rest.parts
    # A second that is not paid for in full is paid again.
    assert part.begin == died.position
    assert 51 * DAY <= part.end <= 51 * DAY + 101
    assert rest.state_at(part, part.end).paid_until == TODAY


def test_a_late_run_that_dies_owes_no_more_than_what_it_left() -> None:
    late = plan(BEGUN, hours=24 * 1000)
    died = late.state_at(late.parts[0], 2000 * DAY)
    rest = plan(died, hours=(TODAY - died.paid_until) / 3600)
    assert length(rest) == pytest.approx(1500, abs=0.01)


def test_what_is_in_the_look_back_is_passed_over_and_counts_as_read() -> None:
    # The newest record is half a year old, and so is the look-back before it.
    older = Older(since=0, until=2800 * DAY, begin=0, end=3000 * DAY)
    rereading = Rereading(RereadState(2790 * DAY, TODAY - 3 * DAY), older, started=TODAY, days=30)
    first, second = rereading.parts
    assert [first.span.bounds, second.span.bounds] == [Window(2790 * DAY, 2800 * DAY), Window(0, 93 * DAY)]
    paid_until = TODAY - 3 * DAY + int(3 * DAY * 210 / 303)
    assert rereading.state_at(first, 2800 * DAY) == RereadState(3000 * DAY, paid_until)
    nothing = Rereading(RereadState(2850 * DAY, TODAY - DAY), older, started=TODAY, days=30)
    assert not nothing.parts
    assert nothing.state_at_end == RereadState(2951 * DAY, TODAY)


def test_where_records_are_few_a_part_is_read_in_one_window() -> None:
    nights = incremental(3650, 3650, nights=20)
    assert mean(nights.reread) <= 2


@pytest.mark.parametrize("position", [-5, 3000 * DAY, TODAY * 10])
def test_a_position_that_is_not_older_than_the_look_back_is_the_beginning(position: int) -> None:
    assert plan(RereadState(position, TODAY), hours=24).parts[0].span.bounds == Window(0, 101 * DAY)


def test_a_time_in_the_future_is_paid_for_up_to_now() -> None:
    ahead = plan(BEGUN, hours=-24 * 90)
    assert not ahead.parts
    assert ahead.state_at_end == BEGUN


@pytest.mark.parametrize("reread_days", [1e-320, 0.5, 36_500])
def test_any_number_of_days_is_taken(reread_days: float) -> None:
    assert 0 < length(plan(BEGUN, hours=24, reread_days=reread_days)) <= 3000


def test_nothing_is_older_than_a_start_date_within_the_look_back() -> None:
    older = Older(since=TODAY - 5 * DAY, until=TODAY - 5 * DAY, begin=TODAY - 5 * DAY, end=TODAY - 35 * DAY)
    rereading = Rereading(RereadState(TODAY - 5 * DAY, TODAY - DAY), older, started=TODAY, days=30)
    assert not rereading.parts
    assert rereading.state_at_end.paid_until == TODAY


@pytest.mark.parametrize("start", [None, TODAY - 3000 * DAY])
def test_what_is_older_than_the_first_record_known_is_read_with_the_beginning_of_a_round(start: int | None) -> None:
    account = Account(Random(1), age=3, start=start)
    account.fill(5)
    account.run()
    account.listing.requests.clear()
    account.now += DAY
    account.insert(account.begin - 2000 * DAY)
    account.run()
    assert account.listing.requests[-1].since == start
    assert not account.changed


def test_without_days_nothing_is_read_again_and_no_state_is_kept() -> None:
    account = Account(Random(1), age=3650, reread_days=0)
    account.fill(200)
    account.run()
    assert set(account.state) == {"replication_key", "replication_key_value"}
    left = {**account.state, "reread_position": JAN_2010, "reread_paid_until": TODAY}
    account.state = dict(left)
    account.listing.requests.clear()
    account.now += 300 * DAY
    account.run()
    assert account.state == left
    assert all(window.since and window.since >= TODAY - 400 * DAY for window in account.listing.requests)


@pytest.mark.parametrize("filterable", [True, False])
def test_a_state_is_as_large_as_it_may_be_and_in_whole_seconds(*, filterable: bool) -> None:
    account = Account(Random(1), age=3650, filterable=filterable)
    account.fill(200)
    account.run()
    (oldest, _), *_, (newest, _) = account.listing.rows
    assert account.state == {
        "replication_key": "occurred",
        "replication_key_value": str(newest),
        "reread_oldest": oldest,
        "reread_position": JAN_2010 if filterable else 0,
        "reread_paid_until": TODAY,
    }
    account.now += DAY
    account.run()
    assert account.state["replication_key_value"] == str(newest)
    assert account.state["reread_paid_until"] == TODAY + DAY
    span = TODAY + DAY - 30 * DAY - oldest
    assert account.state["reread_position"] == oldest + ceil(span / 30 + DAY)


@pytest.mark.parametrize("start", [0, JAN_2010])
def test_an_early_start_date_does_not_make_nights_uneven(start: int) -> None:
    account = Account(Random(1), age=3650, start=start, reread_days=10, page_size=1)
    for day in range(3650):
        account.insert(account.begin + day * DAY, at=-1)
    account.run()
    nights = []
    for _ in range(30):
        account.now += DAY
        account.listing.requests.clear()
        account.run()
        nights.append(len(account.listing.requests))
    assert max(nights) < 2 * mean(nights)


def test_records_that_hide_the_time_they_are_filtered_by_do_not_shorten_the_span() -> None:
    account = Account(Random(1), age=3650)
    account.listing.shows_filter_times = False
    account.fill(200)
    account.run()
    assert "reread_oldest" not in account.state
    assert account.state["reread_position"] == JAN_2010


def test_a_look_back_before_1970_asks_for_no_negative_time() -> None:
    account = Account(Random(1), age=3650, lookback_days=36_500)
    account.fill(50)
    for _ in range(3):
        account.run()
        account.now += DAY
    bounds = [bound for window in account.listing.requests for bound in (window.since, window.until)]
    assert all(bound is None or bound >= 0 for bound in bounds)


@pytest.mark.parametrize("value", [None, "soon", float("nan")])
@pytest.mark.parametrize("key", ["reread_position", "reread_paid_until"])
def test_a_state_that_lacks_a_part_begins_anew(key: str, value: object) -> None:
    state = {"replication_key_value": 5, "reread_position": 3, "reread_paid_until": 4, key: value}
    assert Bookmark(state, key="first_seen", as_text=False).read() == ReplicationState(5)


def test_a_state_without_a_bookmark_says_nothing_of_re_reading() -> None:
    state = {"reread_position": 3, "reread_paid_until": 4, "reread_oldest": 2}
    assert Bookmark(state, key="first_seen", as_text=False).read() == ReplicationState()
