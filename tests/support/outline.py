"""Pages in memory, as the paginators read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_payments.records.page import PageOutline

if TYPE_CHECKING:
    from collections.abc import Sequence


def Page(  # noqa: N802 - stands for the class
    keys: Sequence[str],
    times: Sequence[float | None],
    total: int | None = None,
    has_more: bool = False,  # noqa: FBT001, FBT002
) -> PageOutline:
    return PageOutline(keys, times, times, total, has_more)
