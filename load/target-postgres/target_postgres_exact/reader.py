"""Singer messages from standard input, and records from the files of BATCH messages."""

from __future__ import annotations

import gzip
import os
import sys
from contextlib import nullcontext
from datetime import datetime, timezone
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import msgspec
from singer_sdk.contrib.msgspec import decoder
from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchFileFormat, StorageTarget
from singer_sdk.io_base import GenericSingerReader, SingerReader
from typing_extensions import override

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping

    Callbacks = Mapping[str, Callable[[dict[str, Any]], None]]

NUL, REPLACEMENT, BACKSLASH = rb"\u0000", rb"\ufffd", rb"\\"


class Reader(GenericSingerReader[bytes]):
    """Singer messages, a line each."""

    default_input = sys.stdin.buffer
    _input: Any = default_input
    _is_stopped = False

    @classmethod
    def stop(cls) -> None:
        """End the input behind what was read of it, also from a signal that interrupts the reading."""
        cls._is_stopped = True
        os.dup2(os.open(os.devnull, os.O_RDONLY), cls._input.fileno())

    @override
    def process_lines(self, file_input: IO[bytes] | None, callbacks: Callbacks) -> Counter[str]:
        # The file of `--input` is opened as text.
        Reader._input = getattr(file_input, "buffer", self.default_input)
        # A stop may leave the beginning of a line.
        lines: Any = (line for line in Reader._input if line.endswith(b"\n") or not self._is_stopped)
        return super().process_lines(lines, {**callbacks, "BATCH": partial(self._process_files, callbacks)})

    def _process_files(self, callbacks: Callbacks, message: dict[str, Any]) -> None:
        """Process the records in the files of a BATCH message."""
        encoding = BaseBatchFileEncoding.from_dict(message["encoding"])
        if encoding.format != BatchFileFormat.JSONL:
            raise ValueError(f"unsupported format of a BATCH message: {encoding.format}")
        common = {"stream": message["stream"], "time_extracted": datetime.now(tz=timezone.utc).isoformat()}
        for path in message["manifest"]:
            folder, name = StorageTarget.split_url(path)
            with (
                StorageTarget.from_url(folder).open(name, "rb") as file,
                gzip.open(file) if encoding.compression == "gzip" else nullcontext(file) as lines,
            ):
                for line in lines:
                    callbacks["RECORD"]({**common, "record": self.deserialize_json(line)})

    @override
    def deserialize_json(self, line: bytes) -> dict[str, Any]:
        if NUL in line:
            # Behind an escaped backslash it is text that looks like an escape.
            line = BACKSLASH.join(part.replace(NUL, REPLACEMENT) for part in line.split(BACKSLASH))
        try:
            message: dict[str, Any] = decoder.decode(line)
        except msgspec.DecodeError:
            # Python's own decoder takes what is not quite JSON, such as half a surrogate pair, or says what is wrong.
            return SingerReader().deserialize_json(line.decode())
        return message
