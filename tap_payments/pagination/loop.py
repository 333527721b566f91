"""The page loop: request a page, feed the paginator, prefetch what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from tap_payments.errors import ContradictionError, UnreadableListError
from tap_payments.pagination.anchored import AnchoredPaginator
from tap_payments.pagination.paginator import ListPaginator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tap_payments.pagination.pages import ListFacts, PageToken, PagingRules, Span
    from tap_payments.records.page import Page

    # Returns a page that the function has checked; requests it again while that raises ContradictionError.
    Fetch = Callable[[PageToken, Callable[[Page], None]], Page]


class UnpagedListPaginator(ListPaginator):
    """Takes the one page of a list."""

    @override
    def advance(self, page: Page) -> None:  # type: ignore[override]  # as in the base class
        """Take in the page.

        Args:
            page: The page.

        Raises:
            UnreadableListError: If it is full, or contradicts being the whole list.
        """
        length = len(page.keys)
        if length >= self._rules.page_size:
            raise UnreadableListError(
                f"the API does not page (`offset_param` is empty), but its page of {length} records is full: "
                "set `page_size` above the length of the list, or name the `offset_param`"
            )
        try:
            self._end(page)
        except ContradictionError as error:
            raise UnreadableListError(f"the API does not page (`offset_param` is empty): it {error}") from None
        self.new_indexes = list(range(length))


def new_paginator(rules: PagingRules, span: Span, facts: ListFacts) -> ListPaginator:
    """Return a paginator at the top of a span.

    Args:
        rules: How the list is paged.
        span: The span of time to read; open at both ends, it is the whole list.
        facts: Facts learnt from other spans of the list.
    """
    if rules.single_page:
        return UnpagedListPaginator(rules, span, facts)
    can_anchor = rules.is_filterable and rules.shows_filter_time and rules.overlap
    return (AnchoredPaginator if can_anchor else ListPaginator)(rules, span, facts)


def read_pages(
    paginator: ListPaginator,
    fetch: Fetch,
    schedule: Callable[[Sequence[PageToken]], None] = lambda _: None,
    *,
    ahead: int = 0,
) -> Iterator[tuple[Page, list[int], Sequence[Span]]]:
    """Read a span of a list to its end.

    Args:
        paginator: Chooses the next page.
        fetch: Fetches a page.
        schedule: Called with the pages that will probably be fetched next.
        ahead: How many of these there may be.

    Yields:
        Each page, the indexes of the records on it that are new, and the part of the span that is still to be read.

    Raises:
        UnreadableListError: If the list cannot be read whole.
    """
    while not paginator.finished:
        page = fetch(paginator.token, paginator.advance)
        if ahead and not paginator.finished:
            schedule([paginator.token, *paginator.guesses(ahead - 1)])
        yield page, paginator.new_indexes, paginator.remaining
