"""The requests of a night, by the tap's own plans and paginator: `python -m tests.support.nightly_requests`.

The lists are made of arithmetic and read without HTTP. They are as ChargeDesk's: pages of 500 that overlap by a record,
filters by time, and offsets up to 50,000.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from statistics import mean
from typing import TYPE_CHECKING

from tap_payments.output.progress import MINUTE, describe_span
from tap_payments.pagination.loop import new_paginator, read_pages
from tap_payments.pagination.pages import ListFacts, PageToken, PagingRules, Span
from tap_payments.providers import PROVIDERS
from tap_payments.replication.reading import read_full_table, read_incremental
from tap_payments.replication.spans import DueSpans
from tap_payments.replication.state import StreamState
from tests.support.outline import fetched_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tap_payments.records.page import Page

DAY = 86_400
FIRST_NIGHT = 1_750_000_000
PAGE_SIZE = 500
DAYS = 30  # `lookback_days` and `reread_days`
CHARGEDESK = PROVIDERS["chargedesk"]
CHARGES = CHARGEDESK.listing("charges")
# Requests are spaced by 2 % more than 60 / `requests_per_minute` seconds.
SECONDS_A_REQUEST = 1.02


@dataclass
class EvenList:
    """A list whose records come at equal distances, and go on to come.

    Attributes:
        begin: The time of its first record.
        records: How many it has on the first night.
        now: The time up to which it has records.
        requests: Requests so far.
        facts: What reading it has taught.
    """

    begin: int
    records: int
    now: int = FIRST_NIGHT
    requests: int = 0
    facts: ListFacts = field(default_factory=lambda: ListFacts(full=PAGE_SIZE))

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
        return read_pages(new_paginator(rules, span, self.facts), self._fetch)

    def _fetch(self, token: PageToken, check: Callable[[Page], None]) -> Page:
        """Return a page."""
        self.requests += 1
        low = 0 if token.since is None else max(self._place(token.since), 0)
        high = self._place(min(token.until or self.now, self.now) + 1) - token.offset
        places = range(high - 1, max(low, high - PAGE_SIZE) - 1, -1)
        page = fetched_page((self._time(place), str(place)) for place in places)
        check(page)
        return page

    def _time(self, place: int) -> int:
        return self.begin + place * (FIRST_NIGHT - self.begin) // self.records

    def _place(self, second: int) -> int:
        """Return the place of the first record that is not older than this."""
        return -(-(second - self.begin) * self.records // (FIRST_NIGHT - self.begin))


@dataclass(frozen=True)
class Nights:
    """The requests of an account's nights.

    Attributes:
        first: Those of the first run.
        later: Those of each later night.
        reread: Those of each later night that read older records again.
    """

    first: int
    later: Sequence[int]
    reread: Sequence[int]


def full_table(records: int, days: int) -> int:
    """Return the requests of a night that reads the list whole."""
    listing = EvenList(FIRST_NIGHT - days * DAY, records)
    for _ in read_full_table(listing.read_span):
        pass
    return listing.requests


def incremental(records: int, days: int, *, nights: int) -> Nights:
    """Return the requests of INCREMENTAL nights, with every setting at its default.

    Args:
        records: How many the list has on the first night.
        days: Its age on the first night.
        nights: How many nights follow.
    """
    listing = EvenList(FIRST_NIGHT - days * DAY, records)
    requests, reread = [], []
    state = StreamState()
    for night in range(nights + 1):
        listing.now, listing.requests = FIRST_NIGHT + night * DAY, 0
        plan = DueSpans(
            state,
            started=listing.now,
            lookback=DAYS * DAY,
            reread_days=DAYS,
            earliest=CHARGEDESK.earliest,
        )
        new, reading_new = 0, True
        for chunk in read_incremental(listing.read_span, plan, is_filterable=True):
            state = chunk.state or state
            reading_new = reading_new and not chunk.reread
            new = listing.requests if reading_new else new
        requests.append(listing.requests)
        reread.append(listing.requests - new)
    return Nights(requests[0], requests[1:], reread[1:])


YEARS = 5
SIZES = (10_000, 1_000_000, 10_000_000)
HEADER = (
    f"| charges in {YEARS} years | FULL_TABLE | first INCREMENTAL run | INCREMENTAL | of which re-reading |",
    "| ---: | ---: | ---: | ---: | ---: |",
)


def row(records: int) -> str:
    """Return the row of the table in `docs/nightly.md` for a list of this length."""
    days = YEARS * 365
    read = incremental(records, days, nights=DAYS)
    cells = [full_table(records, days), read.first, mean(read.later), mean(read.reread)]
    described = [f"{round(cell):,} ({_describe_estimate(cell * SECONDS_A_REQUEST)})" for cell in cells]
    return f"| {records:,} | {' | '.join(described)} |"


def _describe_estimate(seconds: float) -> str:
    return describe_span(seconds if seconds < MINUTE else round(seconds / MINUTE) * MINUTE)


if __name__ == "__main__":
    for line in (*HEADER, *(row(size) for size in SIZES)):
        sys.stdout.write(line + "\n")
