"""How records go out: as messages, lean or on the SDK's own path, or in batches; with a STATE behind what it covers."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import AbortedSyncFailedException, AbortedSyncPausedException
from singer_sdk.mapper import SameRecordTransform

from tap_payments.batches import Batches
from tap_payments.errors import show_key
from tap_payments.messages import BufferedWriter, UnwritableRecordError
from tap_payments.replication import Chunk, ReplicatedStream

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from singer_sdk.helpers._batch import BatchConfig
    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.singerlib import RecordMessage


class PaymentsStream(ReplicatedStream):
    """One list of the API, and its messages."""

    _version_pending: int | None = None

    # As messages.

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
        self._require_state()
        sent = 0
        with self._counted() as count:
            for chunk in self._limited(self.chunks()):
                if chunk.count:
                    self._require_state()
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
                sent += chunk.count
                if chunk.bookmark is not None:
                    self.promote(chunk.bookmark)
                if writer is not None:
                    writer.flush()
                count(chunk.count)
        self._activate_version(is_empty=not sent)
        self._finalize_state(self.stream_state)
        self._write_state_message()

    def _require_state(self) -> None:
        """Make a STATE due: something goes out behind the last one."""
        self._payments_tap.require_state()
        self.state_manager.is_flushed = False

    def _write_one(self, record: dict[str, Any]) -> None:
        """Send one record on the SDK's own path."""
        try:
            self._write_record_message(record)
        except (RecursionError, ValueError, TypeError):
            raise self._unwritable(record) from None

    @override
    def _generate_record_messages(self, record: Record) -> Generator[RecordMessage, None, None]:
        """Apply selection and maps, and name the record that they cannot be applied to."""
        key = record.get(self.declared_keys[0], "")
        try:
            yield from super()._generate_record_messages(record)
        except RecursionError:
            raise self._unwritable(record) from None
        except Exception as error:  # noqa: BLE001 - an expression may raise anything, with the record in its text
            what = f"which `stream_maps` cannot be applied to ({type(error).__name__}): check its expressions"
            raise self.failure(f"sent record {show_key(key)}, {what}") from None

    def _unwritable(self, record: dict[str, Any]) -> Exception:
        key = record.get(self.declared_keys[0], "")
        return self.failure(f"sent record {show_key(key)}, which JSON cannot carry: it is nested too deeply")

    # As batches.

    @override
    def _sync_batches(self, batch_config: BatchConfig, context: Context | None = None) -> None:
        """Send the records in files, and close the open ones before a STATE speaks of them."""
        batches = Batches(batch_config, f"{self.tap_name}--{self.name}")
        lean = self.is_lean
        self._require_state()
        try:
            with self._counted() as count:
                for chunk in self._limited(self.chunks()):
                    for alias, records in self._mapped(chunk.records, lean=lean):
                        self._add_to_batch(batches, batch_config, alias, records)
                    if chunk.bookmark is not None:
                        self._close_batches(batches, batch_config)
                        self.promote(chunk.bookmark)
                    count(chunk.count)
            self._close_batches(batches, batch_config)
        finally:
            batches.drop()
        self._finalize_state(self.stream_state)
        self._write_state_message()

    def _mapped(
        self, records: Iterable[dict[str, Any]], *, lean: bool
    ) -> Iterator[tuple[str, Iterable[dict[str, Any]]]]:
        """Give records as they go out, with the name that they go by."""
        if lean:
            yield self.name, records
            return
        for record in records:
            for message in self._generate_record_messages(record):
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
        self._require_state()

    @contextmanager
    def _counted(self) -> Iterator[Callable[[int], None]]:
        """Keep the SDK's own metrics, and this run's, in step with what is out."""
        counts = self.run.progress
        enough: Exception | None = None
        with self.get_record_counter() as counter, self.get_sync_timer():

            def count(records: int) -> None:
                counter.increment(records)
                counts.count_records(self.name, records)

            try:
                yield count
            except (AbortedSyncFailedException, AbortedSyncPausedException) as error:
                # A test has the records that it wants: the timer must not log this as a sync that failed.
                enough = error
            finally:
                self.prefetcher.close()
                del self.prefetcher
        if enough is not None:
            raise enough

    # Hard deletes.

    @override
    def _write_activate_version_message(self, full_table_version: int) -> None:
        """Keep the message back until every record is out: a run that dies before must not empty the table."""
        self._version_pending = full_table_version

    def _activate_version(self, *, is_empty: bool) -> None:
        """Write the message that was kept back, unless the list was empty: it would delete all that the target has."""
        version, self._version_pending = self._version_pending, None
        if version is None:
            return
        if is_empty:
            self.logger.warning(
                "%s: the list is empty, so no ACTIVATE_VERSION message goes out and the target deletes nothing: "
                "check `username` and `base_url` if the account has records",
                self.name,
            )
            return
        super()._write_activate_version_message(version)

    @override
    def log(self, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
        """Log, but leave the telling of a failure to the one line at the end."""
        if message.startswith("An unhandled error occurred"):
            level = logging.DEBUG
        super().log(message, *args, level=level, **kwargs)
