"""Paginators for lists whose pages share no record, and for APIs that do not page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from tap_payments.errors import UnreadableListError
from tap_payments.pagination.history import RECENT_PAGES
from tap_payments.pagination.paginator import ListPaginator

if TYPE_CHECKING:
    from tap_payments.pagination.history import Outline
    from tap_payments.pagination.pages import PageLengths, PagingRules
    from tap_payments.records.timestamps import Window

# Repeats of a page at growing offsets after which the API is said to ignore them.
MAX_REPEATS = 2
# Pages that repeat a page of long before. A list that moves a lot repeats a few.
MAX_RECURRENCES = 20


class SinglePagePaginator(ListPaginator):
    """Takes the one page of an API that does not page."""

    @override
    def _advance(self, page: Outline) -> None:
        length = len(page.keys)
        if length >= self.page_size:
            raise UnreadableListError(
                f"the API does not page (`offset_param` is empty), but its page of {length} records is full: "
                "set `page_size` above the length of the list, or name the `offset_param`"
            )
        if (contradiction := self._contradiction(page)) is not None:
            raise UnreadableListError(f"the API does not page (`offset_param` is empty), but {contradiction}")
        self._accept(page, ())
        self._finished = True

    @override
    def _remember(self, page: Outline) -> None:
        """No page follows."""


class PlainPaginator(ListPaginator):
    """Advances by what came; an empty page is the end, a page that comes again and again is not."""

    def __init__(self, rules: PagingRules, window: Window | None = None, lengths: PageLengths | None = None) -> None:
        super().__init__(rules, window, lengths)
        # An earlier page that the following ones are compared with, its number, and how many of them repeated it.
        self._landmark: frozenset[str] = frozenset()
        self._landmark_at = 0
        self._recurrences = 0

    @override
    def _rewind(self) -> None:
        super()._rewind()
        self._repeats = 0

    @property
    @override
    def _is_steady(self) -> bool:
        return super()._is_steady and not self._repeats

    @override
    def _advance(self, page: Outline) -> None:
        last = self._history.last
        if not page.keys:
            self._end(page)
            return
        if last is not None and self._value > 0 and page.keys == last.keys:
            self._take_repeat(page)
            return
        self._repeats = 0
        self._check_recurrence(page)
        self._accept(page, self._known(page))
        self._go_to(self._value + len(page.keys))

    @override
    def _remember(self, page: Outline) -> None:
        if self._cap is None:
            # Such a list cannot be narrowed, and its moves are not watched for.
            self._history.pages.append(page)
            return
        last = self._history.last
        self._cap.remember(page, contiguous=last is not None and page.keys[:1] != last.keys[-1:])
        self._history.remember(page)

    def _take_repeat(self, page: Outline) -> None:
        """Skip a page that came before, or find that the API ignores the offset."""
        length = len(page.keys)
        if self._repeats + 1 < MAX_REPEATS:
            self._repeats += 1
            self._go_to(self._value + length)
            return
        says_more = page.has_more or (self._check_total and page.total is not None and page.total > length)
        # An API that pages in another way sends its first page each time, and that has a round length.
        is_first = self._page_count <= MAX_REPEATS
        if length >= self.page_size or length % 10 == 0 or length % 25 == 0 or says_more or not is_first:
            raise UnreadableListError(
                f"the API ignores the offset: each page holds the same {length} records, so that the rest of the list "
                'cannot be reached: check `offset_param`, or set it to "" if the API does not page'
            )
        self.ignores_offset = True
        self._finished = True

    def _check_recurrence(self, page: Outline) -> None:
        """Notice that the same pages come again and again at growing offsets, by Brent's algorithm for cycles."""
        count = self._page_count
        if count - self._landmark_at > RECENT_PAGES and not self._landmark.isdisjoint(page.keys):
            self._recurrences += 1
            if self._recurrences > MAX_RECURRENCES:
                raise UnreadableListError(
                    "the same pages come again and again at growing offsets: check `offset_param`"
                )
        if count & (count - 1) == 0:
            self._landmark, self._landmark_at = frozenset(page.keys), count
