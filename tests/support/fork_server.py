"""A process that has the tap loaded and forks into runs of it: most of a short run is the loading."""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POLL = 0.005  # seconds


class Preloaded:
    """The process; ends with the one that made it."""

    def __init__(self) -> None:
        here = str(Path(__file__).parents[2])
        paths = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths},
            text=True,
        )
        atexit.register(self._process.communicate)

    def ask(self, **order: object) -> Any:
        """Return the answer to an order."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            print(json.dumps(order), file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())


@lru_cache(maxsize=1)
def preloaded() -> Preloaded:
    """Return the process; it is made once."""
    return Preloaded()


class ForkedProcess:
    """A run that was forked; behaves as a `subprocess.Popen` as far as it goes."""

    def __init__(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdout: Path, stderr: Path
    ) -> None:
        self.pid: int = preloaded().ask(
            arguments=arguments, cwd=str(cwd), env=dict(env), stdout=str(stdout), stderr=str(stderr)
        )
        self._exit_code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code if it has ended, negative if a signal ended it."""
        if self._exit_code is None:
            self._exit_code = preloaded().ask(poll=self.pid)
        return self._exit_code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code.

        Raises:
            subprocess.TimeoutExpired: If it does not end.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while (exit_code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("tap_payments", timeout or 0)
            time.sleep(POLL)
        return exit_code

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it, if it is still there."""
        self.send_signal(signal.SIGKILL)


def _serve() -> None:
    """Fork a run, or report how one ended, for each line of standard input."""
    import tap_payments.tap  # noqa: F401, PLC0415 - what there is to load

    assert threading.active_count() == 1, "a process with threads must not fork"
    # What is loaded is no rubbish: a run that looked through it would copy it.
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        if "poll" in order:
            ended, status = os.waitpid(order["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        else:
            answer = os.fork()
            if not answer:
                _become(**order)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _become(arguments: list[str], cwd: str, env: dict[str, str], stdout: str, stderr: str) -> None:
    """Become a run of the tap, up to its end."""
    for descriptor, path, flags in ((0, os.devnull, os.O_RDONLY), (1, stdout, os.O_WRONLY), (2, stderr, os.O_WRONLY)):
        opened = os.open(path, flags | os.O_CREAT, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["tap_payments", *arguments]
    runpy.run_module("tap_payments", run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    _serve()
