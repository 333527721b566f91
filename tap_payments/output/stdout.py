"""Standard output: whole lines into a pipe that may be full, and failures that name their cause."""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import struct
import sys
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from typing_extensions import override

from tap_payments.errors import RunError, StoppedError

if sys.platform == "linux":
    import fcntl
    import termios

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

# Longest time, in seconds, after which a wait for the reader notices that the run is to stop.
POLL_INTERVAL = 0.05
# Seconds that a run which is to stop waits for a reader that does not read.
STOP_GRACE = 0.5
# Seconds between two looks at a pipe that has too little room.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.0005, 0.016
# Bytes in a slot of a pipe, and what a pipe may be grown to without being root.
PAGE = 4096
LARGEST_PIPE = 1 << 20
NEWLINE = 10

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def describe_os_error(error: OSError) -> str:
    """Return what the system calls an error, without the names of files that its text may hold."""
    return os.strerror(error.errno) if error.errno else type(error).__name__


def _failure(error: OSError) -> RunError:
    """Make the error that names why standard output cannot be written."""
    if isinstance(error, BrokenPipeError):
        return RunError("the target closed its input")
    what = "is on a full disk" if error.errno in FULL else "cannot be written"
    return RunError(f"standard output {what} ({describe_os_error(error)}): check where it leads")


def open_stdout() -> None:
    """Have all that is written to standard output wait where that does not block, and fail with the cause named.

    Raises:
        RunError: If there is no standard output.
    """
    stdout = _present_stdout()
    with suppress(OSError, ValueError):
        file = _Stdout(stdout.fileno())
        stdout.flush()
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(file), encoding=stdout.encoding, errors=stdout.errors)


class _Stdout(io.RawIOBase):
    """The descriptor of standard output as a file that takes all it is given."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @override
    def writable(self) -> bool:
        return True

    @override
    def fileno(self) -> int:
        return self._descriptor

    @override
    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        """Write all of it."""
        left = memoryview(data)
        size = left.nbytes
        while left:
            left = left[write_some(self._descriptor, left) :]
        return size


def write_some(descriptor: int, data: memoryview) -> int:
    """Write as much as can be written, which may be nothing where a descriptor does not block.

    Returns:
        How many bytes are out.

    Raises:
        RunError: If nothing can be written any more.
    """
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        _wait_writable(descriptor)
        return 0
    except OSError as error:
        raise _failure(error) from None


def _wait_writable(descriptor: int) -> None:
    """Wait a moment until something can be written."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll(POLL_INTERVAL * 1000)


class _PipeRoom:
    """How much surely fits into a pipe that nobody else writes to, so that a write neither blocks nor is cut.

    A pipe has slots of a page each. A write fills at most as many as its bytes take, and a slot is free again once all
    of it was read.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._unread: deque[int] = deque()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._pause = SHORTEST_PAUSE
        with suppress(OSError):
            # A user has a limit for all pipes together; this one stays as it is where that is reached.
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, LARGEST_PIPE)
        self.size = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)

    @property
    def has_no_reader(self) -> bool:
        """Whether a write would fail."""
        return any(event & ~select.POLLOUT for _, event in self._poll.poll(0))

    def count(self, written: int) -> None:
        """Count a write."""
        self._unread.append(written)
        self._pause = SHORTEST_PAUSE

    def measure(self) -> int:
        """Return how many bytes fit."""
        unread: int = struct.unpack("i", fcntl.ioctl(self._descriptor, termios.FIONREAD, bytes(4)))[0]
        writes, later = self._unread, sum(self._unread)
        while writes and later - writes[0] >= unread:
            later -= writes.popleft()
        used = sum(-(-size // PAGE) for size in writes)
        if writes:
            # Of the oldest write only the end is left.
            left = unread - (later - writes[0])
            used -= max(0, -(-writes[0] // PAGE) - (-(-left // PAGE) + 1))
        return max(0, self.size - used * PAGE)

    def wait(self) -> None:
        """Wait a moment for more room.

        Nothing wakes who waits for more than a page, so pauses follow: each as long as the wait until then.
        """
        if self._poll.poll(POLL_INTERVAL * 1000):
            time.sleep(self._pause)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)


def _pipe_room(descriptor: int) -> _PipeRoom | None:
    """Return the room of a descriptor that is a pipe; other systems do not say how full one is."""
    with suppress(OSError):
        if sys.platform == "linux" and stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return _PipeRoom(descriptor)
    return None


class LineWriter:
    """Writes lines so that what is out ends with a whole one, also where a run stops while nobody reads.

    A blocking write to a full pipe ends in the middle of a line, and only the reader can change that. So no more goes
    into a pipe than surely fits.
    """

    def __init__(self, write_some: Callable[[memoryview], int], pipe: _PipeRoom | None = None) -> None:
        """Write nothing yet.

        Args:
            write_some: Writes as much as can be written and returns how much that was.
            pipe: The room in the pipe that this writes to; None where it is not known.
        """
        self._write_some = write_some
        self._pipe = pipe
        self._stopped_at: float | None = None
        #: Whether what is out ends in the middle of a line: one that is larger than the pipe, or than the disk.
        self.is_cut = False

    def write(self, lines: bytes, stop: threading.Event | None) -> None:
        """Write lines.

        Args:
            lines: Whole lines.
            stop: Set when the run is to end; then a reader that does not read is waited for no longer.

        Raises:
            StoppedError: If the run is to end, and not all of the lines are out.
            RunError: If nothing can be written any more.
        """
        view, begin = memoryview(lines), 0
        while begin < len(lines):
            is_stopping = stop is not None and stop.is_set()
            end = len(lines) if self._pipe is None else self._fitting(self._pipe, lines, begin, is_stopping=is_stopping)
            written = self._write_some(view[begin:end]) if end > begin else 0
            if written:
                begin += written
                self.is_cut = lines[begin - 1] != NEWLINE
                if self._pipe is not None:
                    self._pipe.count(written)
            elif is_stopping and self._is_given_up():
                raise StoppedError

    def _fitting(self, pipe: _PipeRoom, lines: bytes, begin: int, *, is_stopping: bool) -> int:
        """Return the end of the lines to write now; where there is too little room, `begin`, after a moment."""
        room = pipe.measure()
        if len(lines) - begin <= room or pipe.has_no_reader:
            return len(lines)
        if room >= pipe.size // 2 or is_stopping or self.is_cut:
            end = lines.rfind(b"\n", begin, begin + room) + 1
            if end > begin:
                return end
            # A line that is larger than the pipe cannot but be written in parts.
            if lines.index(b"\n", begin) - begin >= pipe.size and (self.is_cut or room == pipe.size):
                return begin + room
        pipe.wait()
        return begin

    def _is_given_up(self) -> bool:
        now = time.monotonic()
        if self._stopped_at is None:
            self._stopped_at = now
        return now - self._stopped_at > STOP_GRACE


def line_writer() -> LineWriter:
    """Return what writes lines to standard output.

    Raises:
        RunError: If there is none.
    """
    stdout = _present_stdout()
    try:
        descriptor = stdout.fileno()
    except (OSError, ValueError):
        # Not that of the process, but what took its place inside it.
        return LineWriter(stdout.buffer.write)
    stdout.flush()
    return LineWriter(partial(write_some, descriptor), _pipe_room(descriptor))


def _present_stdout() -> TextIO:
    stdout: TextIO | None = sys.stdout
    if stdout is None:
        raise RunError("standard output is closed: the messages have nowhere to go")
    return stdout
