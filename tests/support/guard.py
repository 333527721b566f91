"""A process that ends what a test run started, however that run ends: no server outlives the tests.

All that a run starts inherits a variable from it. When the run's end of the pipe closes, because the run ended or was
killed, the guard looks for processes that have this variable.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil

# Names the runs that a process belongs to, the outermost first. Not a name that the tests' own programs filter out.
VARIABLE = "PAYMENTS_TEST_RUN"
SEPARATOR = ":"
SECONDS_TO_END = 5
POLL = 0.05  # seconds


class Guard:
    """The guard of this process and of all that it starts."""

    def __init__(self) -> None:
        outer = os.environ.get(VARIABLE)
        token = secrets.token_hex(8)
        # Without the variable, and out of reach of a terminal's Ctrl-C, so that nothing ends it but the pipe.
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, token], stdin=subprocess.PIPE, env=environment, start_new_session=True
        )
        os.environ[VARIABLE] = SEPARATOR.join(filter(None, (outer, token)))

    def end(self) -> None:
        """End what is left, and wait for that."""
        self._process.communicate()


def running(token: str) -> list[psutil.Process]:
    """Return the processes of a run that have not ended."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            tokens = process.environ().get(VARIABLE, "").split(SEPARATOR)
            if token in tokens and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_all(token: str) -> None:
    """End the processes of a run, by force where they take too long."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in running(token):
            with suppress(psutil.Error):
                process.send_signal(number)
        deadline = time.monotonic() + SECONDS_TO_END
        # Not psutil's wait, for which a process lives that has ended and that its parent has not asked about.
        while running(token) and time.monotonic() < deadline:
            time.sleep(POLL)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    sys.stdin.read()
    end_all(sys.argv[1])
