"""The order in which the spans of a list are read, and the state behind each page."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_payments.errors import StreamError
from tap_payments.pagination.pages import WHOLE, Span
from tap_payments.replication.spans import DueSpans
from tap_payments.replication.state import read_state
from tap_payments.timestamps import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tap_payments.pagination.pages import PagingRules
    from tap_payments.records.page import Page
    from tap_payments.replication.state import StreamState
    from tap_payments.settings import Settings

    # Reads a span; yields pages, the indexes of the new records on them, and the rest of the span.
    ReadSpan = Callable[[Span], Iterator[tuple[Page, Sequence[int], Sequence[Span]]]]


@dataclass(frozen=True)
class Chunk:
    """Records to emit.

    Attributes:
        page: The page that holds them; None where there are none.
        indexes: Their indexes on the page.
        state: The state of the stream once they are emitted; None where it does not change.
        reread: How many of them are older records that are read again.
        total: The API's own count of the whole list; None where it is not known.
    """

    page: Page | None = None
    indexes: Sequence[int] = ()
    state: StreamState | None = None
    reread: int = 0
    total: int | None = None

    @property
    def reached(self) -> float | None:
        """The Unix second of the last record that has a time; None where none has."""
        times = () if self.page is None else self.page.times
        return next((time for time in reversed(times) if time is not None), None)


def log_limits(
    name: str, settings: Settings, log_once: Callable[..., None], *, is_incremental: bool, is_filterable: bool
) -> None:
    """Log the limits that the settings put on the promise.

    Args:
        name: Name of the stream.
        settings: The settings.
        log_once: Logs a fact at a level, once a run.
        is_incremental: Whether the stream is INCREMENTAL.
        is_filterable: Whether the API can filter its list by time.
    """
    if not settings.page_overlap:
        warning = "page_overlap is 0: records that move while their list is read may be missed"
        log_once(warning, level=logging.WARNING)
    if not is_incremental:
        if settings.start is not None:
            log_once("start_date has no effect on FULL_TABLE streams: they are read whole")
        return
    days = settings.reread_days
    changes = f"Changes to records older than {settings.lookback / DAY:g} days (`lookback_days`)"
    if days:
        log_once(f"{changes} arrive within {days:g} days (`reread_days`)")
    else:
        log_once(f"{changes} do not arrive, since `reread_days` is 0: run a --full-refresh now and then as well")
    if is_filterable:
        log_once("Records without a date are not read in INCREMENTAL mode; if you have any, use FULL_TABLE")
    else:
        limit = "the API cannot filter this list by time, so INCREMENTAL saves the target work, but no request"
        log_once(f"{name}: {limit}", level=logging.WARNING)


def read_stream(  # noqa: PLR0913 - the facts that decide, given by name
    read_span: ReadSpan,
    saved: Mapping[str, Any],
    *,
    name: str,
    key: str | None,
    settings: Settings,
    rules: PagingRules,
    log_once: Callable[..., None],
) -> Iterator[Chunk]:
    """Return the chunks of a stream that are due, and log its limits.

    Args:
        read_span: Reads a span.
        saved: The stream's part of the STATE.
        name: Name of the stream.
        key: Its replication key; None if it is FULL_TABLE.
        settings: The settings.
        rules: How its list is paged.
        log_once: Logs a fact at a level, once a run.

    Raises:
        StreamError: If the STATE cannot be resumed from.
    """
    is_incremental, is_filterable = key is not None, rules.is_filterable
    log_limits(name, settings, log_once, is_incremental=is_incremental, is_filterable=is_filterable)
    if key is None:
        return read_full_table(read_span)
    state, unusable = read_state(saved, key)
    try:
        due_spans = DueSpans(
            state,
            started=rules.started,
            start=settings.start,
            lookback=settings.lookback,
            reread_days=settings.reread_days,
            earliest=rules.earliest,
            # A list that cannot be filtered is read whole, and selected by the time that records show.
            shows_times=rules.shows_filter_time or not is_filterable,
        )
    except StreamError as error:
        raise StreamError(f"{name}: {error}") from None
    for warning in filter(None, (unusable, due_spans.warning)):
        log_once(f"{name}: {warning}", level=logging.WARNING)
    return read_incremental(read_span, due_spans, is_filterable=is_filterable)


def read_full_table(read_span: ReadSpan) -> Iterator[Chunk]:
    """Yield the records of the whole list."""
    total: int | None = None
    for page, indexes, _ in read_span(WHOLE):
        # Further down, pages may be asked for with a filter, and counts be those of what it lets through.
        total = page.total if total is None else total
        yield Chunk(page, indexes, total=total)


def read_incremental(read_span: ReadSpan, due_spans: DueSpans, *, is_filterable: bool) -> Iterator[Chunk]:
    """Yield the records of the spans that are due.

    Args:
        read_span: Reads a span.
        due_spans: The spans.
        is_filterable: Whether the API can filter the list by time; if not, it is read whole, and records
            that are not due are left out.
    """
    if not is_filterable:
        yield from _read_whole(read_span, due_spans)
        return
    # All due spans are in the first STATE, so that a run stopped before its first page loses none of them.
    yield Chunk(state=due_spans.state)
    for span in due_spans.spans:
        for page, indexes, remaining in read_span(span):
            before = due_spans.state
            due = [index for index in indexes if due_spans.is_due(span, page.times[index])]
            times = [page.times[index] for index in due]
            state = due_spans.progress(span, remaining, times)
            yield Chunk(page, due, None if state == before else state, due_spans.count_reread(times))


def _read_whole(read_span: ReadSpan, due_spans: DueSpans) -> Iterator[Chunk]:
    """Read the whole list; a record without a time always goes out."""
    newest = due_spans.spans[0]
    for page, indexes, _ in read_span(WHOLE):
        times = page.times
        due = [
            index
            for index in indexes
            if (time := times[index]) is None or any(span.covers(time) for span in due_spans.spans)
        ]
        due_times = [times[index] for index in due]
        # Until the end all of it remains.
        due_spans.progress(newest, [newest], due_times)
        yield Chunk(page, due, reread=due_spans.count_reread(due_times))
    for span in due_spans.spans:
        due_spans.progress(span, ())
    yield Chunk(state=due_spans.state)
