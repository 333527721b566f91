"""Standard output: the message writer, the fast path of a record to it, and errors that name their cause.

Messages are collected and written together: with every message that is not a record, at the end of a page, and when
there are many.
"""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import sys
import time
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import SingerMessageType, StateMessage
from typing_extensions import override

from tap_payments.errors import RunError, StoppedError, UnwritableRecordError
from tap_payments.records.exact_json import ENCODER

if TYPE_CHECKING:
    from collections.abc import Callable

    from singer_sdk.helpers.types import TapState
    from singer_sdk.singerlib.messages import Message
    from typing_extensions import Buffer

# Maximum bytes that are collected before they go out.
BUFFER_SIZE = 1 << 20
NEWLINE = 10
# Seconds that a stopped run waits for a target to read, and between two looks at the clock meanwhile.
STOP_GRACE = 1.0
POLL_INTERVAL = 0.05

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class BufferedWriter(MsgSpecWriter):
    """Writes Singer messages to standard output."""

    def __init__(self) -> None:
        super().__init__()
        self._buffer = bytearray()
        self._sent = b""
        self._is_cut = False

    @override
    def serialize_message(self, message: Message) -> bytearray:
        return bytearray(ENCODER.encode(message.to_dict())) + b"\n"

    @override
    def write_message(self, message: Message) -> None:
        """Write one message, unless it is a STATE that repeats the message before it.

        All but records go out at once, with what came before them.

        Args:
            message: The message.
        """
        line = self.format_message(message)
        if message.type == SingerMessageType.STATE and (self._buffer or self._sent).endswith(line):
            return
        self._buffer += line
        if message.type != SingerMessageType.RECORD or len(self._buffer) >= BUFFER_SIZE:
            self.flush()

    def end(self, state: TapState) -> None:
        """Write the last STATE of a run that was stopped, unless messages that it counts as written were given up.

        Args:
            state: The state that holds for all messages that were written; where it is empty, none is written.
        """
        with suppress(StoppedError, RunError):
            self.flush()
            if state and not self._is_cut:
                self.write_message(StateMessage(value=state))

    def record_writer(
        self, stream: str, *, extracted: datetime, version: int | None = None
    ) -> Callable[[dict[str, Any]], None]:
        """Return a function that writes a record as it is, for a stream with nothing to select or map.

        Args:
            stream: Name of the stream.
            extracted: When the page that holds the records arrived.
            version: The version of the table that they belong to.

        Returns:
            The function; it raises UnwritableRecordError if a record cannot be encoded as JSON.
        """
        message: dict[str, Any] = {"type": SingerMessageType.RECORD.value, "stream": stream, "record": None}
        if version is not None:
            message["version"] = version
        message["time_extracted"] = msgspec.Raw(ENCODER.encode(extracted.astimezone(timezone.utc)))
        encode_into, buffer = ENCODER.encode_into, self._buffer

        def write(record: dict[str, Any]) -> None:
            begin = len(buffer)
            message["record"] = record
            try:
                encode_into(message, buffer, -1)
            except (RecursionError, ValueError, TypeError):
                del buffer[begin:]
                raise UnwritableRecordError from None
            buffer.append(NEWLINE)
            if begin >= BUFFER_SIZE:
                self.flush()

        return write

    def flush(self) -> None:
        """Send on what was collected.

        Raises:
            StoppedError: If the run is stopped and the target does not read; what is left is given up then.
            RunError: If nothing can be written any more.
        """
        if not self._buffer or self._is_cut:
            return
        # Taken out first: what a failed write has sent in part must not be sent again.
        self._sent, self._buffer[:] = bytes(self._buffer), b""
        self._is_cut = True
        sys.stdout.buffer.write(self._sent)
        sys.stdout.buffer.flush()
        self._is_cut = False


def describe_os_error(error: OSError) -> str:
    """Return what the system calls an error, without the names of files that its text may hold."""
    return os.strerror(error.errno) if error.errno else type(error).__name__


def open_stdout() -> None:
    """Replace `sys.stdout` with a file that takes all it is given, or names the cause.

    Raises:
        RunError: If there is no standard output.
    """
    if sys.stdout is None:
        raise RunError("standard output is closed: the messages have nowhere to go")
    # Inside a process something without a descriptor may have taken its place.
    with suppress(OSError, ValueError):
        file = Stdout(sys.stdout.fileno())
        sys.stdout.flush()
        sys.stdout = io.TextIOWrapper(file, sys.stdout.encoding, sys.stdout.errors, write_through=True)


class Stdout(io.FileIO):
    """The descriptor of standard output, also one that does not block, without a buffer."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._deadline = float("inf")

    def stop_waiting(self) -> None:
        """Stop waiting for a target that does not read, `STOP_GRACE` seconds from now; called by a signal's handler."""
        self._deadline = time.monotonic() + STOP_GRACE
        with suppress(OSError):
            if stat.S_ISFIFO(os.fstat(self.fileno()).st_mode):
                # A write that blocks now is tried again once the handler has returned, and then returns.
                os.set_blocking(self.fileno(), False)

    @override
    def write(self, data: Buffer) -> int:
        """Write all of it.

        Raises:
            StoppedError: If the run is stopped and the target does not read; the last line may be cut then.
            RunError: If nothing can be written any more.
        """
        left = memoryview(data)
        size = left.nbytes
        while left:
            try:
                # None where it would block.
                left = left[super().write(left) or 0 :]
            except BrokenPipeError:
                raise RunError("the target closed its input") from None
            except OSError as error:
                what = "is on a full disk" if error.errno in FULL else "cannot be written"
                raise RunError(f"standard output {what} ({describe_os_error(error)}): check where it leads") from None
            if left and time.monotonic() > self._deadline:
                raise StoppedError
            if left:
                select.select([], [self], [], POLL_INTERVAL)
        return size
