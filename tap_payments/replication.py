"""What of a list is to go out, in which order, and what a STATE may say of it.

FULL_TABLE reads the list whole. INCREMENTAL reads it window by window where the provider can filter by time, and
promotes the bookmark at the end of each; elsewhere it reads all, and leaves out what is older.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.helpers._catalog import get_selected_schema, pop_deselected_record_properties
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL

from tap_payments import errors
from tap_payments.body import BrokenBodyError, WrongBodyError
from tap_payments.checked import checked_schema
from tap_payments.client import PagedStream, WindowTooLongError
from tap_payments.conform import Conformer, MisfitError
from tap_payments.epoch import LATEST, is_past_latest, read_time
from tap_payments.windows import Window, Windows

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.singerlib import CatalogEntry

    from tap_payments.body import Page
    from tap_payments.client import FetchedPage
    from tap_payments.progress import StreamProgress


@dataclass(frozen=True)
class Chunk:
    """Records to send.

    Attributes:
        records: They, made to fit their declared types one by one as they are taken; to be taken once.
        count: How many there are.
        arrived: When they came.
        bookmark: The Unix second up to which every record is out once these are; None where that is not known.
    """

    records: Iterable[dict[str, Any]] = ()
    count: int = 0
    arrived: datetime = field(default_factory=lambda: datetime.now(tz=timezone.utc))
    bookmark: int | None = None


def read_bookmark(value: object) -> int | None:
    """Return the Unix second of a bookmark, rounded down; None where it is no time.

    Args:
        value: The bookmark in a STATE; a number that is too large for a time counts as the latest one there is.
    """
    time = LATEST if is_past_latest(value) else read_time(value)
    return None if time is None else math.floor(time)


class ReplicatedStream(PagedStream):
    """One list of the API, replicated whole or by its records' times."""

    #: The replication keys that the catalog offers; a list without one is always replicated whole.
    offered_keys: ClassVar[tuple[str, ...]] = ()
    _counts: StreamProgress

    # What is read.

    def chunks(self) -> Iterator[Chunk]:
        """Read what is to be sent."""
        self._counts = self.run.progress.begin(self.name)
        try:
            if not self.settings.page_overlap:
                self.run.tell_once("page_overlap is 0: records that move while their list is read may be missed")
            if self.replication_method == REPLICATION_INCREMENTAL:
                self.run.tell_once(
                    "INCREMENTAL streams see changes of records only within lookback_days: "
                    "run a --full-refresh now and then as well"
                )
                self._clamp_bookmark()
                reading = self._read_windows if self.listing.filter_field else self._read_newer
            else:
                reading = self._read_all
            yield from reading()
        finally:
            self.run.progress.end(self.name)

    def _read_all(self) -> Iterator[Chunk]:
        """Read the whole list."""
        if self.settings.start is not None:
            self.run.tell_once("start_date means nothing to FULL_TABLE streams: they are read whole")
        for fetched, fresh in self.read_window():
            if fetched.page.outline.total is not None:
                self._counts.total = fetched.page.outline.total
            self._counts.reached = next((time for time in reversed(fetched.page.outline.times) if time), None)
            yield self._chunk(fetched, fresh)

    def _read_windows(self) -> Iterator[Chunk]:
        """Read window by window, oldest first, and promote the bookmark after each."""
        settings, run = self.settings, self.run
        run.tell_once(
            "INCREMENTAL streams that the API filters by time see no record without a time: "
            "read them as FULL_TABLE if there are any"
        )
        start = self._start()
        if start is not None:
            start = max(start, 0)  # The filters take Unix seconds; there are no payments before 1970.
        self._counts.span = (settings.provider.earliest if start is None else start, run.started)
        windows = Windows(
            start=start,
            now=run.started,
            earliest=settings.provider.earliest,
            days=settings.window_days,
        )
        seam: set[str] = set()
        while not windows.finished:
            window = windows.current
            newest: float | None = None
            next_seam: set[str] = set()
            pages = 0
            try:
                for fetched, fresh in self.read_window(window, may_give_up=windows.may_halve):
                    outline = fetched.page.outline
                    fresh = [place for place in fresh if outline.keys[place] not in seam]  # noqa: PLW2901
                    times = [time for place in fresh if (time := outline.times[place]) is not None]
                    newest = max((*times, newest), default=None) if newest is not None else max(times, default=None)
                    next_seam.update(
                        key
                        for key, time in zip(outline.keys, outline.times, strict=True)
                        if time is not None and window.until is not None and time >= window.until
                    )
                    pages += bool(outline.keys) and bool(fresh)
                    yield self._chunk(fetched, fresh)
            except WindowTooLongError:
                windows.halve()
                continue
            seam = next_seam
            yield Chunk(bookmark=self._bookmark_after(newest, window))
            if pages > 1:
                windows.overflowed()
            else:
                windows.fitted()
            self._counts.reached = window.until

    def _read_newer(self) -> Iterator[Chunk]:
        """Read the whole list, leave out what is older than the start, and promote the bookmark at the very end."""
        start = self._start()
        newest: float | None = None
        for fetched, fresh in self.read_window():
            outline = fetched.page.outline
            wanted = []
            for place in fresh:
                time = outline.times[place]
                if time is None or start is None or time >= start:
                    wanted.append(place)
                if time is not None and (newest is None or time > newest):
                    newest = time
            yield self._chunk(fetched, wanted)
        yield Chunk(bookmark=self._bookmark_after(newest, Window(start, None)))

    def _chunk(self, fetched: FetchedPage, places: list[int]) -> Chunk:
        """Take records out of a page."""
        return Chunk(self._conformed(fetched.page, places), len(places), fetched.arrived)

    def _conformed(self, page: Page, places: list[int]) -> Iterator[dict[str, Any]]:
        """Decode records and make them fit, each when it is asked for."""
        conform = self._conform_non_finite if page.has_non_finite else self._conformer.conform
        for place in places:
            try:
                yield conform(page.record(place))
            except MisfitError as error:
                advice = errors.KEY_VALUE_ADVICE if error.never_null else errors.VALUE_ADVICE
                raise self.failure(
                    f"sent record {errors.show_key(page.outline.keys[place])}, {error}: {advice}"
                ) from None
            except (BrokenBodyError, WrongBodyError) as error:
                raise self.failure(f"sent record {errors.show_key(page.outline.keys[place])}, but {error}") from None

    @cached_property
    def _conformer(self) -> Conformer:
        keys = {*self.declared_keys, *filter(None, [self.replication_key])}
        schema = checked_schema(
            get_selected_schema(self.name, self.effective_schema, self.mask),
            maps=self.stream_maps,
            stream_maps=self.config.get("stream_maps") or {},
            keep=keys,
        )
        nulls = self.settings.on_invalid_value == "null"
        return Conformer(schema, on_invalid=self._count_nulled if nulls else None, never_null=keys)

    @cached_property
    def _nulled_fields(self) -> set[str]:
        """The fields that a warning named."""
        return set()

    def _count_nulled(self, field: str, misfit: MisfitError) -> None:
        """Count a value that becomes null, and warn of the first one of its field."""
        self._counts.nulled += 1
        if field not in self._nulled_fields:
            self._nulled_fields.add(field)
            self.logger.warning("%s: field `%s`: %s; invalid values become null", self.name, field, misfit.reason)

    def _conform_non_finite(self, record: dict[str, Any]) -> dict[str, Any]:
        """Make a record fit that may hold NaN or Infinity, without the fields that do not go out."""
        pop_deselected_record_properties(record, self.schema, self.mask)
        for name in self.effective_schema.get("properties", {}):
            if name not in self._conformer.fields:
                record.pop(name, None)
        return self._conformer.conform_non_finite(record)

    @override
    def get_records(self, context: Context | None) -> Iterator[Record]:
        """Give the records that a sync sends."""
        for chunk in self.chunks():
            yield from chunk.records

    # Where a run begins, and what it may say when it is done.

    def _read_bookmark(self) -> int | None:
        state = self.stream_state
        if state.get("replication_key") not in {None, self.replication_key}:
            return None
        return read_bookmark(state.get("replication_key_value"))

    def _clamp_bookmark(self) -> None:
        """Clamp a bookmark in the future to the start of the run, which every STATE from here on has.

        It would keep the run from reading anything, now and until that time has come.
        """
        bookmark = self._read_bookmark()
        if bookmark is None or bookmark <= self.run.started:
            return
        self.logger.warning(
            "%s: the bookmark in the STATE is later than the start of this run, and is set back to it: changes before "
            "the look-back (`lookback_days`) are not seen, so run a --full-refresh",
            self.name,
        )
        self._set_bookmark(self.run.started)

    def _start(self) -> int | None:
        """Give the Unix second at which an incremental run begins; None is the beginning of all records."""
        bookmark, start = self._read_bookmark(), self.settings.start
        if bookmark is None:
            return start
        begin = bookmark - self.settings.lookback
        return begin if start is None else max(begin, start)

    def _bookmark_after(self, newest: float | None, window: Window) -> int | None:
        """Give the bookmark for when a whole window is out, `newest` being its newest time; it never goes back."""
        before = self._read_bookmark()
        if newest is None:
            return before
        ends = [math.floor(newest), self.run.started] + ([] if window.until is None else [window.until])
        return min(ends) if before is None else max(min(ends), before)

    def promote(self, bookmark: int) -> None:
        """Let STATE say that every record up to the bookmark is out."""
        self._set_bookmark(bookmark)
        self.state_manager.is_flushed = False
        self._write_state_message()

    def _set_bookmark(self, bookmark: int) -> None:
        key = self.replication_key
        types = self.schema.get("properties", {}).get(key, {}).get("type", [])
        state = self.stream_state
        state["replication_key"] = key
        state["replication_key_value"] = str(bookmark) if "string" in types else bookmark

    # What the SDK says and keeps by itself.

    @property
    @override
    def _singer_catalog_entry(self) -> CatalogEntry:
        """Offer the replication keys; which of them is used is the user's choice."""
        entry = super()._singer_catalog_entry
        if self.offered_keys:
            entry.metadata.root.valid_replication_keys = list(self.offered_keys)
        return entry

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Set no limit to bookmarks here: `_bookmark_after` does."""
