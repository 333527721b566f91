"""The choice of a replication plan."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from tap_payments.errors import StreamError
from tap_payments.replication.full_table import FullTable
from tap_payments.replication.incremental import Incremental, Range

if TYPE_CHECKING:
    from tap_payments.records.chunk import ReadPages
    from tap_payments.replication.bookmark import Bookmark


class ReplicationSettings(Protocol):
    """The settings that decide."""

    @property
    def start(self) -> int | None:
        """Start of INCREMENTAL streams, in Unix seconds; None is the beginning."""

    @property
    def lookback(self) -> int:
        """Seconds before the bookmark from which records are read again."""

    @property
    def window_days(self) -> float:
        """Days of a window where records are many."""

    @property
    def reread_days(self) -> float:
        """Days within which all older records are read again; 0 is never."""

    @property
    def page_overlap(self) -> int:
        """Records that two pages share."""


class Log(Protocol):
    """Logs a fact once a sync, or once a stream."""

    def __call__(self, message: str, *, level: int = logging.INFO, once_per: str | None = None) -> None:
        """Log it."""


def plan_reading(  # noqa: PLR0913 - the facts that decide, given by name
    read_pages: ReadPages,
    settings: ReplicationSettings,
    *,
    name: str,
    bookmark: Bookmark | None,
    filterable: bool,
    earliest: int,
    started: int,
    log: Log,
) -> FullTable | Incremental:
    """Return the plan of a stream, and log its limits; a bookmark in the future is set back in the state.

    Args:
        read_pages: Reads a window of the list.
        settings: The settings of the sync.
        name: The name of the stream.
        bookmark: The bookmark of an INCREMENTAL stream; None for FULL_TABLE.
        filterable: Whether the API can filter the list by time.
        earliest: The Unix second before which records are too few to be worth windows of their own.
        started: When the sync began, in Unix seconds.
        log: Logs a fact once.
    """
    if not settings.page_overlap:
        log("page_overlap is 0: records that move while their list is read may be missed", level=logging.WARNING)
    if bookmark is None:
        if settings.start is not None:
            log("start_date means nothing to FULL_TABLE streams: they are read whole")
        return FullTable(read_pages)
    days = settings.reread_days
    log(
        f"INCREMENTAL streams see changes of records older than lookback_days within {days:g} days (reread_days)"
        if days
        else "INCREMENTAL streams see changes of records only within lookback_days, since reread_days is 0: "
        "run a --full-refresh now and then as well"
    )
    if filterable:
        log(
            "INCREMENTAL streams that the API filters by time see no record without a time: "
            "read them as FULL_TABLE if there are any"
        )
    if bookmark.clamp(started):
        late = f"{name}: the bookmark in the STATE is later than the start of this run"
        if not days:
            msg = (
                f"{late}, so that changes before the look-back (`lookback_days`) would be missed: set `reread_days`, "
                "or run a --full-refresh"
            )
            raise StreamError(msg)
        log(
            f"{late}, and is set back to it: changes before the look-back (`lookback_days`) come by re-reading only, "
            f"within {days:g} days (`reread_days`), or at once with a --full-refresh",
            level=logging.WARNING,
        )
    # The filters take Unix seconds; there are no payments before 1970.
    start = None if settings.start is None else max(settings.start, 0)
    reach = Range(bookmark.read(), start, settings.lookback, started, earliest)
    return Incremental(read_pages, reach, filterable=filterable, window_days=settings.window_days, reread_days=days)
