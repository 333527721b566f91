"""The base of all paginators: what they know of a list, and checks of what the API answers."""

from __future__ import annotations

from math import floor, inf
from typing import TYPE_CHECKING

from singer_sdk.pagination import OffsetPaginator

from tap_payments.errors import TOTAL_ADVICE, ContradictionError, UnreadableListError
from tap_payments.pagination.pages import PageToken, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_payments.pagination.pages import ListFacts, PagingRules
    from tap_payments.records.page import Page

# Requests in a row without progress, and first pages met again, after which a list is unreadable.
MAX_STALLED = 100
MAX_RECURRENCES = 20
# Repeats of the first page at growing offsets after which the API is said to ignore them.
MAX_REPEATS = 2
# Full pages whose records are remembered: those that were read last may be deleted all at once.
KNOWN_PAGES = 20
# The value of `_expected_overlap` where the list has moved: no page is as short as this.
MOVED = -1

ORDER_WARNING = (
    "has records of one second that fill a page; if their order changes between requests, some may be missed: raise "
    "`page_size` if the API allows it"
)


class BasePaginator(OffsetPaginator):
    """The next request, the guesses that follow it, what is known of the list, and checks of responses.

    Attributes:
        new_indexes: Indexes of the new records on the page fed last.
        facts: Facts learnt while the list is read.
    """

    def __init__(self, rules: PagingRules, span: Span, facts: ListFacts) -> None:
        super().__init__(start_value=0, page_size=rules.page_size)
        self.new_indexes: list[int] = []
        self.facts = facts
        self._rules, self._span = rules, span
        self._first_key: str | None = None
        self._recurrences = self._repeats = self._restarts = self._stalled = 0
        # Whether the times of all pages fell, and whether the span was begun again after a full page.
        self._falls, self._has_vanished = True, False
        self._guess: PageToken | None = None
        self._guessed_right = True
        self._begin()

    def _begin(self) -> None:
        """Begin at the top of the span, and forget what is known."""
        # One second wider than the span: a filter may leave its ends out. Some servers refuse a second before 1970.
        since, until = self._span
        self._since = None if since is None else max(since - 1, 0)
        self._until = None if until is None else max(until + 1, 0)
        self._last: Page | None = None
        # The keys of known records, with their seconds.
        self._known: dict[str, int | None] = {}
        self._boundary: int | None = None
        # The newest second read, and the oldest, which never rises; the boundary does where an anchor finds nothing.
        self._newest, self._lowest = -inf, inf
        self._last_value = self._deepest = -1
        # The second that the last page ends with, and whether any known record joins the next one to it.
        self._last_second: int | None = None
        self._joins_any = True
        self._jump(0)

    def _jump(self, offset: int) -> None:
        """Go to an offset without expecting an overlap with the last page."""
        self._value, self._expected_overlap = offset, MOVED
        # Whether records of one second fill the last page, but for its first record.
        self._fills_page = False

    @property
    def token(self) -> PageToken:
        """The next request."""
        return PageToken(self._value, self._since, self._until)

    @property
    def _is_filtered(self) -> bool:
        return self._since is not None or self._until is not None

    def guesses(self, count: int) -> list[PageToken]:
        """Return the tokens that follow `token` if the pages to come are as long as the last, full one.

        Args:
            count: How many to return at most; after a wrong guess it is one, until a guess was right again.
        """
        last, largest = self._last, self._rules.max_offset
        tokens: list[PageToken] = []
        if not self._finished and self._value > self._last_value and last and len(last.keys) >= self.facts.full:
            numbers = range(1, (count if self._guessed_right else min(count, 1)) + 1)
            tokens = [
                PageToken(offset, self._since, self._until)
                for offset in (self._value + self._stride * number for number in numbers)
                if (largest is None or offset <= largest) and (last.total is None or offset < last.total)
            ]
        self._guess = tokens[0] if tokens else None
        return tokens

    @property
    def _stride(self) -> int:
        """The usual distance from a full page to the next."""
        overlap = self._rules.overlap
        return max(1, self.facts.full - overlap - (self.facts.longest_group if overlap else 0))

    # What is known.

    def _measure(self, page: Page, *, has_news: bool) -> None:
        """Learn how long pages are: if new records follow a short page, the server caps pages or varies them."""
        facts, last, length = self.facts, self._last, len(page.keys)
        if has_news and last is not None and self._value > self._last_value:
            facts.varies = facts.varies or len(last.keys) < facts.longest
            if len(last.keys) < facts.full and facts.longest < facts.full:
                facts.full = max(facts.longest, 1)
        facts.full, facts.longest = max(facts.full, length), max(facts.longest, length)

    def _move_boundary(self, seconds: Sequence[int | None], news: Sequence[int]) -> None:
        """Move the boundary down to the end of a page; a page that made progress is no stalled request."""
        end, is_forward = seconds[-1], bool(news) and self._value > self._deepest
        newest = max([self._newest, *(second for second in seconds if second is not None)])
        if self._last is not None and self._newest == -inf < newest and self._rules.overlap:
            # Records without a time, which come first, fill a page.
            self.facts.warn(ORDER_WARNING)
        self._newest = newest
        if self._falls and end is not None:
            is_forward |= end < self._lowest or (end == self._lowest and any(seconds[index] == end for index in news))
            self._lowest = min(end, self._lowest)
            self._boundary = end if self._boundary is None else min(end, self._boundary)
        if is_forward:
            self._stalled = -1  # `advance` adds 1.
        self._deepest = max(self._deepest, self._value)

    def _remember(self, page: Page, seconds: Sequence[int | None]) -> None:
        """Remember a page as the last one, and its records in the order in which they were read last."""
        self._first_key = self._first_key or page.keys[0]
        self._last, self._last_value = page, self._value
        for key, second in zip(page.keys, seconds, strict=True):
            self._known.pop(key, None)
            self._known[key] = second
        self._forget()

    def _forget(self) -> None:
        """Forget what was read long ago, except for the boundary and the second above, which an anchor brings back."""
        count = KNOWN_PAGES * self.facts.full
        if len(self._known) < 2 * count:
            return
        kept = -inf if self._boundary is None else self._boundary + 1
        recent = len(self._known) - count
        self._known = {
            key: second
            for index, (key, second) in enumerate(self._known.items())
            if index >= recent or (second is not None and second <= kept)
        }

    # Contradictions.

    def _check_filter(self, page: Page) -> None:
        """Check that no record is newer than was asked for, and that one at least is in the span."""
        if not (self._rules.shows_filter_time and self._is_filtered):
            return
        asked = Span(self._since, self._until)
        seconds = [floor(time) for time in page.times if time is not None]
        is_newer = asked.until is not None and any(second > asked.until for second in seconds)
        if is_newer or (seconds and not any(map(asked.covers, seconds))):
            raise UnreadableListError(
                "the API does not honour the filter by time: a page has a record newer than was asked for, or none in "
                "the span asked for"
            )

    def _check_end(self, page: Page) -> None:
        """Check that nothing on the page contradicts its being the last one.

        Raises:
            ContradictionError: If it announces more.
        """
        reached, total, whole = self._value + len(page.keys), page.total, self.facts.total
        if page.has_more:
            raise ContradictionError(f"its list ends after {reached} records while its `has_more` is true")
        # A total may count the whole list, whatever the filter.
        counts_all = self._is_filtered and total is not None and whole is not None and total >= whole
        if self._rules.check_total and total is not None and total > reached and not counts_all:
            what = f"its list ends after {reached} records while its `total_count` is {total}"
            raise ContradictionError(what, TOTAL_ADVICE)

    def _end(self, page: Page) -> None:
        """End the span with this page."""
        self._check_end(page)
        self._finished = True

    def _check_stalled(self) -> None:
        if self._stalled < MAX_STALLED:
            return
        longest, overlap = self.facts.longest, self._rules.overlap
        if 0 < longest <= overlap:
            raise UnreadableListError(
                f"the API serves {longest} records a page at most: `page_overlap` must be less than that"
            )
        raise UnreadableListError(
            f"the pages do not fit together: {MAX_STALLED} in a row brought no new record: check whether the API "
            "ignores the offset (`offset_param`) or answers none above a certain one, and set `page_overlap: 0` if it "
            "takes only whole pages as offsets"
        )

    def _is_whole_list(self, page: Page) -> bool:
        """Detect an API that ignores the offset; return whether the page counts as the whole list."""
        last, length = self._last, len(page.keys)
        if self._value > 0 and page.keys[0] == self._first_key:
            self._recurrences += 1
            if self._recurrences > MAX_RECURRENCES:
                raise UnreadableListError(
                    "the same pages come again and again at growing offsets: check `offset_param`, and set "
                    "`page_overlap: 0` if the API takes only whole pages as offsets"
                )
        is_repeat = last is not None and self._value > self._last_value and page.keys == last.keys
        self._repeats = self._repeats + 1 if is_repeat else 0
        if self._repeats < MAX_REPEATS or (self._rules.overlap and self._page_count > MAX_REPEATS):
            return False
        says_more = page.has_more or (self._rules.check_total and page.total is not None and page.total > length)
        # An API that pages in another way sends its first page each time, and that has a round length.
        is_usual = length >= self._rules.page_size or length % 10 == 0 or length % 25 == 0
        if is_usual or says_more or self._page_count > MAX_REPEATS:
            raise UnreadableListError(
                f"the API ignores the offset: each page holds the same {length} records, so that the rest of the list "
                'cannot be reached: check `offset_param`, or set it to "" if the API does not page'
            )
        self.facts.warn(f"ignores the offset; its one page of {length} records counts as the whole list")
        self._finished = True
        return True
