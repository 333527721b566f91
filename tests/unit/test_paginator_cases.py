"""Lists that no random one is like: each once lost a record, or had a STATE that was not true, or was refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import pytest

from tap_payments.errors import ContradictionError, UnreadableListError
from tap_payments.pagination.loop import new_paginator
from tap_payments.pagination.pages import WHOLE, ListFacts, PageToken, PagingRules, Span
from tap_payments.records.page import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

Rows = list[tuple[str, float | None]]


def rows(text: str) -> Rows:
    """Return records, given as `key@second`; without a second they have no time."""
    pairs = (one.partition("@") for one in text.split())
    return [(key, float(second) if second else None) for key, _, second in pairs]


@dataclass(frozen=True)
class Case:
    """A list before and after its first page.

    Attributes:
        before: The records that the first request finds.
        after: Those that all later ones find; empty where the list stands still.
        lengths: The most records of each page; the last stands for all others.
        span: The span to read.
        rules: Rules of paging.
        warned: A word of the WARNING that must come; empty where none need.
        total: The API's own count, whatever the filter; None where it does not say.
    """

    before: str
    after: str = ""
    lengths: Sequence[int] = (4,)
    span: Span = WHOLE
    rules: dict[str, Any] = field(default_factory=dict)
    warned: str = ""
    total: int | None = None


NULLS = "n0 n1 n2 n3 n4 n5 n6 n7 n8 n9"
CASES = {
    "times that rise behind a page of one second": Case(
        "a@10 b@10 c@10 d@10 e@20 f@30 g@40", "b@10 c@10 d@10 e@20 f@30 g@40", span=Span(5, None)
    ),
    "times that rise, standing still": Case("a@10 b@10 c@10 d@10 e@20 f@30 g@40", span=Span(5, None)),
    "records without a time in another order": Case("t1@9 t2@8 n1 n2 n3", "t1@9 t2@8 n3 n1 n2"),
    "records without a time, first": Case("n1 n2 n3 n4 n5 t1@9 t2@8", "n5 n1 n2 n3 n4 t1@9 t2@8", warned="order"),
    "times that rise, a second in another order": Case(
        "a@1 b@2 c@3 d@4 e@5 f@5 g@5 h@6 i@7", "a@1 b@2 c@3 d@4 g@5 e@5 f@5 h@6 i@7", (6,), rules={"page_size": 6}
    ),
    "times that rise past the largest offset": Case(
        "a@1 b@2 c@3 d@4 e@5 f@6 g@7 h@8 i@9 j@10 k@11 l@12", rules={"max_offset": 4}
    ),
    "a total that ignores the filter": Case("a@9 b@8 c@5 d@5 e@5 f@4 g@3", total=7),
    "a page of no more than its overlap, after others that varied": Case(
        " ".join(f"k{second}@{second}" for second in range(40, 20, -1)), lengths=(5, 4, 4, 2, 4), rules={"page_size": 5}
    ),
    "all that is known is deleted at once": Case("a@80 b@70 c@60 d@50 e@40 f@30 g@20 h@10", "e@40 f@30 g@20 h@10"),
    "no record with a time": Case(NULLS),
    "a list without a filter that ends at the largest offset": Case(
        "a@9 b@8 c@7 d@6 e@5 f@4", rules={"is_filterable": False, "max_offset": 3}
    ),
    "a short page of one second": Case("a@5 b@5 c@5"),
    "records without a time, and windows": Case(
        "a@9 n1 b@8 c@7 d@6 e@5 f@4 g@3", rules={"shows_filter_time": False, "max_offset": 4}, warned="windows of time"
    ),
    "pages of four, then of three": Case("a@40 b@33 c@29 d@29 e@29 f@12 g@12", lengths=(4, 3), rules={"page_size": 6}),
    "records without a time above the largest offset": Case(
        f"a@50 b@40 c@30 d@20 e@10 f@10 g@10 h@10 i@9 {NULLS}",
        lengths=(8,),
        rules={"page_size": 8, "max_offset": 8},
        warned="above the largest offset",
    ),
}


def serve(listed: Rows, token: PageToken, length: int, total: int | None) -> Page:
    """Return a page as SQL does: a missing time is in no range."""
    if (token.since, token.until) != (None, None):
        span = Span(token.since, token.until)
        listed = [(key, time) for key, time in listed if time is not None and span.covers(time)]
    page = listed[token.offset : token.offset + length]
    return Page([key for key, _ in page], [time for _, time in page], total)


def read(case: Case) -> tuple[set[str], ListFacts]:
    """Read a list; return the keys emitted and the facts learnt. What is not emitted must remain, at any time."""
    before, after = rows(case.before), rows(case.after or case.before)
    rules = {"page_size": 4, "is_filterable": True, "shows_filter_time": True, "started": 100, **case.rules}
    facts = ListFacts(int(rules["page_size"]))
    paginator = new_paginator(PagingRules(**rules), case.span, facts)
    emitted: set[str] = set()
    lengths = chain(case.lengths, repeat(case.lengths[-1]))
    while not paginator.finished:
        page = serve(after if emitted else before, paginator.token, next(lengths), case.total)
        paginator.advance(page)
        emitted.update(page.keys[index] for index in paginator.new_indexes)
        for key, time in after:
            is_unread = time is None or any(span.covers(time) for span in paginator.remaining)
            assert key in emitted or is_unread, f"{key} is neither emitted nor in {paginator.remaining}"
    return emitted, facts


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_lost_without_a_warning(name: str) -> None:
    case = CASES[name]
    emitted, facts = read(case)
    assert case.warned in " ".join(facts.warnings)
    assert case.warned or {key for key, _ in rows(case.after or case.before)} <= emitted


@pytest.mark.parametrize("name", ["no record with a time", "a short page of one second"])
def test_what_nobody_can_miss_is_no_reason_to_warn(name: str) -> None:
    assert not read(CASES[name])[1].warnings


def test_a_page_that_does_not_join_is_followed_by_an_anchor_above_the_oldest_second() -> None:
    rules = PagingRules(4, is_filterable=True, shows_filter_time=True, started=100)
    paginator = new_paginator(rules, WHOLE, ListFacts(4))
    paginator.advance(Page(["a", "b", "c", "d"], [9.0, 8.0, 7.0, 6.0]))
    paginator.advance(Page(["g", "h", "i", "j"], [3.0, 2.0, 1.0, 0.5]))
    assert paginator.token == PageToken(0, None, 7)
    # At the end, records without a time are looked for below all that were read.
    paginator.advance(Page(["d", "g"], [6.0, 3.0]))
    paginator.advance(Page(["g"], [3.0]))
    assert paginator.token == PageToken(4)


def test_pages_are_guessed_by_the_length_that_the_server_allows() -> None:
    listed = rows(" ".join(f"k{second}@{second}" for second in range(60, 0, -1)))
    paginator = new_paginator(PagingRules(page_size=10, started=100), WHOLE, ListFacts(10))
    for _ in range(3):
        paginator.advance(serve(listed, paginator.token, 6, None))
    # Each page begins one record above the second that the last one ends with.
    offset = paginator.token.offset
    assert paginator.guesses(2) == [PageToken(offset + 4), PageToken(offset + 8)]


def test_a_long_walk_keeps_no_more_records_than_the_largest_offset_reaches() -> None:
    listed = rows(" ".join(f"k{second}@{second}" for second in range(3_000, 0, -1)))
    rules = PagingRules(10, max_offset=100, is_filterable=True, shows_filter_time=True, started=4_000)
    paginator = new_paginator(rules, WHOLE, ListFacts(10))
    kept = [0]
    while not paginator.finished:
        paginator.advance(serve(listed, paginator.token, 10, None))
        kept.append(sum(len(value) for value in vars(paginator).values() if isinstance(value, dict | set)))
    assert len(kept) > 300
    assert max(kept) < 600


@pytest.mark.parametrize("times", [[30.0, 10.0], [4.0, 3.0]], ids=["one is newer", "all are older"])
def test_records_that_were_not_asked_for_mean_that_the_filter_is_not_honoured(times: list[float]) -> None:
    rules = PagingRules(10, is_filterable=True, shows_filter_time=True, started=100)
    paginator = new_paginator(rules, Span(9, 20), ListFacts(10))
    with pytest.raises(UnreadableListError, match="does not honour the filter by time"):
        paginator.advance(Page(["a", "b"], times))


def test_what_remains_is_a_span_though_the_api_sends_older_records() -> None:
    rules = PagingRules(3, is_filterable=True, shows_filter_time=True, started=100)
    paginator = new_paginator(rules, Span(9, 20), ListFacts(3))
    paginator.advance(Page(["a", "b", "c"], [15.0, 12.0, 3.0]))
    assert paginator.remaining == [Span(9, 9)]


def test_a_list_that_is_empty_after_a_full_page_is_not_believed() -> None:
    paginator = new_paginator(PagingRules(4, started=100), WHOLE, ListFacts(4))
    paginator.advance(Page(["a", "b", "c", "d"], [9.0, 8.0, 7.0, 6.0]))
    # Back to the top, and once more from there.
    for _ in range(2):
        paginator.advance(Page([], []))
    with pytest.raises(ContradictionError, match="empty after records of it came"):
        paginator.advance(Page([], []))
