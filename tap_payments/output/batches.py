"""BATCH messages: records in files beside the messages, with all applied to them that a message would have had."""

from __future__ import annotations

import shutil
import zlib
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

from singer_sdk.batch import Batcher

from tap_payments.errors import RunError, UnwritableRecordError
from tap_payments.output.stdout import describe_os_error
from tap_payments.records.exact_json import ENCODER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from singer_sdk.helpers._batch import BatchConfig
    from typing_extensions import Self

    from tap_payments.replication.reading import Chunk
    from tap_payments.replication.state import StreamState

# Level 9, the default of Python's gzip, takes five times as long for files a tenth smaller.
COMPRESSION_LEVEL = 1
# zlib's sign for the gzip format, with the largest window.
GZIP = 16 + zlib.MAX_WBITS
# Bytes that are encoded before they go through the compressor.
CHUNK = 1 << 18

COLLECTING = "the folder for temporary files takes no more of a batch (%s): make room, or name another in `TMPDIR`"
STORING = "the storage takes no batch file (%s): check `batch_config.storage` and the room there"


@contextmanager
def _named(message: str) -> Iterator[None]:
    """Raise an error of the file system as one that names the cause, and no path.

    Raises:
        RunError: If something went wrong with a file.
    """
    try:
        yield
    except OSError as error:
        raise RunError(message % describe_os_error(error)) from None


class BatchFile:
    """A file of JSON lines that is being written; it goes to its place when it is closed, whole or not at all."""

    def __init__(self, config: BatchConfig, name: str) -> None:
        """Open a file.

        Args:
            config: Where to put it, and whether to compress it.
            name: Its name, without the ending.
        """
        compressed = config.encoding.compression == "gzip"
        self._name = f"{config.storage.prefix or ''}{name}.json{'.gz' if compressed else ''}"
        self._storage = config.storage
        # A storage has one transaction at a time: of two files that were open in it, the first to end would end both.
        with _named(COLLECTING):
            self._file: IO[bytes] = TemporaryFile()  # noqa: SIM115 - open until `close` or `drop`
        # Not a GzipFile, which tries to write once more when it is forgotten, and reports that a full disk refuses it.
        self._compressor = zlib.compressobj(COMPRESSION_LEVEL, wbits=GZIP) if compressed else None
        self._buffer = bytearray()
        self.records = 0

    def write(self, record: dict[str, Any]) -> None:
        """Add one record.

        Raises:
            UnwritableRecordError: If JSON cannot carry it.
            RunError: If the disk cannot take it.
        """
        try:
            line = ENCODER.encode(record)
        except (RecursionError, ValueError, TypeError):
            raise UnwritableRecordError(record) from None
        self._buffer += line + b"\n"
        self.records += 1
        if len(self._buffer) >= CHUNK:
            self._write_buffer()

    def close(self) -> str:
        """Finish the file.

        Returns:
            Its URL.

        Raises:
            RunError: If the disk or the storage cannot take it.
        """
        self._write_buffer()
        with _named(COLLECTING):
            if self._compressor is not None:
                self._file.write(self._compressor.flush())
            self._file.seek(0)
        with _named(STORING), self._file, self._storage.open(self._name, "wb") as file:
            shutil.copyfileobj(self._file, file)
        return self._storage.get_url(self._name)

    def drop(self) -> None:
        """Remove the file, which no message names."""
        # Closing writes what is left, for which a full disk has no room.
        with suppress(OSError):
            self._file.close()

    def _write_buffer(self) -> None:
        """Write what is collected, compressed where it is to be.

        Raises:
            RunError: If the disk cannot take it.
        """
        with _named(COLLECTING):
            self._file.write(self._buffer if self._compressor is None else self._compressor.compress(self._buffer))
        self._buffer.clear()


class Manifest(list[str]):
    """The URLs of a batch's files, and the name that its records go by."""

    def __init__(self, alias: str, urls: Iterable[str]) -> None:
        super().__init__(urls)
        self.alias = alias


class Batches:
    """The batches of one stream, one open file for each name that its records go by."""

    def __init__(self, config: BatchConfig, prefix: str) -> None:
        """Open nothing yet.

        Args:
            config: The batch configuration; formats other than JSON lines are written by the SDK.
            prefix: What the names of the files begin with.
        """
        self._config = config
        self._prefix = f"{prefix}-{uuid4()}"
        self._count = 0
        self._files: dict[str, BatchFile] = {}
        self._pending: dict[str, list[dict[str, Any]]] = {}
        self._is_jsonl = config.encoding.format == "jsonl"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove every file that is still open."""
        for file in self._files.values():
            file.drop()

    def write(
        self,
        chunks: Iterable[Chunk],
        *,
        records: Callable[[Chunk], Iterable[tuple[str, dict[str, Any]]]],
        promote: Callable[[StreamState], None],
    ) -> Iterator[Manifest]:
        """Write the records of chunks, and close the open batches before a STATE covers them.

        Args:
            chunks: The chunks.
            records: Yields the records of a chunk, each with the name that it goes by.
            promote: Called with the state of a chunk, once all records that it covers are yielded.

        Yields:
            Each batch that is full or closed.

        Raises:
            UnwritableRecordError: If JSON cannot carry a record.
            RunError: If the disk or the storage takes no more.
        """
        state, is_full = None, False
        for chunk in chunks:
            for alias, record in records(chunk):
                if self._add(alias, record) >= self._config.batch_size:
                    is_full = True
                    yield self._close(alias)
            state = chunk.state or state
            if is_full and state is not None:
                yield from self._close_all()
                promote(state)
                state, is_full = None, False
        yield from self._close_all()
        if state is not None:
            promote(state)

    def _close_all(self) -> Iterator[Manifest]:
        for alias in [*self._files, *self._pending]:
            yield self._close(alias)

    def _add(self, alias: str, record: dict[str, Any]) -> int:
        """Add a record; return how many its batch has now."""
        if self._is_jsonl:
            if alias not in self._files:
                self._count += 1
                self._files[alias] = BatchFile(self._config, f"{self._prefix}-{self._count}")
            file = self._files[alias]
            file.write(record)
            return file.records
        pending = self._pending.setdefault(alias, [])
        pending.append(record)
        return len(pending)

    def _close(self, alias: str) -> Manifest:
        if alias in self._files:
            return Manifest(alias, [self._files.pop(alias).close()])
        batcher = Batcher("tap-payments", alias, self._config)
        with _named(STORING):
            manifests = batcher.get_batches(iter(self._pending.pop(alias)))
            return Manifest(alias, [url for manifest in manifests for url in manifest])
