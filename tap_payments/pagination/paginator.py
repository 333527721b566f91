"""The offset paginator: which records of a page are new, and which page to ask for next. No network, no clock."""

from __future__ import annotations

from abc import abstractmethod
from math import floor
from typing import TYPE_CHECKING

from singer_sdk.pagination import OffsetPaginator
from typing_extensions import override

from tap_payments.errors import TOTAL_ADVICE, ContradictionError, UnreadableListError
from tap_payments.pagination.history import PageHistory
from tap_payments.pagination.offset_cap import OffsetCap
from tap_payments.pagination.pages import PageLengths, PageToken
from tap_payments.records.timestamps import Window

if TYPE_CHECKING:
    from collections.abc import Collection

    from tap_payments.pagination.history import Outline
    from tap_payments.pagination.pages import PagingRules


class ListPaginator(OffsetPaginator):
    """Walks one list, or one window of it, from its first record to its last.

    Feed each page to `advance`; `fresh` then holds the places of the records to emit, and `token` what to ask next,
    until `finished`. What a page means for the next is up to the subclasses.

    Attributes:
        fresh: Places of the new records on the page fed last.
        lengths: What is known of the list's pages.
        ignores_offset: Whether one page counted as the whole list, since the API repeats it at every offset.
        fills_page: Whether the records of one second filled a page, so that some may be missed if their order changes.
    """

    def __init__(self, rules: PagingRules, window: Window | None = None, lengths: PageLengths | None = None) -> None:
        """Begin at the top of the list.

        Args:
            rules: How the list is paged.
            window: The span of time to read; None is the whole list.
            lengths: What earlier windows of the same list taught about its pages.
        """
        super().__init__(start_value=0, page_size=rules.page_size)
        self.fresh: list[int] = []
        self.ignores_offset = False
        self.fills_page = False
        self.lengths = lengths or PageLengths(full=rules.page_size)
        self._check_total = rules.check_total
        self._span = window or Window()
        self._cap: OffsetCap | None = None
        if rules.max_offset is not None:
            self._cap = OffsetCap(
                rules.max_offset,
                filterable=rules.filterable,
                span=self._span,
                earliest=rules.earliest,
                now=rules.now,
            )
        self._total: int | None = None
        self._guessed: PageToken | None = None
        self._guessed_right = True
        self._begin()

    def _begin(self) -> None:
        """Begin at the top of a span of which nothing is known."""
        self._history = PageHistory()
        self._longest = 0
        self._rewind()

    def _rewind(self) -> None:
        """Go to offset 0 of the span."""
        if self._cap is not None:
            self._span = self._cap.span
        self._value = 0

    @property
    def token(self) -> PageToken:
        """What to ask for next."""
        return PageToken(self._value, self._span.since, self._span.until)

    @property
    def limits(self) -> list[str]:
        """What a reader of the list should know of it, to follow its name."""
        limits = []
        if self.fills_page:
            limits.append(
                "has records of one second that fill a page; if their order changes between requests, some may be "
                "missed: raise `page_size` if the API allows it"
            )
        if self.ignores_offset:
            length = self.lengths.longest
            limits.append(f"ignores the offset; its one page of {length} records counts as the whole list")
        return limits

    # Pages ahead of their turn.

    @property
    def _is_steady(self) -> bool:
        """Whether the next page follows the last one at the usual distance."""
        return not (self._finished or (self._cap is not None and self._cap.is_unproven))

    def _stride(self) -> int:
        """Return the usual distance from a full page to the next."""
        return self.lengths.full

    def guesses(self, count: int) -> list[PageToken]:
        """Return the tokens that follow `token` if the pages to come are as long as the last, full one.

        Args:
            count: How many to return at most; after a wrong guess it is one, until a guess was right again.
        """
        self._guessed = None
        stride, last = self._stride(), self._history.last
        if not self._is_steady or stride < 1 or last is None or len(last.keys) < self.lengths.full:
            return []
        largest = None if self._cap is None else self._cap.largest
        offsets = (
            self._value + stride * ahead for ahead in range(1, (count if self._guessed_right else min(count, 1)) + 1)
        )
        tokens = [
            PageToken(offset, self._span.since, self._span.until)
            for offset in offsets
            if (largest is None or offset <= largest) and (self._total is None or offset < self._total)
        ]
        self._guessed = tokens[0] if tokens else None
        return tokens

    # A page that came.

    @override
    def advance(self, response: Outline) -> None:  # type: ignore[override]  # fed outlines, so that it stays pure
        """Take in the page that `token` asked for.

        Args:
            response: The outline of the page.

        Raises:
            ContradictionError: If the answer cannot be believed; nothing has changed then, and the same token may be
                fed again.
            UnreadableListError: If the rest of the list cannot be reached.
        """
        page, cap = response, self._cap
        self._check_range(page)
        self.fresh = []
        if cap is not None and cap.is_unproven and not cap.prove(self._known(page), self._history):
            self._rewind()
        else:
            self._advance(page)
        self._total = page.total
        self._page_count += 1
        if self._guessed is not None:
            self._guessed_right = self.token == self._guessed

    @abstractmethod
    def _advance(self, page: Outline) -> None:
        """Take in a page of the span: accept it, end the span with it, or go to where the list is found again."""

    def _check_range(self, page: Outline) -> None:
        """Check that the page has a record in the span of time that was asked for."""
        since, until = self._span.since, self._span.until
        if since is None and until is None:
            return
        times = [floor(time) for time in page.filter_times if time is not None]
        if times and not any((since is None or time >= since) and (until is None or time <= until) for time in times):
            raise UnreadableListError(
                "the API does not honour the filter by time: a page has no record in the span asked for"
            )

    def _contradiction(self, page: Outline) -> ContradictionError | None:
        """Return how the page itself contradicts being the last one."""
        reached = self._value + len(page.keys)
        if page.has_more:
            return ContradictionError(f"its list ends after {reached} records while its `has_more` is true")
        if self._check_total and page.total is not None and page.total > reached:
            what = f"its list ends after {reached} records while its `total_count` is {page.total}"
            return ContradictionError(what, TOTAL_ADVICE)
        return None

    def _end(self, page: Outline) -> None:
        """End the span with this page, and the list with the last span.

        Raises:
            ContradictionError: If the page itself announces more.
        """
        if (contradiction := self._contradiction(page)) is not None:
            raise contradiction
        if self._cap is not None and self._cap.next_span():
            self._begin()
        else:
            self._finished = True

    def _known(self, page: Outline) -> set[str]:
        """Return the keys of the page that went out before and are remembered."""
        known = self._history.overlap(page)
        return known if self._cap is None else known | self._cap.overlap(page)

    def _accept(self, page: Outline, known: Collection[str]) -> None:
        """Take the page's new records, and remember the page."""
        lengths, last = self.lengths, self._history.last
        self.fresh = [place for place, key in enumerate(page.keys) if key not in known]
        if self.fresh and last is not None and len(last.keys) < self._longest:
            lengths.vary = True
        # Pages shorter than asked for are full ones, once such a page was followed by new records.
        if self.fresh and last is not None and len(last.keys) < lengths.full and lengths.longest < lengths.full:
            lengths.full = max(lengths.longest, 1)
        self._longest = max(self._longest, len(page.keys))
        lengths.longest = max(lengths.longest, self._longest)
        self._remember(page)

    @abstractmethod
    def _remember(self, page: Outline) -> None:
        """Remember a page as the last."""

    def _go_to(self, offset: int) -> None:
        """Go to an offset, or to a narrower span where the offset is above the largest."""
        if self._cap is None or offset <= self._cap.largest:
            self._value = offset
        elif not self._cap.advance(at_cap=self._value >= self._cap.largest):
            # The last page that can be asked for still begins with records that were read.
            self._value = self._cap.largest
        elif self._cap.is_unproven:
            self._rewind()
        else:
            self._begin()
