"""Pages in memory, as the paginators and the replication read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_payments.records.page import Page

if TYPE_CHECKING:
    from collections.abc import Sequence


def outline(
    keys: Sequence[str], times: Sequence[float | None], total: int | None = None, *, has_more: bool = False
) -> Page:
    """Return what a paginator needs to know of a page."""
    return Page(keys, times, total, has_more)
