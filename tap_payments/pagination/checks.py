"""Responses that cannot be right: filters and offsets without effect, and ends that the API itself contradicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_payments.errors import TOTAL_ADVICE, ContradictionError, UnreadableListError
from tap_payments.pagination.pages import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_payments.pagination.pages import PageToken, PagingRules
    from tap_payments.records.page import Page

# Pages at growing offsets that begin as the first one after which a list is unreadable.
MAX_RECURRENCES = 20
# Repeats of the first page at growing offsets after which the API counts as ignoring them.
MAX_REPEATS = 2


def check_filter(page: Page, token: PageToken) -> None:
    """Check that a page has a record in the span of time that was asked for.

    Args:
        page: A page of records that show the time of the filter.
        token: Its request.

    Raises:
        UnreadableListError: If it has records, but none in the span.
    """
    span = Span(token.since, token.until)
    times = [time for time in page.times if time is not None]
    if times and not any(span.covers(time) for time in times):
        raise UnreadableListError(
            "the API does not honour the filter by time: a page has no record in the span asked for"
        )


def find_contradiction(
    page: Page, token: PageToken, total: int | None, *, check_total: bool
) -> ContradictionError | None:
    """Return how a page itself contradicts being the last one; None where it does not.

    Args:
        page: The page.
        token: Its request.
        total: The API's own count of the whole list; None where it is not known.
        check_total: Whether its counts are believed.
    """
    reached = token.offset + len(page.keys)
    if page.has_more:
        return ContradictionError(f"its list ends after {reached} records while its `has_more` is true")
    if not check_total or page.total is None or page.total <= reached:
        return None
    is_filtered = not (token.since is token.until is None)
    if is_filtered and total is not None and page.total >= total:
        return None  # It counts the whole list, whatever the filter.
    what = f"its list ends after {reached} records while its `total_count` is {page.total}"
    return ContradictionError(what, TOTAL_ADVICE)


class OffsetCheck:
    """Notices that the offset has no effect."""

    def __init__(self, rules: PagingRules) -> None:
        self._rules = rules
        self._first_key: str | None = None
        self._keys: Sequence[str] = ()
        self._offset = 0
        self._pages = self._recurrences = self._repeats = 0

    def are_ignored(self, page: Page, offset: int) -> bool:
        """Whether the API repeats its one page at every offset, and that counts as the whole list.

        Args:
            page: A page with records.
            offset: The offset that it was asked for at.

        Raises:
            UnreadableListError: If the rest of the list cannot be reached.
        """
        length = len(page.keys)
        self._first_key = self._first_key or page.keys[0]
        if offset > 0 and page.keys[0] == self._first_key:
            self._recurrences += 1
            if self._recurrences > MAX_RECURRENCES:
                raise UnreadableListError(
                    "the same pages come again and again at growing offsets: check `offset_param`, and set "
                    "`page_overlap: 0` if the API takes only whole pages as offsets"
                )
        is_repeat = offset > self._offset and page.keys == self._keys
        self._repeats = self._repeats + 1 if is_repeat else 0
        pages, self._pages = self._pages, self._pages + 1
        self._keys, self._offset = page.keys, offset
        if self._repeats < MAX_REPEATS or (self._rules.overlap and pages > MAX_REPEATS):
            return False
        says_more = page.has_more or (self._rules.check_total and page.total is not None and page.total > length)
        # An API that pages in another way sends its first page each time, and that has a round length.
        is_usual = length >= self._rules.page_size or length % 10 == 0 or length % 25 == 0
        if is_usual or says_more or pages > MAX_REPEATS:
            raise UnreadableListError(
                f"the API ignores the offset: each page holds the same {length} records, so that the rest of the list "
                'cannot be reached: check `offset_param`, or set it to "" if the API does not page'
            )
        return True
