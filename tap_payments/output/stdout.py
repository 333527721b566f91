"""Standard output: failures that name their cause, and an end where a stopped run waits for its target."""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_payments.errors import RunError, StoppedError

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Seconds that a stopped run waits for a target to read, and between two looks at the clock meanwhile.
STOP_GRACE = 1.0
POLL_INTERVAL = 0.05

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


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
