"""Whatever a list does while it is read, the paginators lose nothing, end, and raise no false alarm.

`PAGINATOR_EXAMPLES` sets how many lists each property is tried on; with it they are drawn by chance, without it they
are the same at every run.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field, replace
from math import ceil, floor
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from tap_payments.errors import ContradictionError, UnreadableListError
from tap_payments.pagination.loop import new_paginator
from tap_payments.pagination.pages import ListFacts, PageToken, PagingRules, Span
from tap_payments.pagination.paginator import MAX_STALLED
from tests.support.outline import outline

if TYPE_CHECKING:
    from tap_payments.pagination.paginator import ListPaginator
    from tap_payments.records.page import Page

EXAMPLES = os.environ.get("PAGINATOR_EXAMPLES")
MAX_REQUESTS = 5_000
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
    """A record: when, and by which key; `created` is the time that the API filters by; None is no time at all."""

    time: float | None
    key: str
    created: float | None

    @property
    def order(self) -> float:
        """The order of the list: records without a time come last."""
        return -1 if self.time is None else self.time


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
    """Lies of an API; how often each is told is drawn from the list's own seed.

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
        since: Lower end of the span read.
        until: Upper end of the span read.
        timeless: Every so many-th record has no time, and comes last; 0 for none.
        fractions: Whether times have fractions of a second.
        ahead: Pages fetched before their turn.
        backwards: Whether pages fetched ahead come the last one first.
        changes: How it changes.
        ascending: Whether the oldest records come first.
        ignores_offset: Whether it serves the first page whatever the offset.
        ignores_filter: Whether it serves the whole list whatever the filter.
        excludes_until: Whether the upper end of a filter is left out.
        excludes_since: Whether the lower end of a filter is left out.
        floors: Whether the filter and the order look at whole seconds only.
        lies: What it says and does that is not so.
        check_total: Whether its totals are believed to contradict an end.
        skew: Largest difference between a record's time and the time that the API filters by, either way.
        shows_created: Whether records are known to show the time that the API filters by.
        filterable: Whether the API can filter at all.
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
    fractions: bool = False
    ahead: int = 0
    backwards: bool = False
    changes: Changes = Changes()
    ascending: bool = False
    ignores_offset: bool = False
    ignores_filter: bool = False
    excludes_until: bool = False
    excludes_since: bool = False
    floors: bool = False
    lies: Lies = Lies()
    check_total: bool = True
    skew: int = 0
    shows_created: bool = True
    filterable: bool = True

    @property
    def page(self) -> int:
        """Records on a full page as it is served."""
        return min(self.page_size, self.page_cap)

    @property
    def walks(self) -> bool:
        """Whether the list is walked by anchors."""
        return self.shows_created and self.filterable and self.overlap > 0


@dataclass
class Reading:
    """An API being read by a paginator, and what came of it.

    Attributes:
        sent: How often each record went out.
        requests: The tokens asked for, those fetched ahead included.
        taken: The tokens in the order their pages were used.
        kept: The keys of the records that were there all the time.
        error: Why the list could not be read.
        warnings: What was said of records that may be missing, in one text.
        was_emptied: Whether an answer at offset 0 had no record to show, after others had.
        contradicted: Whether reading ended since each try brought a contradiction.
    """

    api: Api
    sent: Counter[str] = field(default_factory=Counter)
    requests: list[PageToken] = field(default_factory=list)
    taken: list[PageToken] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    error: str | None = None
    warnings: str = ""
    notes: str = ""
    contradicted: bool = False
    was_emptied: bool = False

    def __post_init__(self) -> None:
        api = self.api
        self._random = Random(api.seed)
        times: list[float] = sorted((self._time(api.spread) for _ in range(api.records)), reverse=True)
        self._rows = [self._row(time, number) for number, time in enumerate(times)]
        self._rows.sort(key=lambda row: -row.order)
        self._made = len(self._rows)
        self._ever = Counter(floor(row.order) for row in self._rows)
        self._ever_created = Counter(floor(row.created) for row in self._rows if row.created is not None)
        self._changes = api.changes.most
        self._answers: dict[PageToken, Page | None] = {}
        self._served: dict[str, float] = {}
        self.kept = {row.key for row in self._rows if self._is_wanted(row)}

    @property
    def lost(self) -> set[str]:
        """The keys of the records that were there all the time and did not go out."""
        return self.kept - set(self.sent)

    @property
    def most_in_a_second(self) -> int:
        """The most records that any one second ever had."""
        return max(self._ever.values(), default=0)

    @property
    def most_filtered_in_a_second(self) -> int:
        """The most records that any one second of the filter's time ever had, with those of the seconds beside it."""
        seconds = self._ever_created
        return max((sum(seconds[second + step] for step in range(-2, 3)) for second in seconds), default=0)

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
        facts = ListFacts(api.page_size)
        paginator = new_paginator(rules, Span(api.since, api.until), facts)
        tries = 0
        self._fetch([paginator.token])
        while True:
            token = paginator.token
            page = self._answers.pop(token)
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
            self.sent.update(page.keys[index] for index in paginator.new_indexes)
            self.check(paginator)
            if paginator.finished:
                break
            guesses = paginator.guesses(api.ahead)
            assert len(guesses) <= api.ahead
            self._fetch([paginator.token, *guesses])
        self.warnings = " ".join(facts.warnings)
        self.notes = " ".join(facts.notes)
        return self

    def check(self, paginator: ListPaginator) -> None:
        """Check that what is said to be out is out, while the list stands still and comes by the filter's time."""
        api, remaining = self.api, paginator.remaining
        if paginator.facts.warnings or api.changes.chance or (not api.walks and not api.filterable):
            return
        if api.ascending or api.ignores_filter or api.ignores_offset or api.lies != Lies():
            return
        for row in self._rows:
            if row.created is None or not self._is_wanted(row) or row.key in self.sent:
                continue
            assert any(span.covers(row.created) for span in remaining), f"{row} is neither out nor in {remaining}"

    def _fetch(self, tokens: list[PageToken]) -> None:
        """Schedule these pages and no others."""
        self._answers = {token: answer for token, answer in self._answers.items() if token in tokens}
        for token in reversed(tokens) if self.api.backwards else tokens:
            if token not in self._answers:
                if self._changes and self._random.randrange(100) < self.api.changes.chance:
                    self._changes -= 1
                    self._change(token.offset)
                self._answers[token] = self._answer(token)
                self.requests.append(token)

    def _time(self, spread: int) -> float:
        time = self._random.randint(1, spread)
        return time + self._random.choice([0, 0, 0.25, 0.5, 0.999]) if self.api.fractions else time

    def _row(self, time: float | None, number: int) -> Row:
        api = self.api
        if time is None or (api.timeless and number % api.timeless == 0):
            return Row(None, f"r{number}", None)
        created = max(1, time + self._random.randint(-api.skew, api.skew)) if api.skew else time
        return Row(time, f"r{number}", created)

    def _is_in(self, row: Row, token: PageToken) -> bool:
        api = self.api
        if token.since is token.until is None or api.ignores_filter:
            return True
        if row.created is None:
            return False
        time = floor(row.created) if api.floors else row.created
        return (token.since is None or time > token.since or (time == token.since and not api.excludes_since)) and (
            token.until is None or time < token.until or (time == token.until and not api.excludes_until)
        )

    def _answer(self, token: PageToken) -> Page | None:
        api, lies, draw = self.api, self.api.lies, self._random
        assert api.max_offset is None or token.offset <= api.max_offset, "it asks for more than the largest offset"
        assert min(token.offset, token.since or 0, token.until or 0) >= 0
        rows = [row for row in self._rows if self._is_in(row, token)]
        if lies.shuffles or api.floors:
            rows = sorted(rows, key=lambda row: (-floor(row.order), draw.random()))
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
        return outline([row.key for row in page], [row.time for row in page], total, has_more=has_more)

    def _total(self, honest: int, reached: int) -> int | None:
        lies = {
            "none": None,
            "honest": honest,
            "zero": 0,
            "page": reached,
            "capped": min(honest, 7),
            "stale": honest + 3,
            "unfiltered": len(self._rows),
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
        if place == 0 and draw.random() < 1 / 2 and time is not None:
            time += 1
        rows = [self._row(time, self._made + number) for number in range(count)]
        for row in rows:
            top = next((n for n, other in enumerate(self._rows) if other.order <= row.order), len(self._rows))
            self._rows.insert(top, row)
            self._ever[floor(row.order)] += 1
            if row.created is not None:
                self._ever_created[floor(row.created)] += 1
        self._made += count

    def _is_wanted(self, row: Row) -> bool:
        api = self.api
        if api.since is api.until is None:
            return True
        if row.created is None:
            return False
        return (api.since is None or row.created >= api.since) and (api.until is None or row.created <= api.until)


def _believed(page: Page | None) -> Page:
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


def has_reached(reading: Reading) -> bool:
    """Whether the largest offset lets anyone read all records of any second, and prove that they were all."""
    api, cap = reading.api, reading.api.max_offset
    if cap is None:
        return True
    if not api.filterable:
        return len(reading.kept) <= cap
    if api.walks:
        return reading.most_in_a_second * (2 + api.fractions) <= cap
    return reading.most_filtered_in_a_second < cap


def api_moves_by_pages(api: Api) -> bool:
    """Whether inserts may push a list down by a whole page between two requests."""
    return bool(api.changes.chance)


def expect_whole(reading: Reading) -> None:
    """Check that all came, or that there was good reason to refuse it."""
    error = reading.error or ""
    event(f"error: {error[:40]}")
    event(f"warned: {bool(reading.warnings)}")
    assert reading.api.timeless or "without a time" not in reading.warnings
    if "largest offset" in error:
        assert not has_reached(reading)
    elif "is empty after" in error:
        assert reading.was_emptied
    elif "ignores the offset:" in error:
        # As many records as a page holds were inserted at the top, twice running.
        assert api_moves_by_pages(reading.api)
    elif "come again and again" in error:
        # A second holds far more than a page, in an order that changes.
        assert reading.most_in_a_second >= reading.api.page
        assert reading.api.floors or reading.api.lies.shuffles or reading.api.changes.chance
    elif "do not fit together" in error:
        # Far more pages were deleted at once than a page holds records, or a second holds more than a page.
        api = reading.api
        assert api.changes.pages or api.page <= api.overlap + 2 or reading.most_in_a_second >= api.page
    else:
        assert not error
        if not reading.warnings:
            assert not reading.lost


@tried(0.5)
@given(apis(), st.booleans(), st.booleans())
def test_a_list_that_stands_still_goes_out_whole(api: Api, shows: bool, fractions: bool) -> None:  # noqa: FBT001
    reading = Reading(replace(api, shows_created=shows, fractions=fractions)).run()
    expect_whole(reading)
    if not reading.error:
        assert not reading.lost
        if not fractions:
            event(f"windows: {any(t.since != reading.taken[0].since for t in reading.taken)}")
            if all(t.since == reading.taken[0].since for t in reading.taken):
                assert set(reading.sent.values()) <= {1}


@tried(0.25)
@given(apis(0, 0, capped=False))
def test_without_a_cap_there_is_one_request_more_than_pages_at_most(api: Api) -> None:
    api = replace(api, ahead=0, since=None, until=None)
    reading = Reading(api).run()
    pages = ceil(len(reading.kept) / api.page)
    assert len(reading.requests) == pages + 1
    if api.page == api.page_size:
        full = [api.page_size * number for number in range(len(reading.kept) // api.page_size + 1)]
        assert [token.offset for token in reading.requests][: len(full)] == full[: len(reading.requests)]


@tried(0.5)
@given(apis(1, 1, capped=False), st.booleans())
def test_with_an_overlap_there_are_no_more_requests_than_ties_explain(api: Api, shows: bool) -> None:  # noqa: FBT001
    api = replace(api, page_cap=api.page_size, ahead=0, shows_created=shows, since=None, until=None)
    reading = Reading(api).run()
    step = max(1, api.page_size - 1 - reading.most_in_a_second)
    assert not reading.error
    extra = 2 if api.records <= 3 or reading.most_in_a_second > 1 else 1
    if reading.most_in_a_second * 2 < api.page_size:
        assert len(reading.requests) <= ceil(api.records / step) + extra


@tried(0.25)
@given(apis(), st.integers(1, 6), st.booleans())
def test_pages_fetched_ahead_change_neither_records_nor_their_order(api: Api, ahead: int, shows: bool) -> None:  # noqa: FBT001
    api = replace(api, shows_created=shows)
    alone, with_guesses = Reading(replace(api, ahead=0)).run(), Reading(replace(api, ahead=ahead)).run()
    assert list(with_guesses.sent.items()) == list(alone.sent.items())
    assert with_guesses.taken == alone.taken
    assert with_guesses.error == alone.error


@tried()
@given(apis(1), CHANGES, st.booleans())
def test_a_list_that_moves_loses_no_record_that_was_there_all_the_time(
    api: Api,
    changes: Changes,
    shows: bool,  # noqa: FBT001 - drawn
) -> None:
    expect_whole(Reading(replace(api, changes=changes, shows_created=shows)).run())


# Two walks that once went on for ever: between two anchors, and along one second again and again.
@example(
    api=Api(0, records=45, spread=1, page_size=2, page_cap=2, overlap=1),
    changes=Changes(5, most=1, pages=0),
    excludes=True,
    floors=True,
    moves=True,
)
@example(
    api=Api(0, records=133, spread=3, page_size=4, page_cap=4, overlap=3),
    changes=Changes(5, most=13, pages=1),
    excludes=True,
    floors=True,
    moves=True,
)
@tried()
@given(apis(1), CHANGES, st.booleans(), st.booleans(), st.booleans())
@example(
    # A second that the server's own pages do not hold, in another order, and shorter by one at the second page.
    api=Api(1555158115, records=5, spread=1, page_size=6, page_cap=3, overlap=1, since=0),
    changes=Changes(chance=80, most=3, pages=6),
    excludes=False,
    floors=True,
    moves=True,
)
def test_fractions_of_a_second_and_exclusive_filters_lose_nothing(
    api: Api,
    changes: Changes,
    excludes: bool,  # noqa: FBT001 - drawn
    floors: bool,  # noqa: FBT001 - drawn
    moves: bool,  # noqa: FBT001 - drawn
) -> None:
    api = replace(api, fractions=True, excludes_since=excludes, excludes_until=excludes, floors=floors)
    expect_whole(Reading(replace(api, changes=changes if moves else Changes())).run())


@tried(0.5)
@given(apis(1), CHANGES, st.integers(2, 5), st.booleans())
def test_records_without_a_time_lose_nothing(api: Api, changes: Changes, timeless: int, shows: bool) -> None:  # noqa: FBT001
    api = replace(api, changes=changes, timeless=timeless, shows_created=shows)
    reading = Reading(api).run()
    if api.max_offset is None:
        expect_whole(reading)
    elif reading.error is None and reading.lost and not reading.warnings and not reading.notes:
        raise AssertionError(reading.lost)


@tried(0.5)
@given(
    apis(),
    st.sampled_from(["ascending", "ignores_offset", "ignores_filter", "excludes_until"]),
    st.booleans(),
)
def test_an_api_that_breaks_its_contract_is_never_read_in_part(api: Api, breach: str, shows: bool) -> None:  # noqa: FBT001
    reading = Reading(replace(api, shows_created=shows, **{breach: True})).run()  # type: ignore[arg-type]  # flags
    event(f"{breach}: {'error' if reading.error else 'whole'}")
    if reading.error is None:
        assert not reading.lost or reading.warnings
    if "ignores the offset" in reading.warnings:
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
    total=st.sampled_from(["none", "honest", "zero", "page", "capped", "stale", "unfiltered"]),
    empties=st.sampled_from([0, 0, 10, 40]),
    silent=st.booleans(),
    errors=st.sampled_from([0, 0, 10, 40]),
    soft_cap=st.one_of(st.none(), st.integers(5, 60)),
    rounding=st.one_of(st.just(1), st.integers(1, 9)),
    shuffles=st.booleans(),
    varies=st.booleans(),
)


@tried(2.5)
@given(apis(), LIES, st.one_of(st.just(Changes()), CHANGES), st.booleans(), st.booleans())
@example(
    # A page further up, which has a known record of the last page's own second only.
    api=Api(1872085684, records=65, spread=30, page_size=8, page_cap=8, overlap=2, total=True, since=6),
    lies=Lies(errors=40, soft_cap=26, shuffles=True),
    changes=Changes(chance=30, most=37, pages=1),
    check_total=True,
    shows=False,
)
def test_an_api_that_lies_is_read_whole_or_refused(
    api: Api,
    lies: Lies,
    changes: Changes,
    check_total: bool,  # noqa: FBT001 - drawn
    shows: bool,  # noqa: FBT001 - drawn
) -> None:
    if not api.overlap:
        # What nothing shows cannot be noticed without an overlap: the limits that the README names.
        lies = replace(lies, soft_cap=None, silent=False, shuffles=False, rounding=1)
        changes = Changes()
    if lies.varies:
        # Where pages vary in length an end is an empty page below it; one that nothing contradicts is believed.
        lies = replace(lies, soft_cap=None, silent=False, rounding=1)
    api = replace(api, total=False, lies=lies, changes=changes, check_total=check_total, max_offset=None)
    api = replace(api, shows_created=shows)
    reading = Reading(api).run()
    event(f"{'error' if reading.error else 'whole'}, warned: {reading.warnings}")
    if (
        reading.error is None
        and not reading.warnings
        and not (lies.shuffles and reading.most_in_a_second >= api.page // (1 + lies.varies))
    ):
        assert not reading.lost
    if reading.contradicted and not reading.was_emptied:
        assert lies != Lies()


@tried()
@given(apis(1, capped=False), CHANGES, st.booleans())
@example(
    # Half the list goes between a page that was read again and the look right below it.
    api=Api(2443037461, records=75, spread=300, page_size=7, page_cap=5, overlap=1, backwards=True),
    changes=Changes(chance=30, most=18, pages=6),
    shows=False,
)
def test_pages_that_vary_in_length_lose_nothing_of_a_list_that_moves(api: Api, changes: Changes, shows: bool) -> None:  # noqa: FBT001
    page = 4 * (api.overlap + 3)
    api = replace(api, page_size=page, page_cap=page, spread=max(api.spread, 300), total=False, shows_created=shows)
    reading = Reading(replace(api, changes=changes, lies=Lies(varies=True))).run()
    if reading.most_in_a_second < page // 4:
        expect_whole(reading)


@tried()
@given(apis(1, capped=False), CHANGES, st.booleans())
def test_ties_in_any_order_lose_nothing_where_they_are_shorter_than_half_a_page(
    api: Api,
    changes: Changes,
    shows: bool,  # noqa: FBT001 - drawn
) -> None:
    api = replace(api, total=False, changes=changes, lies=Lies(shuffles=True), shows_created=shows)
    reading = Reading(api).run()
    event(f"warned: {reading.warnings}")
    if reading.most_in_a_second < api.page:
        expect_whole(reading)


@tried()
@given(apis(), st.sampled_from([1, 5, 40, 1_000, 50_000]), st.booleans(), CHANGES, st.booleans())
def test_a_filter_by_another_time_than_the_order_loses_nothing_behind_the_cap(
    api: Api,
    skew: int,
    ascending: bool,  # noqa: FBT001 - drawn
    changes: Changes,
    moves: bool,  # noqa: FBT001 - drawn
) -> None:
    changes = changes if moves and api.overlap else Changes()
    api = replace(api, total=False, skew=skew, shows_created=False, ascending=ascending, changes=changes)
    expect_whole(Reading(api).run())


@pytest.mark.parametrize("shows", [False, True])
@pytest.mark.parametrize(("since", "until"), [(-100, None), (-100, 20), (None, -1), (-100, -90)])
def test_no_second_before_1970_is_asked_for(since: int | None, until: int | None, shows: bool) -> None:  # noqa: FBT001
    reading = Reading(Api(0, 60, 30, 10, 10, 30, 1, since=since, until=until, shows_created=shows)).run()
    assert not reading.error
    assert not reading.lost


@pytest.mark.parametrize("overlap", [0, 1])
@pytest.mark.parametrize("shows", [False, True])
def test_a_page_that_comes_again_and_again_ends_the_reading(overlap: int, shows: bool) -> None:  # noqa: FBT001
    api = Api(0, 50, 1_000, 10, 10, overlap=overlap, ignores_offset=True, filterable=False, shows_created=shows)
    reading = Reading(api).run()
    assert "ignores the offset" in (reading.error or "")
    assert len(reading.requests) == 3
    assert set(reading.sent.values()) == {1}


@pytest.mark.parametrize("overlap", [0, 1])
def test_a_page_of_no_usual_length_that_comes_again_counts_as_the_whole_list(overlap: int) -> None:
    reading = Reading(Api(0, 9, 1_000, 10, 10, ignores_offset=True, overlap=overlap, filterable=False)).run()
    assert reading.error is None
    assert "ignores the offset" in reading.warnings
    assert not reading.lost
    assert len(reading.requests) == 3


@pytest.mark.parametrize("length", [10, 20, 25, 75])
def test_a_page_of_a_usual_length_that_comes_again_is_refused(length: int) -> None:
    reading = Reading(Api(0, 300, 1_000, 500, length, ignores_offset=True)).run()
    assert 'set it to ""' in (reading.error or "")


def test_pages_that_come_round_again_end_the_reading() -> None:
    class Carousel(Reading):
        def _answer(self, token: PageToken) -> Page | None:
            return super()._answer(token._replace(offset=token.offset % 440))

    # More pages than are remembered come round.
    reading = Carousel(Api(0, 450, 1_000, 10, 10)).run()
    assert "again and again" in (reading.error or "")
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
    api = Api(0, 95, 1_000, 10, 10, overlap=1, filterable=False, lies=Lies(rounding=10))
    reading = Reading(api).run()
    assert "page_overlap: 0" in (reading.error or "")
    assert len(reading.requests) <= 2 * MAX_STALLED


@pytest.mark.parametrize("span", [Span(None, -5), Span(-7, -5), Span(-7, 3), Span(-7, None)])
@pytest.mark.parametrize("shows", [True, False])
def test_no_bound_before_1970_is_asked_for(span: Span, shows: bool) -> None:  # noqa: FBT001
    rules = PagingRules(10, is_filterable=True, shows_filter_time=shows)
    token = new_paginator(rules, span, ListFacts(10)).token
    assert (token.since or 0) >= 0
    assert (token.until or 0) >= 0
