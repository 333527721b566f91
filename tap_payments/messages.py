"""The message writer, and the lean path of a record to it.

Messages are collected and go out together: with every message that is no record, at the end
of a page, and when there are many. What goes out
is always whole lines.
"""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import SingerMessageType

from tap_payments.wire import ENCODER

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk.singerlib.messages import Message

# Bytes that are collected at most before they go out.
BUFFER_SIZE = 1 << 20


class UnwritableRecordError(Exception):
    """A record that JSON cannot carry; `record` is the one."""

    def __init__(self, record: dict[str, Any]) -> None:
        super().__init__("a record that JSON cannot carry")
        self.record = record


class BufferedWriter(MsgSpecWriter):
    """Writes Singer messages to standard output."""

    def __init__(self) -> None:
        super().__init__()
        self._buffer = bytearray()

    @override
    def serialize_message(self, message: Message) -> bytearray:
        return bytearray(ENCODER.encode(message.to_dict())) + b"\n"

    @override
    def write_message(self, message: Message) -> None:
        """Write one message; all but records go out at once, with what came before them.

        Args:
            message: The message.
        """
        self._buffer += self.format_message(message)
        if message.type != SingerMessageType.RECORD or len(self._buffer) >= BUFFER_SIZE:
            self.flush()

    def write_records(
        self,
        stream: str,
        records: Iterable[dict[str, Any]],
        *,
        extracted: datetime,
        version: int | None = None,
    ) -> None:
        """Write records as they are: the lean path, for a stream with nothing to select or map.

        Args:
            stream: Name of the stream.
            records: The records.
            extracted: When the page that held them arrived.
            version: The version of the table that they belong to.

        Raises:
            UnwritableRecordError: If a record cannot be written; those before it are.
        """
        message: dict[str, Any] = {"type": SingerMessageType.RECORD.value, "stream": stream, "record": None}
        if version is not None:
            message["version"] = version
        message["time_extracted"] = msgspec.Raw(ENCODER.encode(extracted.astimezone(timezone.utc)))
        encode_into, buffer = ENCODER.encode_into, self._buffer
        for record in records:
            begin = len(buffer)
            message["record"] = record
            try:
                encode_into(message, buffer, -1)
            except (RecursionError, ValueError, TypeError):
                del buffer[begin:]
                raise UnwritableRecordError(record) from None
            buffer += b"\n"
            if begin >= BUFFER_SIZE:
                self.flush()

    def flush(self) -> None:
        """Send on what was collected.

        Raises:
            BrokenPipeError: If nobody reads any more.
        """
        if self._buffer:
            # Taken out first: what a failed write has sent in part must not be sent again.
            lines, self._buffer[:] = bytes(self._buffer), b""
            left = memoryview(lines)
            while left:
                # With PYTHONUNBUFFERED a write that a signal interrupts sends a part, and does not say so otherwise.
                left = left[sys.stdout.buffer.write(left) or 0 :]
        sys.stdout.buffer.flush()
