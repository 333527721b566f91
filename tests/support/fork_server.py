"""A process that has a program loaded and forks into runs of it: most of a short run is the loading."""

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
from importlib import import_module
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POLL = 0.005  # seconds


class Program(NamedTuple):
    """A Python program: what runs as `__main__`, by its module or path, and the module that is loaded before."""

    run: str
    loads: str
    python: str = sys.executable


TAP_PAYMENTS = Program("tap_payments", loads="tap_payments.tap")


class Preloaded:
    """The process for a program; ends with the one that made it."""

    def __init__(self, program: Program) -> None:
        here = str(Path(__file__).parents[2])
        paths = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [program.python, "-m", "tests.support.fork_server", json.dumps(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths},
            text=True,
        )
        atexit.register(self._process.communicate)

    def ask(self, **order: object) -> Any:
        """Return the reply to an order."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            print(json.dumps(order), file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())


@lru_cache
def preloaded(program: Program = TAP_PAYMENTS) -> Preloaded:
    """Return the process; it is made once for each program."""
    return Preloaded(program)


class ForkedProcess:
    """A run that was forked; behaves as a `subprocess.Popen` as far as it goes.

    The files `stdout` and `stderr` in `cwd` take its output; its input is `stdin`, if that exists.
    """

    def __init__(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], program: Program = TAP_PAYMENTS
    ) -> None:
        self._preloaded = preloaded(program)
        self.pid: int = self._preloaded.ask(arguments=arguments, cwd=str(cwd), env=dict(env))
        self._exit_code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code if it has ended, negative if a signal ended it."""
        if self._exit_code is None:
            self._exit_code = self._preloaded.ask(poll=self.pid)
        return self._exit_code

    def wait(self, timeout: float = inf) -> int:
        """Wait for its end and return the exit code, or raise `subprocess.TimeoutExpired`."""
        end = time.monotonic() + timeout
        while (exit_code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("the program", timeout)
            time.sleep(POLL)
        return exit_code

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it, if it is still there."""
        self.send_signal(signal.SIGKILL)


def _serve(program: Program) -> None:
    """Fork a run, or report how one ended, for each line of standard input."""
    before = dict(os.environ)
    import_module(program.loads)
    set_by_loading = {name: value for name, value in os.environ.items() if before.get(name) != value}
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
                order["env"].update(set_by_loading)
                _become(program, **order)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _become(program: Program, arguments: list[str], cwd: str, env: dict[str, str]) -> None:
    """Become a run of the program, up to its end."""
    os.chdir(cwd)
    stdin = "stdin" if Path("stdin").exists() else os.devnull
    for descriptor, path, flags in ((0, stdin, os.O_RDONLY), (1, "stdout", os.O_WRONLY), (2, "stderr", os.O_WRONLY)):
        opened = os.open(path, flags | os.O_CREAT, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = [program.run, *arguments]
    if Path(program.run).is_absolute():
        runpy.run_path(program.run, run_name="__main__")
    else:
        runpy.run_module(program.run, run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    _serve(Program(*json.loads(sys.argv[1])))
