"""Pages in memory, as the paginators and the replication read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_payments.records.page import Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def outline(
    keys: Sequence[str], times: Sequence[float | None], total: int | None = None, *, has_more: bool = False
) -> Page:
    """Return what a paginator needs to know of a page."""
    return Page(keys, times, total, has_more)


def fetched_page(rows: Iterable[tuple[int, str]]) -> Page:
    """Return a page of records without contents.

    Args:
        rows: Time and key of each record, in the order of the list.
    """
    rows = list(rows)
    return outline([key for _, key in rows], [time for time, _ in rows])
