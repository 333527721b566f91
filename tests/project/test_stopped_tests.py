"""A test run that is killed leaves no server behind."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from tests.support.guard import SEPARATOR, VARIABLE, end_all, running
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
STARTS_A_SERVER = """
import subprocess
from tests.support.guard import Guard
guard = Guard()
subprocess.run(["sleep", "600"], start_new_session=True)
"""


def programs(token: str) -> set[str]:
    """Return the names of the programs that run."""
    names = set()
    for process in running(token):
        # It may have ended since.
        with suppress(psutil.NoSuchProcess):
            names.add(process.name())
    return names


def test_what_a_killed_run_started_is_ended() -> None:
    # Marks all that is started with it.
    token = secrets.token_hex(8)
    environment = os.environ | {VARIABLE: SEPARATOR.join(filter(None, (os.environ.get(VARIABLE), token)))}
    try:
        with subprocess.Popen([sys.executable, "-c", STARTS_A_SERVER], cwd=ROOT, env=environment) as run:
            wait_until(lambda: "sleep" in programs(token))
            run.kill()
        wait_until(lambda: not running(token))
    finally:
        end_all(token)
