"""Whatever a list does while it is read, the paginator loses nothing, ends, and raises no false alarm.

`PAGINATOR_EXAMPLES` sets how many lists each property is tried on; with it they are drawn by chance, without it they
are the same at every run.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import ceil
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tap_payments.errors import ContradictionError, UnreadableListError
from tap_payments.pagination.descent import MAX_WITHOUT_PROGRESS
from tap_payments.pagination.pages import PageToken, PagingRules
from tap_payments.pagination.reading import new_paginator
from tap_payments.records.page import PageOutline
from tap_payments.records.timestamps import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLES = os.environ.get("PAGINATOR_EXAMPLES")
MAX_REQUESTS = 20_000
MAX_RETRIES = 3


def tried(share: float = 1.0) -> settings:
    return settings(
        max_examples=ceil(int(EXAMPLES or 1_000) * share),
        derandomize=EXAMPLES is None,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


class Row(NamedTuple):
    """A record: when, and by which key; `created` is the time that the API filters by."""

    time: int
    key: str
    created: int


@dataclass(frozen=True)
class Changes:
    """How a list changes; where and how is drawn from the list's own seed.

    Attributes:
        chance: In so many of a hundred requests the list changes before the answer.
        most: The most changes.
        pages: The most pages of records that one change inserts or deletes; 0 for one record.
    """

    chance: int = 0
    most: int = 0
    pages: int = 0


@dataclass(frozen=True)
class Lies:
    """What an API says and does that is not so; how often is drawn from the list's own seed.

    Attributes:
        total: What it says of how many there are: `none`, or `honest`, or a wrong number.
        empties: In so many of a hundred requests an empty page comes, beside something that contradicts it.
        silent: Whether such a page may also come without a contradiction, at an offset above 0.
        errors: In so many of a hundred requests an error stands beside the records.
        soft_cap: Offsets above this one are answered with an empty page; None for no such cap.
        rounding: Offsets are rounded down to a multiple of this.
        shuffles: Whether the records of one second come in another order at each request.
        varies: Whether pages vary in length, from half a page on, as under a limit of bytes.
    """

    total: str = "none"
    empties: int = 0
    silent: bool = False
    errors: int = 0
    soft_cap: int | None = None
    rounding: int = 1
    shuffles: bool = False
    varies: bool = False


@dataclass(frozen=True)
class Api:
    """How an API serves one list.

    Attributes:
        seed: What all chance comes from.
        records: How many records it has at first.
        spread: The newest time that a record may have at first; the fewer seconds, the more records share one.
        page_size: Records asked for a page.
        page_cap: The most that it serves.
        max_offset: The largest offset that it answers.
        overlap: Records that two pages are to share.
        total: Whether it says how many there are.
        since: Lower end of the window read.
        until: Upper end of the window read.
        timeless: Every so many-th record has a time that cannot be read; 0 for none.
        ahead: Pages fetched before their turn.
        backwards: Whether pages fetched ahead come the last one first.
        changes: How it changes.
        ascending: Whether the oldest records come first.
        ignores_offset: Whether it serves the first page whatever the offset.
        ignores_filter: Whether it serves the whole list whatever the filter.
        excludes_until: Whether the upper end of a filter is left out.
        lies: What it says and does that is not so.
        check_total: Whether its totals are believed to contradict an end.
        skew: Largest difference between a record's time and the time that the API filters by.
        shows_created: Whether records show the time that the API filters by.
    """

    seed: int
    records: int
    spread: int
    page_size: int
    page_cap: int
    max_offset: int | None = None
    overlap: int = 0
    total: bool = False
    since: int | None = None
    until: int | None = None
    timeless: int = 0
    ahead: int = 0
    backwards: bool = False
    changes: Changes = Changes()
    ascending: bool = False
    ignores_offset: bool = False
    ignores_filter: bool = False
    excludes_until: bool = False
    lies: Lies = Lies()
    check_total: bool = True
    skew: int = 0
    shows_created: bool = True

    @property
    def page(self) -> int:
        """Records on a full page as it is served."""
        return min(self.page_size, self.page_cap)


@dataclass
class Reading:
    """An API being read by a paginator, and what came of it.

    Attributes:
        sent: How often each record went out.
        requests: The tokens asked for, those fetched ahead included.
        taken: The tokens in the order their pages were used.
        kept: The keys of the records that were there all the time.
        error: Why the list could not be read.
        warned: Whether one page counted as the whole list, since the API ignores the offset.
        filled: Whether the records of one second were said to fill a page.
        showed_disorder: Whether a page had a record that was newer, by the filter's time, than the one before it.
        was_emptied: Whether an answer at offset 0 had no record to show, after others had.
        contradicted: Whether reading ended since each try brought a contradiction.
    """

    api: Api
    sent: Counter[str] = field(default_factory=Counter)
    requests: list[PageToken] = field(default_factory=list)
    taken: list[PageToken] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    error: str | None = None
    warned: bool = False
    filled: bool = False
    contradicted: bool = False
    showed_disorder: bool = False
    was_emptied: bool = False

    def __post_init__(self) -> None:
        api = self.api
        self._random = Random(api.seed)
        times = sorted((self._random.randint(0, api.spread) for _ in range(api.records)), reverse=True)
        self._rows = [self._row(time, number) for number, time in enumerate(times)]
        self._made = len(self._rows)
        self._ever = Counter(times)
        self._changes = api.changes.most
        self._changed_at: list[int] = []
        self._fetched_at: list[int] = []
        self._answers: dict[PageToken, tuple[int, PageOutline | None]] = {}
        self._served: dict[str, float] = {}
        self.kept = {row.key for row in self._rows if self._is_wanted(row)}

    @property
    def lost(self) -> set[str]:
        """The keys of the records that were there all the time and did not go out."""
        return self.kept - set(self.sent)

    def times_of(self, keys: set[str]) -> set[int]:
        """Return the times of records that are in the list."""
        return {row.time for row in self._rows if row.key in keys}

    @property
    def most_in_a_second(self) -> int:
        """The most records that any one second ever had."""
        return max(self._ever.values(), default=0)

    @property
    def saw_one_second(self) -> bool:
        """Whether all records that were served share one second."""
        return len(set(self._served.values())) == 1

    @property
    def bottom_has_gone(self) -> bool:
        """Whether all records of the oldest time served are gone, or the list changed since the cap was reached."""
        oldest = min(self._served.values())
        left = {row.key for row in self._rows if row.time == oldest}
        ends = [token.until for token in self.taken]
        before = max((place for place, end in enumerate(ends) if end not in ends[-2:]), default=0)
        return left.isdisjoint(self._served) or any(change > self._fetched_at[before] for change in self._changed_at)

    def run(self) -> Reading:
        """Read the list to its end."""
        api = self.api
        rules = PagingRules(
            api.page_size,
            overlap=api.overlap,
            max_offset=api.max_offset,
            filterable=True,
            check_total=api.check_total,
            now=api.spread + api.skew + 1,
        )
        paginator = new_paginator(rules, Window(api.since, api.until))
        tries = 0
        self._fetch([paginator.token])
        while not paginator.finished:
            token = paginator.token
            fetched, page = self._answers.pop(token)
            try:
                page = _believed(page)
                paginator.advance(page)
            except ContradictionError as error:
                tries += 1
                if tries > MAX_RETRIES:
                    self.error, self.contradicted = str(error), True
                    break
                self._fetch([token, *self._answers])
                continue
            except UnreadableListError as error:
                self.error = str(error)
                break
            finally:
                assert len(self.requests) < MAX_REQUESTS, "it goes on for ever"
            tries = 0
            self.taken.append(token)
            self._fetched_at.append(fetched)
            self._served.update(
                (key, time) for key, time in zip(page.keys, page.times, strict=True) if time is not None
            )
            self.sent.update(page.keys[place] for place in paginator.fresh)
            if not paginator.finished:
                guesses = paginator.guesses(api.ahead)
                assert len(guesses) <= api.ahead
                self._fetch([paginator.token, *guesses])
            pairs = pairwise(time for time in page.filter_times if time is not None)
            self.showed_disorder = self.showed_disorder or any(older > newer for newer, older in pairs)
        self.warned = paginator.ignores_offset
        self.filled = paginator.fills_page
        return self

    def _fetch(self, tokens: list[PageToken]) -> None:
        """Schedule these pages and no others."""
        self._answers = {token: answer for token, answer in self._answers.items() if token in tokens}
        for token in reversed(tokens) if self.api.backwards else tokens:
            if token not in self._answers:
                if self._changes and self._random.randrange(100) < self.api.changes.chance:
                    self._changes -= 1
                    self._changed_at.append(len(self.requests))
                    self._change(token.offset)
                self._answers[token] = len(self.requests), self._answer(token)
                self.requests.append(token)

    def _row(self, time: int, number: int) -> Row:
        created = max(0, time - self._random.randint(0, self.api.skew)) if self.api.skew else time
        return Row(time, f"r{number}", created)

    def _answer(self, token: PageToken) -> PageOutline | None:
        api, lies, draw = self.api, self.api.lies, self._random
        assert api.max_offset is None or token.offset <= api.max_offset, "it asks for more than the largest offset"
        assert token.offset >= 0
        rows = self._rows
        if not api.ignores_filter:
            rows = [
                row
                for row in rows
                if (token.since is None or row.created >= token.since)
                and (token.until is None or row.created < token.until + (not api.excludes_until))
            ]
        if lies.shuffles:
            rows = sorted(rows, key=lambda row: (-row.time, draw.random()))
        if api.ascending:
            rows = rows[::-1]
        if lies.errors and draw.randrange(100) < lies.errors:
            return None
        offset = 0 if api.ignores_offset else token.offset // lies.rounding * lies.rounding
        # No page is so short that it holds nothing but what the page before had: that is how a list ends.
        shortest = min(api.page, max(2 * api.overlap + self.most_in_a_second + 2, (api.page + 1) // 2))
        length = draw.randint(shortest, api.page) if lies.varies else api.page
        page = rows[offset : offset + length]
        if lies.soft_cap is not None and offset > lies.soft_cap:
            page = []
        self.was_emptied = self.was_emptied or (not rows and bool(self.sent))
        total = self._total(len(rows), offset + len(page))
        has_more = False
        if page and lies.empties and draw.randrange(100) < lies.empties:
            page = []
            if not (lies.silent and token.offset > 0 and draw.random() < 1 / 2):
                has_more = lies.total != "honest" or not api.check_total or draw.random() < 1 / 2
        times = [None if api.timeless and int(row.key[1:]) % api.timeless == 0 else row.time for row in page]
        filter_times: Sequence[float | None] = times
        if api.skew:
            filter_times = [row.created if api.shows_created else None for row in page]
        return PageOutline([row.key for row in page], times, filter_times, total, has_more)

    def _total(self, honest: int, reached: int) -> int | None:
        lies = {
            "none": None,
            "honest": honest,
            "zero": 0,
            "page": reached,
            "capped": min(honest, 7),
            "stale": honest + 3,
        }
        if self.api.total:
            return honest
        return lies[self.api.lies.total]

    def _change(self, position: int) -> None:
        """Insert or delete one record, or some in a row: at the top, near the reader, or anywhere."""
        draw = self._random
        count = 1 if draw.random() < 1 / 2 else draw.randint(1, max(1, self.api.changes.pages * self.api.page))
        around = position + draw.randint(-2 * self.api.page, self.api.page)
        place = draw.choice([0, draw.randint(0, len(self._rows)), min(max(around, 0), len(self._rows))])
        if draw.random() < 1 / 2:
            self.kept.difference_update(row.key for row in self._rows[place : place + count])
            del self._rows[place : place + count]
            return
        time = self._rows[min(place, len(self._rows) - 1)].time if self._rows else 0
        if place == 0 and draw.random() < 1 / 2:
            time += 1
        top = next((number for number, row in enumerate(self._rows) if row.time <= time), len(self._rows))
        self._rows[top:top] = [self._row(time, self._made + number) for number in range(count)]
        self._ever[time] += count
        self._made += count

    def _is_wanted(self, row: Row) -> bool:
        api = self.api
        return (api.since is None or row.created >= api.since) and (api.until is None or row.created <= api.until)


def _believed(page: PageOutline | None) -> PageOutline:
    """Refuse an answer with an error, as reading its body does.

    Raises:
        ContradictionError: If it has one.
    """
    if page is None:
        raise ContradictionError("an error beside data")
    return page


# The window, in tenths of the span that the records lie in.
BOUNDS = st.sampled_from([(None, None), (None, None), (None, 8), (2, None), (3, 9), (5, 5)])
CHANGES = st.builds(
    Changes, chance=st.sampled_from([5, 30, 80]), most=st.integers(1, 40), pages=st.sampled_from([0, 1, 6])
)


@st.composite
def apis(draw: st.DrawFn, least_overlap: int = 0, most_overlap: int = 3, *, capped: bool = True) -> Api:
    """Draw a list that stands still, and an API that serves it as documented."""
    overlap = draw(st.integers(least_overlap, most_overlap))
    page_size = overlap + draw(st.integers(1, 8))
    page_cap = draw(st.one_of(st.just(page_size), st.integers(overlap + 1, page_size)))
    spread = draw(st.sampled_from([1, 3, 30, 300, 100_000]))
    since, until = draw(BOUNDS)
    return Api(
        seed=draw(st.integers(0, 1 << 32)),
        records=draw(st.one_of(st.integers(0, 9), st.integers(10, 150))),
        spread=spread,
        page_size=page_size,
        page_cap=page_cap,
        max_offset=draw(st.one_of(st.none(), st.integers(page_cap, 12 * page_cap))) if capped else None,
        overlap=overlap,
        total=draw(st.booleans()),
        since=None if since is None else since * spread // 10,
        until=None if until is None else until * spread // 10,
        ahead=draw(st.sampled_from([0, 0, 1, 3])),
        backwards=draw(st.booleans()),
    )


def reaches(reading: Reading) -> bool:
    """Whether the largest offset lets anyone read all records of any second, and prove that they were all.

    It does not either where all that came before the cap shares one second, since newer records push it down.
    """
    cap = reading.api.max_offset
    return cap is None or (reading.most_in_a_second <= cap and not reading.saw_one_second)


@tried(0.5)
@given(apis())
def test_a_list_that_stands_still_goes_out_whole_each_record_once(api: Api) -> None:
    reading = Reading(api).run()
    event(f"narrowed: {any(token.until != api.until for token in reading.taken)}")
    if reading.error is not None:
        assert "share the second" in reading.error
        assert not reaches(reading)
        return
    assert not reading.lost
    assert set(reading.sent) == reading.kept
    assert set(reading.sent.values()) <= {1}


@tried(0.25)
@given(apis(0, 0, capped=False))
def test_without_a_cap_there_is_one_request_more_than_pages_at_most(api: Api) -> None:
    api = replace(api, ahead=0)
    reading = Reading(api).run()
    pages = ceil(len(reading.kept) / api.page)
    assert len(reading.requests) == pages + 1
    if api.page == api.page_size:
        full = [api.page_size * number for number in range(len(reading.kept) // api.page_size + 1)]
        assert [token.offset for token in reading.requests][: len(full)] == full[: len(reading.requests)]


@tried(0.25)
@given(apis(), st.integers(1, 6))
def test_pages_fetched_ahead_change_neither_records_nor_their_order(api: Api, ahead: int) -> None:
    alone, with_guesses = Reading(replace(api, ahead=0)).run(), Reading(replace(api, ahead=ahead)).run()
    assert list(with_guesses.sent.items()) == list(alone.sent.items())
    assert with_guesses.taken == alone.taken
    assert with_guesses.error == alone.error


@tried()
@given(apis(1), CHANGES)
def test_a_list_that_moves_loses_no_record_that_was_there_all_the_time(api: Api, changes: Changes) -> None:
    reading = Reading(replace(api, changes=changes)).run()
    event(f"error: {reading.error and reading.error[:25]}")
    error = reading.error or ""
    if "share the second" in error:
        assert not reaches(reading)
    elif "does not bring back" in error:
        assert reading.bottom_has_gone or not reaches(reading)
    elif "is empty after" in error:
        assert reading.was_emptied
    else:
        assert not error
        assert not reading.lost


@tried(0.25)
@given(apis(1), CHANGES, st.integers(2, 5))
def test_times_that_cannot_be_read_lose_nothing(api: Api, changes: Changes, timeless: int) -> None:
    reading = Reading(replace(api, max_offset=None, changes=changes, timeless=timeless)).run()
    assert reading.error is None or reading.was_emptied
    assert reading.error or not reading.lost


@tried(0.5)
@given(
    apis(),
    st.sampled_from(["ascending", "ignores_offset", "ignores_filter", "excludes_until"]),
)
def test_an_api_that_breaks_its_contract_is_never_read_in_part(api: Api, breach: str) -> None:
    reading = Reading(replace(api, **{breach: True})).run()  # type: ignore[arg-type]  # the names are those of flags
    event(f"{breach}: {'error' if reading.error else 'whole'}")
    if reading.error is None and breach == "excludes_until":
        # What the end of the window leaves out is not the paginator's to miss.
        assert reading.times_of(reading.lost) <= {api.until}
    elif reading.error is None:
        assert not reading.lost or reading.warned
    if reading.warned:
        assert breach == "ignores_offset"
        assert not reading.lost or api.page < api.page_size


@tried(0.25)
@given(apis(1, 1), st.integers(0, 2))
def test_pages_no_longer_than_the_overlap_are_refused_or_read_whole(api: Api, more: int) -> None:
    cap = api.page_cap
    reading = Reading(replace(api, overlap=cap + more, page_size=cap + more + api.page_size)).run()
    assert reading.error is not None or not reading.lost


LIES = st.builds(
    Lies,
    total=st.sampled_from(["none", "honest", "zero", "page", "capped", "stale"]),
    empties=st.sampled_from([0, 0, 10, 40]),
    silent=st.booleans(),
    errors=st.sampled_from([0, 0, 10, 40]),
    soft_cap=st.one_of(st.none(), st.integers(5, 60)),
    rounding=st.one_of(st.just(1), st.integers(1, 9)),
    shuffles=st.booleans(),
    varies=st.booleans(),
)


@tried(2.5)
@given(apis(), LIES, st.one_of(st.just(Changes()), CHANGES), st.booleans())
def test_an_api_that_lies_is_read_whole_or_refused(api: Api, lies: Lies, changes: Changes, check_total: bool) -> None:  # noqa: FBT001
    if not api.overlap:
        # What nothing shows cannot be noticed without an overlap: the limits that the README names.
        lies = replace(lies, soft_cap=None, silent=False, shuffles=False, rounding=1)
        changes = Changes()
    if lies.varies:
        # Where pages vary in length an end is an empty page below it; one that nothing contradicts is believed.
        lies = replace(lies, soft_cap=None, silent=False, rounding=1)
    api = replace(api, total=False, lies=lies, changes=changes, check_total=check_total, max_offset=None)
    reading = Reading(api).run()
    event(f"{'error' if reading.error else 'whole'}, filled: {reading.filled}, warned: {reading.warned}")
    if (
        reading.error is None
        and not reading.warned
        and not (lies.shuffles and reading.most_in_a_second >= api.page // (1 + lies.varies))
    ):
        assert not reading.lost
    if reading.contradicted and not reading.was_emptied:
        assert lies.errors or lies.empties or lies.total == "stale" or lies.soft_cap is not None


@tried()
@given(apis(1, capped=False), CHANGES)
def test_pages_that_vary_in_length_lose_nothing_of_a_list_that_moves(api: Api, changes: Changes) -> None:
    page = 4 * (api.overlap + 3)
    api = replace(api, page_size=page, page_cap=page, spread=max(api.spread, 300), total=False)
    reading = Reading(replace(api, changes=changes, lies=Lies(varies=True))).run()
    event(f"error: {reading.error and reading.error[:25]}")
    if reading.most_in_a_second < page // 4:
        assert reading.error is None or reading.was_emptied
        assert reading.error or not reading.lost


@tried()
@given(apis(1, capped=False), CHANGES)
def test_ties_in_any_order_lose_nothing_where_they_are_shorter_than_a_page(api: Api, changes: Changes) -> None:
    reading = Reading(replace(api, total=False, changes=changes, lies=Lies(shuffles=True))).run()
    event(f"filled: {reading.filled}")
    if reading.most_in_a_second < api.page:
        assert reading.error is None or reading.was_emptied
        assert reading.error or not reading.lost


@tried()
@given(apis(), st.integers(1, 40), st.booleans(), st.booleans())
def test_a_filter_by_another_time_than_the_order_loses_nothing_behind_the_cap(
    api: Api,
    skew: int,
    shows_created: bool,  # noqa: FBT001 - drawn
    ascending: bool,  # noqa: FBT001 - drawn
) -> None:
    api = replace(api, total=False, skew=skew, shows_created=shows_created, ascending=ascending)
    reading = Reading(api).run()
    event(f"error: {reading.error and reading.error[:30]}")
    if reading.error is not None:
        assert "than the largest offset" in reading.error
    elif reading.showed_disorder or not shows_created:
        assert not reading.lost


@pytest.mark.parametrize("overlap", [0, 1])
def test_a_page_that_comes_again_and_again_ends_the_reading(overlap: int) -> None:
    api = Api(0, 50, 1_000, 10, 10, overlap=overlap, ignores_offset=True)
    reading = Reading(api).run()
    assert "ignores the offset" in (reading.error or "")
    assert len(reading.requests) == (3, MAX_WITHOUT_PROGRESS + 1)[overlap]
    assert set(reading.sent.values()) == {1}


def test_a_page_of_no_usual_length_that_comes_again_counts_as_the_whole_list_without_overlap() -> None:
    reading = Reading(Api(0, 9, 1_000, 10, 10, ignores_offset=True)).run()
    assert reading.error is None
    assert reading.warned
    assert not reading.lost
    assert len(reading.requests) == 3


@pytest.mark.parametrize("length", [10, 20, 25, 75])
def test_a_page_of_a_usual_length_that_comes_again_is_refused(length: int) -> None:
    reading = Reading(Api(0, 300, 1_000, 500, length, ignores_offset=True)).run()
    assert 'set it to ""' in (reading.error or "")


def test_pages_that_come_round_again_end_the_reading() -> None:
    class Carousel(Reading):
        def _answer(self, token: PageToken) -> PageOutline | None:
            return super()._answer(replace(token, offset=token.offset % 95))

    reading = Carousel(Api(0, 100, 1_000, 10, 10)).run()
    assert "again and again" in (reading.error or "")
    assert len(reading.requests) < 500
