"""The page loop: request a page, feed the paginator, prefetch what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from tap_payments.errors import ContradictionError, TransientError, WindowTooLongError
from tap_payments.pagination.overlapping import OverlappingPaginator
from tap_payments.pagination.plain import PlainPaginator, SinglePagePaginator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_payments.pagination.history import Outline
    from tap_payments.pagination.pages import PageLengths, PageToken, PagingRules
    from tap_payments.pagination.paginator import ListPaginator
    from tap_payments.records.timestamps import Window


class Outlined(Protocol):
    """A page with an outline."""

    @property
    def outline(self) -> Outline:
        """Its outline."""


FetchedT = TypeVar("FetchedT", bound=Outlined)
FetchedT_co = TypeVar("FetchedT_co", bound=Outlined, covariant=True)


class PageSource(Protocol[FetchedT_co]):
    """Where pages come from."""

    def schedule(self, token: PageToken, guesses: Sequence[PageToken] = ()) -> None:
        """Schedule a page, and those that will probably follow."""

    def take(self, token: PageToken) -> FetchedT_co:
        """Return a page that is scheduled."""

    def retry(self, token: PageToken, failed: TransientError) -> None:
        """Fetch a page again that was not believed."""


def new_paginator(
    rules: PagingRules, window: Window | None = None, lengths: PageLengths | None = None
) -> ListPaginator:
    """Return a paginator at the top of a list.

    Args:
        rules: How the list is paged.
        window: The span of time to read; None is the whole list.
        lengths: What earlier windows of the same list taught about its pages.
    """
    paginator = OverlappingPaginator if rules.overlap else PlainPaginator
    return (SinglePagePaginator if rules.single_page else paginator)(rules, window, lengths)


def read_pages(
    paginator: ListPaginator, pages: PageSource[FetchedT], *, ahead: int | None, may_give_up: bool = False
) -> Iterator[tuple[FetchedT, list[int]]]:
    """Read a window of a list to its end.

    Args:
        paginator: Chooses the next page.
        pages: Fetches them.
        ahead: How many pages may be in flight; None fetches none before it is needed.
        may_give_up: Whether to abandon the window if its first page is full.

    Yields:
        Each page, with the places of the records on it that are new.

    Raises:
        WindowTooLongError: If the window is abandoned.
        UnreadableListError: If the list cannot be read whole.
    """
    full = paginator.lengths.full
    pages.schedule(paginator.token)
    while not paginator.finished:
        if ahead is None:
            pages.schedule(paginator.token)
        fetched = _take(paginator, pages)
        if may_give_up and paginator.count == 1 and len(fetched.outline.keys) >= full:
            raise WindowTooLongError
        if ahead is not None and not paginator.finished:
            pages.schedule(paginator.token, paginator.guesses(ahead - 1))
        yield fetched, paginator.fresh


def _take(paginator: ListPaginator, pages: PageSource[FetchedT]) -> FetchedT:
    """Take the paginator's next page and feed it; an answer that contradicts itself is retried."""
    token, tries = paginator.token, 0
    while True:
        fetched = pages.take(token)
        try:
            paginator.advance(fetched.outline)
        except ContradictionError as error:
            tries += 1
            pages.retry(token, TransientError(f"answered 200, but {error}", advice=error.advice, tries=tries))
        else:
            return fetched
