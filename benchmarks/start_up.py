"""Start-up: discovery beside the import of the SDK."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks import environments
from benchmarks.stopwatch import measure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SDK, DISCOVERY = "sdk", "discovery"
TITLES: Final = {SDK: "`python -c 'import singer_sdk'`", DISCOVERY: "`tap-payments --discover`"}
# A start is short, so that it takes more of them for a steady median.
STARTS_OF_A_ROUND = 4


@dataclass(frozen=True)
class Start:
    """One run of a command.

    Attributes:
        command: Its name, a key of `TITLES`.
        cpu: Seconds of processor time.
        wall: Seconds from start to end.
    """

    command: str
    cpu: float
    wall: float


def starts(rounds: int, report: Callable[[str], object]) -> list[Start]:
    """Measure both commands in turn."""
    commands: dict[str, list[str | Path]] = {
        SDK: [sys.executable, "-c", "import singer_sdk"],
        DISCOVERY: [environments.own_programs() / "tap-payments", "--discover"],
    }
    found = []
    for _ in range(rounds * STARTS_OF_A_ROUND):
        for name, command in commands.items():
            usage = measure(command)
            found.append(Start(name, usage.cpu, usage.wall))
    report(f"{len(found)} starts")
    return found
