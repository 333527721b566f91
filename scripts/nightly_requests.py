"""Compute the requests of a night with the tap's own planner and paginator, for `docs/nightly.md`.

The lists are made of arithmetic and read without HTTP. They are as ChargeDesk's: pages of 500 that overlap by a record,
filters by time, and offsets up to 50,000.
"""

from __future__ import annotations

from statistics import mean
from typing import TYPE_CHECKING

from tap_payments.api.rate_limiter import INTERVAL_MARGIN
from tap_payments.output.progress import MINUTE, describe_span
from tap_payments.pagination.loop import new_paginator, read_pages
from tap_payments.pagination.pages import ListFacts, PageToken, PagingRules, Span
from tap_payments.providers import PROVIDERS
from tap_payments.records.page import Page
from tap_payments.replication.reading import read_full_table, read_incremental
from tap_payments.replication.spans import DueSpans
from tap_payments.replication.state import StreamState
from tap_payments.timestamps import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FIRST_NIGHT = 1_750_000_000
PAGE_SIZE = 500
DAYS = 30  # `lookback_days` and `reread_days`
CHARGEDESK = PROVIDERS["chargedesk"]
CHARGES = CHARGEDESK.listing("charges")


class EvenList:
    """A list whose records come at equal distances, so many by the first night, and go on to come."""

    def __init__(self, records: int, days: int) -> None:
        self.records, self.begin = records, FIRST_NIGHT - days * DAY
        self.now = FIRST_NIGHT
        self.requests = 0
        self._facts = ListFacts(full=PAGE_SIZE)

    def read_span(self, span: Span) -> Iterator[tuple[Page, Sequence[int], Sequence[Span]]]:
        """Read a span, newest first, as `PaymentsStream` does."""
        rules = PagingRules(
            PAGE_SIZE,
            max_offset=CHARGES.max_offset,
            is_filterable=True,
            shows_filter_time=True,
            earliest=CHARGEDESK.earliest,
            started=self.now,
        )
        return read_pages(new_paginator(rules, span, self._facts), self._fetch)

    def _fetch(self, token: PageToken, check: Callable[[Page], None]) -> Page:
        """Return a page of records without contents."""
        self.requests += 1
        low = 0 if token.since is None else max(self._index(token.since), 0)
        high = self._index(min(token.until or self.now, self.now) + 1) - token.offset
        indexes = range(high - 1, max(low, high - PAGE_SIZE) - 1, -1)
        page = Page([str(index) for index in indexes], [self._time(index) for index in indexes])
        check(page)
        return page

    def _time(self, index: int) -> int:
        return self.begin + index * (FIRST_NIGHT - self.begin) // self.records

    def _index(self, second: int) -> int:
        """Return the index of the first record that is not older than this."""
        return -(-(second - self.begin) * self.records // (FIRST_NIGHT - self.begin))


def full_table(records: int, days: int) -> int:
    """Return the requests of a night that reads the list whole."""
    listing = EvenList(records, days)
    for _ in read_full_table(listing.read_span):
        pass
    return listing.requests


def incremental(records: int, days: int) -> tuple[list[int], list[int]]:
    """Return the requests of INCREMENTAL nights, every setting at its default, and those that read old records again.

    Args:
        records: How many the list has on the first night.
        days: Its age on the first night.
    """
    listing = EvenList(records, days)
    requests, reread = [], []
    state = StreamState()
    for night in range(DAYS + 1):
        listing.now, listing.requests = FIRST_NIGHT + night * DAY, 0
        plan = DueSpans(state, started=listing.now, lookback=DAYS * DAY, reread_days=DAYS, earliest=CHARGEDESK.earliest)
        new, reading_new = 0, True
        for chunk in read_incremental(listing.read_span, plan, is_filterable=True):
            state = chunk.state or state
            reading_new = reading_new and not chunk.reread
            new = listing.requests if reading_new else new
        requests.append(listing.requests)
        reread.append(listing.requests - new)
    return requests, reread


YEARS = 5
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
HEADER = f"""\
| charges in {YEARS} years | FULL_TABLE | first INCREMENTAL run | INCREMENTAL | of which re-reading |
| ---: | ---: | ---: | ---: | ---: |"""


def table() -> str:
    """Return the table in Markdown, which takes a minute or two to compute."""
    return "\n".join((HEADER, *map(row, SIZES), ""))


def row(records: int) -> str:
    """Return the row for a list of this length."""
    days = YEARS * 365
    (first, *later), (_, *reread) = incremental(records, days)
    described = []
    for cell in (full_table(records, days), first, mean(later), mean(reread)):
        seconds = cell * INTERVAL_MARGIN  # At 60 requests a minute, one a second.
        estimate = describe_span(seconds if seconds < MINUTE else round(seconds / MINUTE) * MINUTE)
        described.append(f"{round(cell):,} ({estimate})")
    return f"| {records:,} | {' | '.join(described)} |"
