"""Measure a command by the operating system's own figures.

The command is started by a small process of its own, since a process begins with the memory of the one that started
it: `ru_maxrss` of a child of a test runner would be at least that of the test runner.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DISCARD, COUNT = "discard", "count"
ARRIVED = re.compile(rb'"time_extracted": ?"[^"]*"')
KEY = re.compile(rb'"charge_id": ?"([^"]+)"')
CHUNK = 1 << 20
TOLD_OF_A_FAILURE = 2000


class CommandError(Exception):
    """A command that did not exit with 0; the text holds the end of its output."""


@dataclass(frozen=True)
class Usage:
    """The cost of one run of a command.

    Attributes:
        cpu: Seconds of processor time, user and system, of the process and of those it waited for.
        wall: Seconds from start to end.
        peak: Bytes that the largest of its processes had in memory at most.
        written: Keys of charges that it wrote, if they were counted.
        distinct: How many of these keys differ.
        digest: A digest of what it wrote, but for the times at which pages arrived.
    """

    cpu: float
    wall: float
    peak: int
    written: int = 0
    distinct: int = 0
    digest: str = ""


def measure(
    command: Sequence[str | Path], *, count: bool = False, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Usage:
    """Run a command to its end.

    Args:
        command: The program and its arguments.
        count: Whether to read what it writes and count the charges; it is thrown away otherwise.
        env: The variables it runs with, instead of those of this process.
        cwd: Where to run it.

    Raises:
        CommandError: If it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        report, errors = Path(folder, "report"), Path(folder, "errors")
        small = [sys.executable, "-I", "-S", __file__, str(report), COUNT if count else DISCARD]
        with errors.open("wb") as stderr:
            done = subprocess.run(
                [*small, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                env=env,
                cwd=cwd,
                check=False,
            )
        if done.returncode:
            output = errors.read_text(errors="replace")[-TOLD_OF_A_FAILURE:]
            raise CommandError(f"{Path(command[0]).name} exited with {done.returncode}:\n{output}")
        return Usage(**json.loads(report.read_bytes()))


def main(report: str, mode: str, *command: str) -> int:
    """Run a command, write what it cost to a file, and exit as it did."""
    keys_sent: set[bytes] = set()
    written, digest = 0, hashlib.sha256()
    if mode == COUNT:
        reading, stdout = os.pipe()
    else:
        stdout = os.open(os.devnull, os.O_WRONLY)
    begun = time.monotonic()
    process = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, stdout, 1)])
    os.close(stdout)
    if mode == COUNT:
        with os.fdopen(reading, "rb", CHUNK) as pipe:
            for line in pipe:
                keys = KEY.findall(line)
                written += len(keys)
                keys_sent.update(keys)
                digest.update(ARRIVED.sub(b"", line))
    _, status, usage = os.wait4(process, 0)
    wall = time.monotonic() - begun
    figures = {
        "cpu": usage.ru_utime + usage.ru_stime,
        "wall": wall,
        # Kilobytes on Linux, bytes on macOS.
        "peak": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "written": written,
        "distinct": len(keys_sent),
        "digest": digest.hexdigest(),
    }
    Path(report).write_text(json.dumps(figures), encoding="utf-8")
    return os.waitstatus_to_exitcode(status) % 256


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
