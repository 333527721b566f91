"""What of a list goes out, in which order, and what a STATE may say of it.

FULL_TABLE reads the list whole. INCREMENTAL reads it window by window where the provider can filter by time, and
promotes the bookmark at the end of each; elsewhere it reads all, and leaves out what is older.
"""

from __future__ import annotations

import math
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL

from tap_payments.batches import Batches
from tap_payments.body import BrokenBodyError, WrongBodyError
from tap_payments.client import PagedStream, WindowTooLongError
from tap_payments.conform import Conformer, MisfitError
from tap_payments.epoch import read_time
from tap_payments.messages import BufferedWriter, UnwritableRecordError
from tap_payments.windows import Window, Windows

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from singer_sdk.helpers._batch import BatchConfig
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


class PaymentsStream(PagedStream):
    """One list of the API, replicated whole or by its records' times."""

    #: The replication keys that the catalog offers; a list without one is always replicated whole.
    offered_keys: ClassVar[tuple[str, ...]] = ()
    _version_pending: int | None = None
    _conformer_made: Conformer | None = None
    _counts: StreamProgress

    # What is read.

    def _chunks(self) -> Iterator[Chunk]:
        """Read what is to be sent."""
        counts = self._counts = self.run.progress.begin(self.name)
        if not self.settings.page_overlap:
            self.run.tell_once("page_overlap is 0: records that move while their list is read may be missed")
        if self.replication_method != REPLICATION_INCREMENTAL:
            if self.settings.start is not None:
                self.run.tell_once("start_date means nothing to FULL_TABLE streams: they are read whole")
            for fetched, fresh in self.read_window():
                if fetched.page.outline.total is not None:
                    counts.total = fetched.page.outline.total
                counts.reached = next((time for time in reversed(fetched.page.outline.times) if time), None)
                yield self._chunk(fetched, fresh)
        else:
            self.run.tell_once(
                "INCREMENTAL streams see changes of records only within lookback_days: "
                "run a --full-refresh now and then as well"
            )
            reading = self._read_windows if self.listing.filter_field else self._read_newer
            yield from reading()
        self.run.progress.end(self.name)

    def _read_windows(self) -> Iterator[Chunk]:
        """Read window by window, oldest first, and promote the bookmark after each."""
        settings, run = self.settings, self.run
        start = self._start()
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
        conform = self._conformer.conform
        for place in places:
            try:
                yield conform(page.record(place))
            except MisfitError as error:
                raise self.failure(f"sent record {page.outline.keys[place]!s:.100}, {error}") from None
            except (BrokenBodyError, WrongBodyError) as error:
                raise self.failure(f"sent record {page.outline.keys[place]!s:.100}, but {error}") from None

    @property
    def _conformer(self) -> Conformer:
        if self._conformer_made is None:
            self._conformer_made = Conformer(self.effective_schema)
        return self._conformer_made

    @override
    def get_records(self, context: Context | None) -> Iterator[Record]:
        """Give the records that a sync sends."""
        for chunk in self._chunks():
            yield from chunk.records

    # Where a run begins, and what it may say when it is done.

    def _read_bookmark(self) -> int | None:
        state = self.stream_state
        if state.get("replication_key") not in {None, self.replication_key}:
            return None
        time = read_time(state.get("replication_key_value"))
        return None if time is None else math.floor(time)

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

    def _promote(self, bookmark: int) -> None:
        """Let STATE say that every record up to the bookmark is out."""
        key = self.replication_key
        types = self.schema.get("properties", {}).get(key, {}).get("type", [])
        state = self.stream_state
        state["replication_key"] = key
        state["replication_key_value"] = str(bookmark) if "string" in types else bookmark
        self.state_manager.is_flushed = False
        self._write_state_message()

    # How it goes out.

    @property
    def _writer(self) -> BufferedWriter | None:
        writer = self._tap.message_writer
        return writer if isinstance(writer, BufferedWriter) else None

    @property
    def is_lean(self) -> bool:
        """Whether records go out as they are: nothing is deselected, mapped or flattened, and the schema is ours."""
        maps = self.stream_maps
        return (
            len(maps) == 1
            and type(maps[0]) is SameRecordTransform
            and not maps[0].flattening_enabled
            and maps[0].stream_alias == self.name
            and all(self.mask.values())
            and self.effective_schema == self.schema
        )

    def _limited(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Stop where the SDK's limit of a test run says."""
        sent = 0
        for chunk in chunks:
            limit = self.ABORT_AT_RECORD_COUNT
            if limit is not None and sent + chunk.count > limit:
                yield Chunk(islice(chunk.records, limit - sent), limit - sent, chunk.arrived)
                self._check_max_record_limit(limit)
            sent += chunk.count
            yield chunk

    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, Any], Any, Any]:
        """Send the records, a page at a time, and a STATE behind those that it covers."""
        if not write_messages:
            yield from self.get_records(context)
            return
        writer = self._writer
        lean = self.is_lean and writer is not None
        with self._counted() as count:
            for chunk in self._limited(self._chunks()):
                if lean and writer is not None:
                    try:
                        writer.write_records(
                            self.name, chunk.records, extracted=chunk.arrived, version=self._stream_version
                        )
                    except UnwritableRecordError as error:
                        raise self._unwritable(error.record) from None
                else:
                    for record in chunk.records:
                        self._write_one(record)
                if chunk.bookmark is not None:
                    self._promote(chunk.bookmark)
                if writer is not None:
                    writer.flush()
                count(chunk.count)
        self._activate_version()

    def _write_one(self, record: dict[str, Any]) -> None:
        """Send one record on the SDK's own path."""
        try:
            self._write_record_message(record)
        except (RecursionError, ValueError, TypeError):
            raise self._unwritable(record) from None

    def _unwritable(self, record: dict[str, Any]) -> Exception:
        key = record.get(self.declared_keys[0], "")
        return self.failure(f"sent record {key!s:.100}, which JSON cannot carry: it is nested too deeply")

    @override
    def _sync_batches(self, batch_config: BatchConfig, context: Context | None = None) -> None:
        """Send the records in files, and close the open ones before a STATE speaks of them."""
        batches = Batches(batch_config, f"{self.tap_name}--{self.name}")
        lean = self.is_lean
        try:
            with self._counted() as count:
                for chunk in self._limited(self._chunks()):
                    for alias, records in self._mapped(chunk.records, lean=lean):
                        self._add_to_batch(batches, batch_config, alias, records)
                    if chunk.bookmark is not None:
                        self._close_batches(batches, batch_config)
                        self._promote(chunk.bookmark)
                    count(chunk.count)
            self._close_batches(batches, batch_config)
        finally:
            batches.drop()
        self._write_state_message()

    def _mapped(
        self, records: Iterable[dict[str, Any]], *, lean: bool
    ) -> Iterator[tuple[str, Iterable[dict[str, Any]]]]:
        """Give records as they go out, with the name that they go by."""
        if lean:
            yield self.name, records
            return
        for record in records:
            try:
                messages = list(self._generate_record_messages(record))
            except (RecursionError, ValueError, TypeError):
                raise self._unwritable(record) from None
            for message in messages:
                yield message.stream, [message.record]

    def _add_to_batch(
        self, batches: Batches, config: BatchConfig, alias: str, records: Iterable[dict[str, Any]]
    ) -> None:
        """Add records to a batch, and tell of each batch that is full."""
        try:
            for manifest in batches.add(alias, records):
                self._write_batch(config, alias, manifest)
        except UnwritableRecordError as error:
            raise self._unwritable(error.record) from None

    def _close_batches(self, batches: Batches, config: BatchConfig) -> None:
        for alias, manifest in batches.close():
            self._write_batch(config, alias, manifest)

    def _write_batch(self, config: BatchConfig, alias: str, manifest: list[str]) -> None:
        for message in self._generate_batch_messages(config.encoding, manifest):
            if message.stream == alias:
                self._tap.write_message(message)
        self.state_manager.is_flushed = False

    @contextmanager
    def _counted(self) -> Iterator[Any]:
        """Keep the SDK's own metrics, and this run's, in step with what is out."""
        counts = self.run.progress
        with self.get_record_counter() as counter, self.get_sync_timer():

            def count(records: int) -> None:
                counter.increment(records)
                counts.count_records(self.name, records)

            try:
                yield count
            finally:
                self.prefetcher.close()
                del self.prefetcher

    # Hard deletes.

    @override
    def _write_activate_version_message(self, full_table_version: int) -> None:
        """Keep the message back until every record is out: a run that dies before must not empty the table."""
        self._version_pending = full_table_version

    def _activate_version(self) -> None:
        if self._version_pending is not None:
            super()._write_activate_version_message(self._version_pending)
            self._version_pending = None

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

    @override
    def log(self, message: str, *args: Any, level: int = 20, **kwargs: Any) -> None:
        """Log, but leave the telling of a failure to the one line at the end."""
        if message.startswith("An unhandled error occurred"):
            level = 10
        super().log(message, *args, level=level, **kwargs)
