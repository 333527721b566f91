"""A test run that is stopped leaves no server behind, whatever stops it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.guard import SEPARATOR, VARIABLE, end_all, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
SECONDS_TO_START = 90
SECONDS_TO_STOP = 45
# Of the programs that the tests start, those that would stay.
SERVERS = {"postgres", "meltano"}
STARTS_A_SERVER = """
import subprocess
from tests.support.guard import Guard
guard = Guard()
subprocess.run(["sleep", "600"], start_new_session=True)
"""


@pytest.fixture
def token() -> Iterator[str]:
    """Yield what marks all that is started with it, and end that."""
    token = secrets.token_hex(8)
    yield token
    end_all(token)


def environment(token: str) -> Mapping[str, str]:
    """Return an environment that marks what is started with it, and has nothing of the make and pytest around it."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTEST_"))}
    return ours | {VARIABLE: SEPARATOR.join(filter(None, (ours.get(VARIABLE), token)))}


def programs(token: str) -> set[str]:
    """Return the names of the programs that run."""
    names = set()
    for process in running(token):
        # It may have ended since.
        with suppress(psutil.NoSuchProcess):
            names.add(process.name())
    return names


def expect_end(token: str) -> None:
    """Assert that nothing is left soon."""
    deadline = time.monotonic() + SECONDS_TO_STOP
    while running(token):
        assert time.monotonic() < deadline, programs(token)
        time.sleep(0.2)


@pytest.mark.meltano
@pytest.mark.alone
@pytest.mark.parametrize("end", [os.kill, os.killpg], ids=["make alone", "its group"])
def test_make_test_that_is_told_to_end_leaves_no_server_behind(
    token: str, end: Callable[[int, int], None], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            ["make", "test"], cwd=ROOT, env=environment(token), stdout=output, stderr=output, start_new_session=True
        ) as make,
    ):
        deadline = time.monotonic() + SECONDS_TO_START
        try:
            while not programs(token) >= SERVERS:
                assert make.poll() is None, "the tests ended"
                assert time.monotonic() < deadline, programs(token)
                time.sleep(0.2)
            end(make.pid, signal.SIGTERM)
            make.wait(SECONDS_TO_STOP)
        except BaseException:
            # Or all tests would be waited for.
            end_all(token)
            raise
    assert make.returncode != 0
    expect_end(token)
    assert "Traceback" not in log.read_text(encoding="utf-8")


def test_what_a_killed_run_started_is_ended(token: str) -> None:
    with subprocess.Popen([sys.executable, "-c", STARTS_A_SERVER], cwd=ROOT, env=environment(token)) as run:
        deadline = time.monotonic() + SECONDS_TO_START
        while "sleep" not in programs(token):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        run.kill()
    expect_end(token)
