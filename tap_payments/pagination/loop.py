"""The page loop: request a page, feed the paginator, prefetch what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tap_payments.errors import ContradictionError, TransientError
from tap_payments.pagination.anchored import AnchoredPaginator
from tap_payments.pagination.unanchored import UnanchoredPaginator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_payments.pagination.pages import ListFacts, PageToken, PagingRules, Span
    from tap_payments.pagination.paginator import ListPaginator
    from tap_payments.records.page import Page


class PageSource(Protocol):
    """Where pages come from."""

    def schedule(self, token: PageToken, guesses: Sequence[PageToken] = ()) -> None:
        """Schedule a page, and those that will probably follow."""

    def take(self, token: PageToken) -> Page:
        """Return a page that is scheduled."""

    def retry(self, token: PageToken, failed: TransientError) -> None:
        """Fetch a page again that was not believed."""


def new_paginator(rules: PagingRules, span: Span, facts: ListFacts) -> ListPaginator:
    """Return a paginator at the top of a span.

    Args:
        rules: How the list is paged.
        span: The span of time to read; open at both ends, it is the whole list.
        facts: What reading other spans of the list has taught.
    """
    can_anchor = rules.is_filterable and rules.shows_filter_time and rules.overlap and not rules.single_page
    return (AnchoredPaginator if can_anchor else UnanchoredPaginator)(rules, span, facts)


def read_pages(
    paginator: ListPaginator, pages: PageSource, *, ahead: int | None
) -> Iterator[tuple[Page, list[int], Sequence[Span]]]:
    """Read a span of a list to its end.

    Args:
        paginator: Chooses the next page.
        pages: Fetches them.
        ahead: How many pages may be in flight; None fetches none before it is needed.

    Yields:
        Each page, the indexes of the records on it that are new, and the part of the span that is not out behind it.

    Raises:
        UnreadableListError: If the list cannot be read whole.
    """
    current: ListPaginator | None = paginator
    pages.schedule(paginator.token)
    while current is not None:
        if ahead is None:
            pages.schedule(current.token)
        page = _take(current, pages)
        indexes, remaining = current.new_indexes, current.remaining
        if current.finished:
            current = current.successor
        if ahead is not None and current is not None:
            pages.schedule(current.token, current.guesses(ahead - 1))
        yield page, indexes, remaining


def _take(paginator: ListPaginator, pages: PageSource) -> Page:
    """Take the paginator's next page and feed it; a response that contradicts itself is retried."""
    token, tries = paginator.token, 0
    while True:
        page = pages.take(token)
        try:
            paginator.advance(page)
        except ContradictionError as error:
            tries += 1
            pages.retry(token, TransientError(f"answered 200, but {error}", advice=error.advice, tries=tries))
        else:
            return page
