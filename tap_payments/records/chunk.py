"""Chunks of a list: the new records of a page, or the end of a window and how far replication is with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tap_payments.records.page import FetchedPage
from tap_payments.records.timestamps import Window

# Reads a window, or abandons it if its first page is full and that is allowed; yields pages and the places of the new
# records on them.
ReadPages = Callable[[Window, bool], Iterator[tuple[FetchedPage, Sequence[int]]]]


@dataclass(frozen=True)
class RereadState:
    """How far re-reading is, in Unix seconds.

    Attributes:
        position: Where it goes on.
        paid_until: The time up to which it is paid for; a run owes what the time since then demands.
    """

    position: int
    paid_until: int


@dataclass(frozen=True)
class ReplicationState:
    """How far the replication of a stream is; all in Unix seconds.

    Attributes:
        bookmark: Every record up to it is out; None where there is none.
        oldest: The oldest time that the first run found; None where it is not known.
        rereading: How far re-reading is; None where it has not begun.
    """

    bookmark: int | None = None
    oldest: int | None = None
    rereading: RereadState | None = None


@dataclass(frozen=True)
class Chunk:
    """Records to emit.

    Attributes:
        fetched: The page that holds them; None where there are none.
        places: Where on the page they stand.
        bookmark: How far replication is once they are out; None where that is not known.
        reached: The Unix second that reading has come to; None where that is not known.
        total: How many records there are in all, as the API counts them; None where that is not known.
        is_reread: Whether they are older records that are read again, or the end of a window of them.
    """

    fetched: FetchedPage | None = None
    places: Sequence[int] = ()
    bookmark: ReplicationState | None = None
    reached: float | None = None
    total: int | None = None
    is_reread: bool = False
