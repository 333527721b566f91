"""Whatever a list does while it is read, the paginators lose nothing, end, and raise no false alarm.

`PAGINATOR_EXAMPLES` sets how many lists each property is tried on; with it they are drawn by chance, without it they
are the same at every run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, floor, inf
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from tap_payments.errors import ContradictionError, UnreadableListError
from tap_payments.pagination.base import MAX_STALLED
from tap_payments.pagination.loop import new_paginator, read_pages
from tap_payments.pagination.pages import ListFacts, PageToken, PagingRules, Span
from tap_payments.records.page import Page
from tests.support.examples import tried

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Strategies = dict[str, st.SearchStrategy[Any]]

MAX_REQUESTS = 5_000
MAX_TRIES = 4
lists = partial(tried, 1_000, "PAGINATOR_EXAMPLES")


class Row(NamedTuple):
    """A record: when, and by which key; `created` is the time that the API filters by; None is no time at all."""

    time: float | None
    key: str
    created: float | None

    @property
    def order(self) -> float:
        """The order of the list: records without a time come last."""
        return -1 if self.time is None else self.time


@dataclass(frozen=True)
class Api:
    """How an API serves one list; what happens by chance is drawn from the seed."""

    seed: int
    records: int
    # The newest time that a record may have at first; the fewer seconds, the more records share one.
    spread: int
    page_size: int
    page_cap: int
    max_offset: int | None = None
    overlap: int = 0
    since: int | None = None
    until: int | None = None
    # Every so many-th record has no time, and comes last.
    timeless: int = 0
    fractions: bool = False
    # Pages that may be scheduled before they are taken, and whether they come the last one first.
    ahead: int = 0
    backwards: bool = False
    ascending: bool = False
    ignores_offset: bool = False
    ignores_filter: bool = False
    excludes_until: bool = False
    excludes_since: bool = False
    # Whether the filter and the order look at whole seconds only.
    floors: bool = False
    # Largest difference between a record's time and the time that the API filters by, either way.
    skew: int = 0
    shows_created: bool = True
    filterable: bool = True
    check_total: bool = True
    # The list changes before so many of a hundred requests, so many times at most, by so many pages of records at once.
    chance: int = 0
    changes: int = 0
    pages: int = 0
    # Lies: of its length (`none` is no total); so many empty pages and errors beside data in a hundred requests, the
    # former also without a contradiction; empty pages above an offset; offsets that are rounded down to multiples;
    # another order of a second's records at each request; pages of half the length and more.
    total: str = "none"
    empties: int = 0
    silent: bool = False
    errors: int = 0
    soft_cap: int | None = None
    rounding: int = 1
    shuffles: bool = False
    varies: bool = False

    @property
    def page(self) -> int:
        """Records on a full page as it is served."""
        return min(self.page_size, self.page_cap)

    @property
    def is_honest(self) -> bool:
        """Whether the API keeps to what it documents, but for its list's changes."""
        breaks = self.ascending or self.ignores_filter or self.ignores_offset or not self.filterable
        lies = self.empties or self.errors or self.soft_cap is not None or self.rounding > 1 or self.shuffles
        return not (breaks or lies or self.varies or self.total not in {"none", "honest"})


class Reading:
    """An API being read by a paginator, and what came of it.

    Attributes:
        sent: How often each record went out.
        kept: The keys of the records that were there all the time.
        requests: The tokens asked for, those fetched ahead included; `taken` are those whose pages were used, in order.
        error: Why the list could not be read.
        was_emptied: Whether an answer had no record to show, after others had.
    """

    def __init__(self, api: Api) -> None:
        self.api = api
        self.sent: Counter[str] = Counter()
        self.requests: list[PageToken] = []
        self.taken: list[PageToken] = []
        self.error: Exception | str = ""
        self.warnings = self.notes = ""
        self.was_emptied = False
        self._span, self._facts = Span(api.since, api.until), ListFacts(api.page_size)
        self._random = Random(api.seed)
        self._rows: list[Row] = []
        # How many records each second ever had, by the list's time and by the filter's.
        self._ever: Counter[int] = Counter()
        self.ever_created: Counter[int] = Counter()
        self._changes = api.changes
        self._answers: dict[PageToken, Page | None] = {}
        for time in sorted((self._time() for _ in range(api.records)), reverse=True):
            self._insert(time)
        self.kept = {row.key for row in self._rows if self._is_wanted(row)}

    @property
    def lost(self) -> set[str]:
        """The keys of the records that were there all the time and did not go out."""
        return self.kept - set(self.sent)

    @property
    def most_in_a_second(self) -> int:
        """The most records that any one second ever had."""
        return max(self._ever.values(), default=0)

    def run(self) -> Reading:
        """Read the list to its end."""
        api = self.api
        rules = PagingRules(
            api.page_size,
            overlap=api.overlap,
            max_offset=api.max_offset,
            is_filterable=api.filterable,
            shows_filter_time=api.shows_created,
            check_total=api.check_total,
            started=api.spread + api.skew + 1,
        )
        paginator = new_paginator(rules, self._span, self._facts)
        try:
            for page, new_indexes, remaining in read_pages(paginator, self._take, self._schedule, ahead=api.ahead):
                self.sent.update(page.keys[index] for index in new_indexes)
                self._expect_true(remaining)
        except (ContradictionError, UnreadableListError) as error:
            self.error = error
        self.warnings, self.notes = " ".join(self._facts.warnings), " ".join(self._facts.notes)
        return self

    def _expect_true(self, remaining: Sequence[Span]) -> None:
        """Check that what is said to be out is out, while the list stands still and comes by the filter's time."""
        api = self.api
        if self._facts.warnings or api.chance or not api.is_honest:
            return
        for row in self._rows:
            if row.created is not None and self._is_wanted(row) and row.key not in self.sent:
                assert any(span.covers(row.created) for span in remaining), f"{row} is neither out nor in {remaining}"

    def _schedule(self, tokens: Sequence[PageToken]) -> None:
        """Request these pages and no others."""
        assert len(tokens) <= self.api.ahead
        self._answers = {token: answer for token, answer in self._answers.items() if token in tokens}
        for token in reversed(tokens) if self.api.backwards else tokens:
            if token not in self._answers:
                self._request(token)

    def _take(self, token: PageToken, check: Callable[[Page], None]) -> Page:
        """Return a page that is believed; an error beside its data is refused as reading its body does."""
        failure = ContradictionError("an error beside data")
        for _ in range(MAX_TRIES):
            if token not in self._answers:
                self._request(token)
            page = self._answers.pop(token)
            if page is None:
                continue
            try:
                check(page)
            except ContradictionError as error:
                failure = error
            else:
                self.taken.append(token)
                return page
        raise failure

    def _request(self, token: PageToken) -> None:
        if self._changes and self._random.randrange(100) < self.api.chance:
            self._changes -= 1
            self._change(token.offset)
        self._answers[token] = self._answer(token)
        self.requests.append(token)
        assert len(self.requests) < MAX_REQUESTS, "it goes on for ever"

    def _time(self) -> float:
        time = self._random.randint(1, self.api.spread)
        return time + self._random.choice([0, 0, 0.25, 0.5, 0.999]) if self.api.fractions else time

    def _insert(self, time: float | None) -> None:
        """Make a record, at its place by time, before those of the same time."""
        api, number = self.api, self._ever.total()
        if api.timeless and number % api.timeless == 0:
            time = None
        created = time
        if time is not None and api.skew:
            created = max(1, time + self._random.randint(-api.skew, api.skew))
        row = Row(time, f"r{number}", created)
        index = next((index for index, other in enumerate(self._rows) if other.order <= row.order), len(self._rows))
        self._rows.insert(index, row)
        self._ever[floor(row.order)] += 1
        if created is not None:
            self.ever_created[floor(created)] += 1

    def _change(self, position: int) -> None:
        """Insert or delete one record, or some in a row: at the top, near the reader, or anywhere."""
        draw, page = self._random, self.api.page
        count = 1 if draw.random() < 1 / 2 else draw.randint(1, max(1, self.api.pages * page))
        around = position + draw.randint(-2 * page, page)
        index = draw.choice([0, draw.randint(0, len(self._rows)), min(max(around, 0), len(self._rows))])
        if draw.random() < 1 / 2:
            self.kept.difference_update(row.key for row in self._rows[index : index + count])
            del self._rows[index : index + count]
            return
        time = self._rows[min(index, len(self._rows) - 1)].time if self._rows else 0
        if index == 0 and draw.random() < 1 / 2 and time is not None:
            time += 1
        for _ in range(count):
            self._insert(time)

    def _is_wanted(self, row: Row) -> bool:
        return self._span == Span() or (row.created is not None and self._span.covers(row.created))

    def _is_in(self, row: Row, token: PageToken) -> bool:
        api = self.api
        if token.since is token.until is None or api.ignores_filter:
            return True
        if row.created is None:
            return False
        time = floor(row.created) if api.floors else row.created
        is_excluded = (api.excludes_since and time == token.since) or (api.excludes_until and time == token.until)
        return not is_excluded and (token.since or 0) <= time <= (inf if token.until is None else token.until)

    def _answer(self, token: PageToken) -> Page | None:
        api, draw = self.api, self._random
        assert api.max_offset is None or token.offset <= api.max_offset, "it asks for more than the largest offset"
        assert min(token.offset, token.since or 0, token.until or 0) >= 0
        rows = [row for row in self._rows if self._is_in(row, token)]
        if api.shuffles or api.floors:
            rows = sorted(rows, key=lambda row: (-floor(row.order), draw.random()))
        if api.ascending:
            rows = rows[::-1]
        if api.errors and draw.randrange(100) < api.errors:
            return None
        offset = 0 if api.ignores_offset else token.offset // api.rounding * api.rounding
        # No page is so short that it holds nothing but what the page before had: that is how a list ends.
        shortest = min(api.page, max(2 * api.overlap + self.most_in_a_second + 2, (api.page + 1) // 2))
        length = draw.randint(shortest, api.page) if api.varies else api.page
        page = rows[offset : offset + length]
        if api.soft_cap is not None and offset > api.soft_cap:
            page = []
        self.was_emptied = self.was_emptied or (not rows and bool(self.sent))
        totals = {"none": None, "honest": len(rows), "zero": 0, "page": offset + len(page), "capped": min(len(rows), 7)}
        total = (totals | {"stale": len(rows) + 3, "unfiltered": len(self._rows)})[api.total]
        has_more = False
        if page and api.empties and draw.randrange(100) < api.empties:
            page = []
            if not (api.silent and token.offset > 0 and draw.random() < 1 / 2):
                has_more = api.total != "honest" or not api.check_total or draw.random() < 1 / 2
        return Page([row.key for row in page], [row.time for row in page], total, has_more)


@st.composite
def apis(draw: st.DrawFn, more: Strategies, least_overlap: int = 0, most_overlap: int = 3) -> Api:
    """Draw a list that stands still, and an API that serves it as documented, but for `more` that is drawn."""
    overlap = draw(st.integers(least_overlap, most_overlap))
    page_size = overlap + draw(st.integers(1, 8))
    page_cap = draw(st.one_of(st.just(page_size), st.integers(overlap + 1, page_size)))
    spread = draw(st.sampled_from([1, 3, 30, 300, 100_000]))
    # The window, in tenths of the span that the records lie in.
    since, until = draw(st.sampled_from([(None, None), (None, None), (None, 8), (2, None), (3, 9), (5, 5)]))
    api = Api(
        seed=draw(st.integers(0, 1 << 32)),
        records=draw(st.one_of(st.integers(0, 9), st.integers(10, 150))),
        spread=spread,
        page_size=page_size,
        page_cap=page_cap,
        max_offset=draw(st.one_of(st.none(), st.integers(page_cap, 12 * page_cap))),
        overlap=overlap,
        total=draw(st.sampled_from(["none", "honest"])),
        since=None if since is None else since * spread // 10,
        until=None if until is None else until * spread // 10,
        ahead=draw(st.sampled_from([0, 1, 2, 4])),
        backwards=draw(st.booleans()),
        shows_created=draw(st.booleans()),
    )
    return replace(api, **{name: draw(strategy) for name, strategy in more.items()})


CHANGES: Strategies = {
    "chance": st.sampled_from([5, 30, 80]),
    "changes": st.integers(1, 40),
    "pages": st.sampled_from([0, 1, 6]),
}
MAYBE_CHANGES: Strategies = {**CHANGES, "chance": st.sampled_from([0, 0, 0, 5, 30, 80])}
FLAG, NONE, TRUE = st.booleans(), st.none(), st.just(value=True)
UNCAPPED: Strategies = {"max_offset": NONE}
# Nothing is fetched ahead, of all of a list.
PLAIN: Strategies = {**UNCAPPED, "ahead": st.just(0), "since": NONE, "until": NONE}


def has_reached(reading: Reading) -> bool:
    """Whether the largest offset lets anyone read all records of any second, and prove that they were all."""
    api, cap = reading.api, reading.api.max_offset
    if cap is None:
        return True
    if api.shows_created and api.overlap:
        return reading.most_in_a_second * (2 + api.fractions) <= cap
    # The records of a second of the filter's time, with those of the seconds beside it.
    seconds = reading.ever_created
    return max((sum(seconds[second + step] for step in range(-2, 3)) for second in seconds), default=0) < cap


def expect_whole(reading: Reading) -> None:
    """Check that all came, or that there was good reason to refuse it."""
    api, error, most = reading.api, str(reading.error), reading.most_in_a_second
    event(f"error: {error[:40]}")
    event(f"warned: {bool(reading.warnings)}")
    assert api.timeless or "without a time" not in reading.warnings
    if "largest offset" in error:
        assert not has_reached(reading)
    elif "is empty after" in error:
        assert reading.was_emptied
    elif "ignores the offset:" in error:
        # As many records as a page holds were inserted at the top, twice running.
        assert api.chance
    elif "come again and again" in error:
        # A second holds far more than a page, in an order that changes.
        assert most >= api.page
        assert api.floors or api.shuffles or api.chance
    elif "do not fit together" in error:
        # Far more pages were deleted at once than a page holds records, or a second holds more than a page.
        assert (api.chance and api.pages) or api.page <= api.overlap + 2 or most >= api.page
    else:
        assert not error
        assert reading.warnings or not reading.lost


@lists(share=0.5)
@given(apis({"fractions": FLAG}))
def test_a_list_that_stands_still_goes_out_whole(api: Api) -> None:
    reading = Reading(api).run()
    expect_whole(reading)
    if not reading.error:
        assert not reading.lost
        has_windows = any(token.since != reading.taken[0].since for token in reading.taken)
        event(f"windows: {has_windows}")
        assert api.fractions or has_windows or set(reading.sent.values()) <= {1}


@lists(share=0.25)
@given(apis(PLAIN, 0, 0))
def test_without_a_cap_there_is_one_request_more_than_pages_at_most(api: Api) -> None:
    reading = Reading(api).run()
    assert len(reading.requests) == ceil(len(reading.kept) / api.page) + 1
    if api.page == api.page_size:
        full = [api.page_size * number for number in range(len(reading.kept) // api.page_size + 1)]
        assert [token.offset for token in reading.requests][: len(full)] == full[: len(reading.requests)]


@lists(share=0.5)
@given(apis(PLAIN, 1, 1))
def test_with_an_overlap_there_are_no_more_requests_than_ties_explain(api: Api) -> None:
    api = replace(api, page_cap=api.page_size)
    reading = Reading(api).run()
    most = reading.most_in_a_second
    assert not reading.error
    extra = 2 if api.records <= 3 or most > 1 else 1
    if most * 2 < api.page_size:
        assert len(reading.requests) <= ceil(api.records / max(1, api.page_size - 1 - most)) + extra


@lists(share=0.25)
@given(apis({}), st.integers(1, 7))
def test_pages_fetched_ahead_change_neither_records_nor_their_order(api: Api, ahead: int) -> None:
    alone, with_guesses = Reading(replace(api, ahead=0)).run(), Reading(replace(api, ahead=ahead)).run()
    assert list(with_guesses.sent.items()) == list(alone.sent.items())
    assert with_guesses.taken == alone.taken
    assert str(with_guesses.error) == str(alone.error)


@lists()
@given(apis(CHANGES, 1))
def test_a_list_that_moves_loses_no_record_that_was_there_all_the_time(api: Api) -> None:
    expect_whole(Reading(api).run())


INEXACT: Strategies = {"fractions": TRUE, "floors": FLAG, "excludes_since": FLAG, "excludes_until": FLAG}
ODD = Api(0, 45, 1, 2, 2, fractions=True, excludes_since=True, excludes_until=True, floors=True, chance=5, changes=1)


# Two walks that once went on for ever: between two anchors, and along one second again and again.
@example(replace(ODD, overlap=1))
@example(replace(ODD, records=133, spread=3, page_size=4, page_cap=4, overlap=3, changes=13, pages=1))
# A second that the server's own pages do not hold, in another order, and shorter by one at the second page.
@example(Api(1555158115, 5, 1, 6, 3, overlap=1, since=0, fractions=True, floors=True, chance=80, changes=3, pages=6))
@lists()
@given(apis({**INEXACT, **MAYBE_CHANGES}, 1))
def test_fractions_of_a_second_and_exclusive_filters_lose_nothing(api: Api) -> None:
    expect_whole(Reading(api).run())


@lists(share=0.5)
@given(apis({"timeless": st.integers(2, 5), **CHANGES}, 1))
def test_records_without_a_time_lose_nothing(api: Api) -> None:
    reading = Reading(api).run()
    if api.max_offset is None:
        expect_whole(reading)
    assert reading.error or reading.warnings or reading.notes or not reading.lost


@lists(share=0.5)
@given(apis({}), st.sampled_from(["ascending", "ignores_offset", "ignores_filter", "excludes_until"]))
def test_an_api_that_breaks_its_contract_is_never_read_in_part(api: Api, breach: str) -> None:
    reading = Reading(replace(api, **{breach: True})).run()  # type: ignore[arg-type]  # flags
    event(f"{breach}: {'error' if reading.error else 'whole'}")
    assert reading.error or reading.warnings or not reading.lost
    if "ignores the offset" in reading.warnings:
        assert breach == "ignores_offset"
        assert not reading.lost or api.page < api.page_size


@lists(share=0.25)
@given(apis({}, 1, 1), st.integers(0, 2))
def test_pages_no_longer_than_the_overlap_are_refused_or_read_whole(api: Api, more: int) -> None:
    overlap = api.page_cap + more
    reading = Reading(replace(api, overlap=overlap, page_size=overlap + api.page_size)).run()
    assert reading.error or not reading.lost


LIES: Strategies = {
    "total": st.sampled_from(["none", "honest", "zero", "page", "capped", "stale", "unfiltered"]),
    "empties": st.sampled_from([0, 0, 10, 40]),
    "silent": FLAG,
    "errors": st.sampled_from([0, 0, 10, 40]),
    "soft_cap": st.one_of(st.none(), st.integers(5, 60)),
    "rounding": st.one_of(st.just(1), st.integers(1, 9)),
    "shuffles": FLAG,
    "varies": FLAG,
    "check_total": FLAG,
}


MOVING = Api(2443037461, 75, 300, 16, 16, overlap=1, shows_created=False, chance=30, changes=18, pages=6)


# A page further up, which has a known record of the last page's own second only.
@example(replace(MOVING, spread=30, since=6, page_size=8, page_cap=8, overlap=2, errors=40, soft_cap=26, shuffles=True))
@lists(share=1.2)
@given(apis({**UNCAPPED, **LIES, **MAYBE_CHANGES}))
def test_an_api_that_lies_is_read_whole_or_refused(api: Api) -> None:
    if not api.overlap:
        # What nothing shows cannot be noticed without an overlap: the limits that the README names.
        api = replace(api, soft_cap=None, silent=False, shuffles=False, rounding=1, chance=0)
    if api.varies:
        # Where pages vary in length an end is an empty page below it; one that nothing contradicts is believed.
        api = replace(api, soft_cap=None, silent=False, rounding=1)
    reading = Reading(api).run()
    event(f"{'error' if reading.error else 'whole'}, warned: {reading.warnings}")
    is_tied = api.shuffles and reading.most_in_a_second >= api.page // (1 + api.varies)
    assert reading.error or reading.warnings or is_tied or not reading.lost
    if isinstance(reading.error, ContradictionError) and not reading.was_emptied:
        assert not api.is_honest


# Half the list goes between a page that was read again and the look right below it.
@example(replace(MOVING, backwards=True))
@lists()
@given(apis({**UNCAPPED, "varies": TRUE, "total": st.just("none"), **CHANGES}, 1))
def test_pages_that_vary_in_length_lose_nothing_of_a_list_that_moves(api: Api) -> None:
    page = 4 * (api.overlap + 3)
    api = replace(api, page_size=page, page_cap=page, spread=max(api.spread, 300))
    reading = Reading(api).run()
    if reading.most_in_a_second < page // 4:
        expect_whole(reading)


@lists()
@given(apis({**UNCAPPED, "shuffles": TRUE, "total": st.just("none"), **CHANGES}, 1))
def test_ties_in_any_order_lose_nothing_where_they_are_shorter_than_half_a_page(api: Api) -> None:
    reading = Reading(api).run()
    event(f"warned: {reading.warnings}")
    if reading.most_in_a_second < api.page:
        expect_whole(reading)


@lists()
@given(
    apis(
        {
            "total": st.just("none"),
            "skew": st.sampled_from([1, 5, 40, 1_000, 50_000]),
            "shows_created": st.just(value=False),
            "ascending": FLAG,
            **MAYBE_CHANGES,
        }
    )
)
def test_a_filter_by_another_time_than_the_order_loses_nothing_behind_the_cap(api: Api) -> None:
    expect_whole(Reading(api if api.overlap else replace(api, chance=0)).run())


@pytest.mark.parametrize("shows", [False, True])
@pytest.mark.parametrize(
    ("since", "until"), [(-100, None), (-100, 20), (None, -1), (-100, -90), (None, -5), (-7, -5), (-7, 3)]
)
def test_no_second_before_1970_is_asked_for(since: int | None, until: int | None, *, shows: bool) -> None:
    reading = Reading(Api(0, 60, 30, 10, 10, 30, 1, since, until, shows_created=shows)).run()
    assert not reading.error
    assert not reading.lost


@pytest.mark.parametrize("overlap", [0, 1])
@pytest.mark.parametrize("shows", [False, True])
@pytest.mark.parametrize(
    ("api", "error"),
    [
        (Api(0, 50, 1_000, 10, 10), "ignores the offset"),
        # A page of no usual length counts as the whole list.
        *((Api(0, 9, 1_000, 10, 10, total=total), "") for total in ("none", "honest")),
        *((Api(0, 300, 1_000, 500, length), 'set it to ""') for length in (10, 20, 25, 75)),
    ],
)
def test_a_page_that_comes_again_is_refused_or_the_whole_list(
    api: Api, error: str, overlap: int, *, shows: bool
) -> None:
    api = replace(api, overlap=overlap, ignores_offset=True, filterable=False, shows_created=shows)
    reading = Reading(api).run()
    assert error in str(reading.error)
    assert bool(error) == bool(reading.error) == bool(reading.lost) != ("ignores the offset" in reading.warnings)
    assert len(reading.requests) == 3
    assert set(reading.sent.values()) == {1}


def test_pages_that_come_round_again_end_the_reading() -> None:
    class Carousel(Reading):
        def _answer(self, token: PageToken) -> Page | None:
            return super()._answer(token._replace(offset=token.offset % 440))

    # More pages than are remembered come round.
    reading = Carousel(Api(0, 450, 1_000, 10, 10)).run()
    assert "again and again" in str(reading.error)
    assert len(reading.requests) < 1_000


def test_a_walk_goes_on_above_a_boundary_that_is_deleted() -> None:
    class Deleting(Reading):
        def _answer(self, token: PageToken) -> Page | None:
            if len(self.sent) == 10 and len(self.kept) == 60 and token.until is not None:
                # The second that the walk has come to, and the one above, go before they are asked for.
                self._rows = [row for row in self._rows if not token.until - 1 <= row.order <= token.until]
                self.kept = {row.key for row in self._rows}
            return super()._answer(token)

    reading = Deleting(Api(0, 60, 1_000, 2, 2, overlap=1)).run()
    assert len(reading.kept) < 60
    assert reading.requests.count(PageToken()) == 1
    assert not reading.error
    assert not reading.lost


def test_offsets_that_are_rounded_to_whole_pages_name_the_setting() -> None:
    reading = Reading(Api(0, 95, 1_000, 10, 10, overlap=1, filterable=False, rounding=10)).run()
    assert "page_overlap: 0" in str(reading.error)
    assert len(reading.requests) <= 2 * MAX_STALLED
