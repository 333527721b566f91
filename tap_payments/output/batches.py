"""BATCH messages: records in files beside the messages, with all applied to them that a message would have had."""

from __future__ import annotations

import zlib
from itertools import chain, count
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from singer_sdk.batch import Batcher

from tap_payments.errors import RunError, UnwritableRecordError
from tap_payments.output.writer import describe_os_error
from tap_payments.records.exact_json import ENCODER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from singer_sdk.helpers._batch import BatchConfig

State = TypeVar("State")

# Level 9, the default of Python's gzip, takes five times as long for files a tenth smaller.
COMPRESSION_LEVEL = 1
# zlib's sign for the gzip format, with the largest window.
GZIP = 16 + zlib.MAX_WBITS
FAILED = "the storage takes no batch file (%s): check `batch_config.storage`, and the free space there and in `TMPDIR`"


class Manifest(list[str]):
    """The URLs of a batch's files, and the name that its records go by."""

    def __init__(self, alias: str, urls: Iterable[str]) -> None:
        super().__init__(urls)
        self.alias = alias


class Batches:
    """The batches of one stream, one for each name that its records go by."""

    def __init__(self, config: BatchConfig, prefix: str) -> None:
        """Take the batch configuration.

        Args:
            config: The configuration; formats other than JSON lines are written by the SDK.
            prefix: The beginning of the files' names.
        """
        self._config = config
        self._is_jsonl = config.encoding.format == "jsonl"
        self._prefix = f"{config.storage.prefix or ''}{prefix}-{uuid4()}"
        self._numbers = count(1)
        # The records of the open batches, encoded as they come: as text they take a tenth of the memory.
        self._open: dict[str, list[Any]] = {}

    def write(
        self, pages: Iterable[tuple[Iterable[tuple[str, Any]], State | None]], promote: Callable[[State], None]
    ) -> Iterator[Manifest]:
        """Write the records of pages, and close the open batches before a STATE covers them.

        Args:
            pages: The records of each page, each with the name that it goes by, and the state once they are out.
            promote: Called with a state once all records that it covers are yielded.

        Yields:
            Each batch that is full or closed.

        Raises:
            UnwritableRecordError: If a record cannot be encoded as JSON.
            RunError: If the storage takes no more.
        """
        last, is_full = None, False
        for records, state in pages:
            for alias, record in records:
                if self._add(alias, record):
                    is_full = True
                    yield self._close(alias)
            last = state or last
            if is_full and last is not None:
                yield from map(self._close, list(self._open))
                promote(last)
                last, is_full = None, False
        yield from map(self._close, list(self._open))
        if last is not None:
            promote(last)

    def _add(self, alias: str, record: Any) -> bool:
        """Add a record; return whether its batch is full now."""
        try:
            encoded = ENCODER.encode(record) + b"\n" if self._is_jsonl else record
        except (RecursionError, ValueError, TypeError):
            raise UnwritableRecordError from None
        batch = self._open.setdefault(alias, [])
        batch.append(encoded)
        return len(batch) >= self._config.batch_size

    def _close(self, alias: str) -> Manifest:
        """Write a batch to the storage.

        Raises:
            RunError: If the storage cannot take it; the text has no path.
        """
        records, config = self._open.pop(alias), self._config
        try:
            if not self._is_jsonl:
                batcher = Batcher("tap-payments", alias, config)
                return Manifest(alias, chain.from_iterable(batcher.get_batches(iter(records))))
            is_gzip = config.encoding.compression == "gzip"
            name = f"{self._prefix}-{next(self._numbers)}.json{'.gz' if is_gzip else ''}"
            with config.storage.open(name, "wb") as file:
                file.writelines(_compress(records) if is_gzip else records)
            return Manifest(alias, [config.storage.get_url(name)])
        except OSError as error:
            raise RunError(FAILED % describe_os_error(error)) from None


def _compress(lines: Iterable[bytes]) -> Iterator[bytes]:
    # Not a GzipFile, which tries to write once more when it is deleted, and reports that a full disk refuses it.
    compressor = zlib.compressobj(COMPRESSION_LEVEL, wbits=GZIP)
    yield from map(compressor.compress, lines)
    yield compressor.flush()
