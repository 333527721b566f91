"""What both paginators share: which records of a page are new, and what ends a list. No network, no clock.

Words: *known* are the keys of the last pages and of the boundary; the *boundary* is the oldest second read, with the
keys read at it; *news* are records that are not known. A page is *joined* where nothing can lie between it and what
was read before.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from math import floor
from typing import TYPE_CHECKING

from singer_sdk.pagination import OffsetPaginator
from typing_extensions import override

from tap_payments.errors import ContradictionError, UnreadableListError
from tap_payments.pagination.checks import OffsetCheck, check_filter, find_contradiction
from tap_payments.pagination.pages import Boundary, PageToken, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_payments.pagination.pages import ListFacts, PagingRules
    from tap_payments.records.page import Page

# Pages whose keys are remembered: records that were read last may be deleted all at once.
RECENT_PAGES = 5
# Requests in a row without progress after which a list is unreadable.
MAX_STALLED = 100


class ListPaginator(OffsetPaginator):
    """Walks one span of a list from its top to its end.

    Feed each page to `advance`; `new_indexes` then holds the indexes of the records to emit, and `token` the next
    request, until `finished`. Then `successor` is another paginator to go on with, or None.

    Attributes:
        new_indexes: Indexes of the new records on the page fed last.
        facts: What reading the list has taught.
        successor: The paginator that reads on, once this one has finished.
    """

    # Returns to the top of the span after which the list is unreadable.
    max_restarts = 20

    def __init__(self, rules: PagingRules, span: Span, facts: ListFacts) -> None:
        super().__init__(start_value=0, page_size=rules.page_size)
        self.new_indexes: list[int] = []
        self.facts = facts
        self.successor: ListPaginator | None = None
        self._rules, self._span = rules, span
        self._offsets = OffsetCheck(rules)
        self._restarts = self._stalled = self._lost_anchors = 0
        # Whether a full page came, and whether the span was begun again after one.
        self._is_long = self._has_vanished = False
        self._guess: PageToken | None = None
        self._guessed_right = True
        self._begin()

    def _begin(self) -> None:
        """Begin at the top of a span of which nothing is known."""
        # One second wider than the span: a filter may leave its ends out.
        since, until = self._span
        self._since = None if since is None else max(since - 1, 0)
        self._until = None if until is None else max(until + 1, 0)
        self._value = 0
        self._recent: deque[Page] = deque(maxlen=RECENT_PAGES)
        self._last_value = -1
        self._boundary = Boundary()
        # The second that the last page ends with; None where any known record joins.
        self._tail: int | None = None
        # How many records the next page is asked for a second time; 0 where the list has moved.
        self._asked = 0
        self._probes = False
        self._deepest = -1

    @property
    def token(self) -> PageToken:
        """The next request."""
        return PageToken(self._value, self._since, self._until)

    @property
    @abstractmethod
    def remaining(self) -> Sequence[Span]:
        """The part of the span that is not known to be out."""

    def guesses(self, count: int) -> list[PageToken]:
        """Return the tokens that follow `token` if the pages to come are as long as the last, full one.

        Args:
            count: Maximum to return; after a wrong guess it is one, until a guess was right again.
        """
        self._guess = None
        stride, last, largest = self._stride, self._last, self._rules.max_offset
        if self._finished or self._value <= self._last_value or last is None or len(last.keys) < self.facts.full:
            return []
        ahead = range(1, (count if self._guessed_right else min(count, 1)) + 1)
        offsets = [self._value + stride * number for number in ahead]
        tokens = [
            PageToken(offset, self._since, self._until)
            for offset in offsets
            if (largest is None or offset <= largest) and (last.total is None or offset < last.total)
        ]
        self._guess = tokens[0] if tokens else None
        return tokens

    @property
    def _stride(self) -> int:
        """The usual distance from a full page to the next."""
        overlap = self._rules.overlap
        return max(1, self.facts.full - overlap - (self.facts.ties if overlap else 0))

    @override
    def advance(self, page: Page) -> None:  # type: ignore[override]  # fed pages, so that it stays pure
        """Take in the page that `token` asked for.

        Args:
            page: The page.

        Raises:
            ContradictionError: If the page cannot be believed; nothing has changed then, and the same token may
                be fed again.
            UnreadableListError: If the rest of the list cannot be reached.
        """
        if self._rules.shows_filter_time:
            check_filter(page, self.token)
        if not page.keys and (contradiction := self._contradiction(page)) is not None:
            raise contradiction
        self.new_indexes = []
        if not page.keys:
            self._take_empty(page)
        elif self._offsets.are_ignored(page, self._value):
            self.facts.warn(f"ignores the offset; its one page of {len(page.keys)} records counts as the whole list")
            self._finished = True
        else:
            self._take_page(page)
        if self._since is self._until is None:
            self.facts.total = page.total
        self._page_count += 1
        if self._guess is not None:
            self._guessed_right = self.token == self._guess

    @abstractmethod
    def _take_empty(self, page: Page) -> None:
        """Take in a page without records."""

    @abstractmethod
    def _take_page(self, page: Page) -> None:
        """Take in a page with records."""

    # The end.

    def _contradiction(self, page: Page) -> ContradictionError | None:
        """Return how the page itself contradicts being the last one."""
        return find_contradiction(page, self.token, self.facts.total, check_total=self._rules.check_total)

    def _end(self, page: Page) -> None:
        """End the span with this page.

        Raises:
            ContradictionError: If the page itself announces more.
        """
        if (contradiction := self._contradiction(page)) is not None:
            raise contradiction
        self._finished = True

    def _is_end(self, page: Page, news: Sequence[int]) -> bool:
        """Whether a joined page ends the list: nothing but what was asked for a second time came back."""
        is_proof = self._tail is not None or not self._falls
        return (
            not news
            and is_proof
            and not self.facts.varies
            and len(page.keys) < self.facts.longest
            and len(page.keys) <= self._asked
            and self._boundary.keys.issubset(page.keys)
        )

    def _end_empty(self, page: Page) -> None:
        """End with an empty page at offset 0, of a span of which nothing is known.

        Raises:
            ContradictionError: If pages of it came before.
        """
        if self._has_vanished:
            raise ContradictionError("its list is empty after records of it came")
        self._end(page)

    # The order of times.

    _falls = True

    @property
    def _known(self) -> set[str]:
        return self._boundary.keys.union(self._boundary.above, *(page.keys for page in self._recent))

    @property
    def _last(self) -> Page | None:
        return self._recent[-1] if self._recent else None

    def _news(self, page: Page) -> list[int]:
        """Return the indexes of records that are not known."""
        known = self._known
        return [index for index, key in enumerate(page.keys) if key not in known]

    def _is_joined(self, page: Page) -> bool:
        """Whether nothing lies between the page and what was read.

        The records of one second may have changed places, so one of them proves nothing: a newer one must come along.
        """
        known, tail = self._known, self._tail
        if self._value == 0 or tail is None:
            return not known.isdisjoint(page.keys)
        return any(
            time is not None and floor(time) > tail and key in known
            for key, time in zip(page.keys, page.times, strict=True)
        )

    def _remember(self, page: Page, news: Sequence[int]) -> None:
        """Remember a page as the last, and count it unless it brought reading forward."""
        facts, last, length = self.facts, self._last, len(page.keys)
        if news and last is not None and self._value > self._last_value:
            facts.varies = facts.varies or len(last.keys) < facts.longest
            if len(last.keys) < facts.full and facts.longest < facts.full:
                facts.full = max(facts.longest, 1)
        facts.full, facts.longest = max(facts.full, length), max(facts.longest, length)
        self._is_long = self._is_long or length >= facts.full
        self._stalled += 1
        if self._lower_boundary(page, news) or (news and self._value > self._deepest):
            self._stalled = 0
        self._deepest = max(self._deepest, self._value)
        self._check_stalled()
        self._recent.append(page)
        self._last_value = self._value

    def _lower_boundary(self, page: Page, news: Sequence[int]) -> bool:
        """Lower the boundary to the end of the page; return whether that brought reading forward."""
        if self._falls and page.times[-1] is not None:
            lowest = self._boundary.lowest
            is_progress = self._boundary.lower(page)
            if self._boundary.lowest != lowest:
                self._lost_anchors = 0
            return is_progress
        if news:
            self._boundary.keys = set(page.keys[-max(self._rules.overlap, 1) :])
        return False

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

    @abstractmethod
    def _go_to(self, offset: int) -> None:
        """Go to an offset, or elsewhere where it is above the largest."""

    def _probe(self, page: Page) -> None:
        """Look right below a page that may be the last."""
        below = self._value + len(page.keys)
        self._go_to(below)
        self._probes = self._value == below

    def _move_to(self, offset: int) -> None:
        """Ask for the page at an offset, above the end of the last one."""
        self._asked = self._last_value + len(self._last.keys) - offset if self._last else 0
        self._value = offset

    def _stall(self) -> None:
        """Count a request that brought nothing; the list has moved."""
        self._asked = 0
        self._stalled += 1
        self._check_stalled()

    def _restart(self) -> None:
        """Begin the span again, since nothing that was read is found any more."""
        self._restarts += 1
        self._check_found(self._restarts)
        self._has_vanished = self._has_vanished or self._is_long
        self._begin()

    def _check_found(self, times: int) -> None:
        """Check how often nothing that was read was found again."""
        if times > self.max_restarts:
            raise UnreadableListError(
                f"the pages do not fit together: {self.max_restarts} times nothing that was read was found again: "
                "check `offset_param`, set `page_overlap: 0` if the API takes only whole pages as offsets, or run "
                "again when the list changes less"
            )
