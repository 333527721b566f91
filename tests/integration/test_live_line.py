"""On a terminal a bar shows the progress, and tears no line of the log."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import Status
from tests.support.tap_runs import catalog_with, environment, tap_config, write_files

if TYPE_CHECKING:
    from pathlib import Path

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \| ")


def screen(text: str) -> list[str]:
    """Return the lines that are left when all is written, as a terminal of endless height shows them."""
    lines = []
    for written in text.split("\n"):
        line = ""
        for part in written.split("\r"):
            line = part + line[len(part) :]
        lines.append(line.rstrip())
    return [line for line in lines if line]


TOTALS = {False: r"\rcharges: \d+ records \[.*records/s, \d{4}-\d\d-\d\d\]", True: r"charges: +\d+%\|.*\| \d+/120 \["}


@pytest.mark.parametrize(("total_count", "bar"), TOTALS.items())
def test_a_bar_comes_and_leaves_whole_lines_of_the_log(total_count: bool, bar: str, tmp_path: Path) -> None:  # noqa: FBT001
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    output = b""
    with FakeAPI(make_account(charges=120), latency=0.1, total_count=total_count) as api:
        api.faults.add(Status(503), after=4)
        files = write_files(tmp_path, config=tap_config(api, page_size=10), catalog=catalog_with(only=["charges"]))
        command, env = [sys.executable, "-m", "tap_payments", *files], {**environment(), "TERM": "xterm"}
        with (
            (tmp_path / "messages").open("wb") as messages,
            subprocess.Popen(command, stdout=messages, stderr=theirs, env=env) as process,
        ):
            os.close(theirs)
            # Until all that the terminal had is read, and nobody writes to it any more.
            with suppress(OSError):
                while True:
                    output += os.read(ours, 65536)
            os.close(ours)
    lines = screen(output.decode())
    assert process.returncode == 0, lines
    assert all(json.loads(line)["type"] for line in (tmp_path / "messages").read_bytes().splitlines())
    assert re.search(bar, output.decode())
    assert "Run complete. charges: 120 records" in lines[-1]
    assert any("trying again" in line for line in lines)
    assert all(LOG_LINE.match(line) for line in lines), lines
