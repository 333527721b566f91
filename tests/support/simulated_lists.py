"""Lists in memory, as the replication plans read them: no HTTP, no processes, and thousands of nights in a second."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tap_payments.errors import WindowTooLongError
from tap_payments.records.page import FetchedPage, Page, PageOutline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_payments.records.timestamps import Window

ARRIVED = datetime(2025, 1, 1, tzinfo=timezone.utc)


def fetched_page(rows: Iterable[tuple[int, str]], *, shows_filter_times: bool = True) -> FetchedPage:
    """Return a page of records.

    Args:
        rows: Time and key of each record, in the order of the list.
        shows_filter_times: Whether the records show the time that the API filters by.
    """
    rows = list(rows)
    times = [time for time, _ in rows]
    filter_times = times if shows_filter_times else [None] * len(rows)
    return FetchedPage(Page(PageOutline([key for _, key in rows], times, filter_times), ()), ARRIVED)


class SimulatedList:
    """A list of records by their times, which is read without a request too many.

    Attributes:
        rows: Time and key of each record, oldest first.
        requests: The windows asked for, once for each page.
        shows_filter_times: Whether its records show the time that they are filtered by.
    """

    def __init__(self, page_size: int) -> None:
        """Begin with no records.

        Args:
            page_size: Records on a page.
        """
        self.rows: list[tuple[int, str]] = []
        self.requests: list[Window] = []
        self.shows_filter_times = True
        self._page_size = page_size

    def insert(self, time: int) -> str:
        """Insert a record and return its key."""
        key = f"{time}-{len(self.rows)}"
        insort(self.rows, (time, key))
        return key

    def read_pages(self, window: Window, may_give_up: bool) -> Iterator[tuple[FetchedPage, list[int]]]:  # noqa: FBT001
        """Read a window, newest first, as `PaymentsStream` does."""
        low = 0 if window.since is None else bisect_left(self.rows, (window.since, ""))
        high = len(self.rows) if window.until is None else bisect_right(self.rows, (window.until + 1, ""))
        rows = self.rows[low:high][::-1]
        if may_give_up and len(rows) >= self._page_size:
            self.requests.append(window)
            raise WindowTooLongError
        for begin in range(0, max(len(rows), 1), self._page_size):
            self.requests.append(window)
            page = fetched_page(rows[begin : begin + self._page_size], shows_filter_times=self.shows_filter_times)
            yield page, list(range(len(page.outline.keys)))
