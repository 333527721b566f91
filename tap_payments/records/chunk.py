"""Chunks of a list: the new records of a page, or the end of a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tap_payments.records.page import FetchedPage
from tap_payments.records.timestamps import Window

# Reads a window, or abandons it if its first page is full and that is allowed; yields pages and the places of the new
# records on them.
ReadPages = Callable[[Window, bool], Iterator[tuple[FetchedPage, Sequence[int]]]]


@dataclass(frozen=True)
class Chunk:
    """Records to emit.

    Attributes:
        fetched: The page that holds them; None where there are none.
        places: Where on the page they stand.
        bookmark: The Unix second up to which every record is out once these are; None where that is not known.
        reached: The Unix second that reading has come to; None where that is not known.
        total: How many records there are in all, as the API counts them; None where that is not known.
    """

    fetched: FetchedPage | None = None
    places: Sequence[int] = ()
    bookmark: int | None = None
    reached: float | None = None
    total: int | None = None
