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
from typing import TYPE_CHECKING

from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import Status
from tests.support.tap_runs import catalog_with, environment, tap_config

if TYPE_CHECKING:
    from pathlib import Path

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \| ")


class Terminal:
    """The output of a run on a terminal, and what a person sees of it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def screen(self) -> list[str]:
        """Return the lines that are left when all is written, as a terminal of endless height shows them."""
        lines = []
        for written in self.text.split("\n"):
            line = ""
            for part in written.split("\r"):
                line = part + line[len(part) :]
            lines.append(line.rstrip())
        return [line for line in lines if line]


def run_on_terminal(api: FakeAPI, tmp_path: Path) -> Terminal:
    """Run the tap with its standard error on a terminal."""
    config, catalog = tmp_path / "config.json", tmp_path / "catalog.json"
    config.write_text(json.dumps(tap_config(api, page_size=10)), encoding="utf-8")
    catalog.write_text(json.dumps(catalog_with(only=["charges"])), encoding="utf-8")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    command = [sys.executable, "-m", "tap_payments", "--config", str(config), "--catalog", str(catalog)]
    output = b""
    with (
        (tmp_path / "messages").open("wb") as messages,
        subprocess.Popen(command, stdout=messages, stderr=theirs, env={**environment(), "TERM": "xterm"}) as process,
    ):
        os.close(theirs)
        while True:
            try:
                output += os.read(ours, 65536)
            except OSError:  # All that the terminal had is read, and nobody writes to it any more.
                break
        os.close(ours)
    assert process.returncode == 0, output.decode()
    assert all(json.loads(line)["type"] for line in (tmp_path / "messages").read_bytes().splitlines())
    return Terminal(output.decode())


def test_a_bar_comes_and_leaves_whole_lines_of_the_log(tmp_path: Path) -> None:
    with FakeAPI(make_account(charges=250), latency=0.1) as api:
        terminal = run_on_terminal(api, tmp_path)
    assert re.search(r"\rcharges: \d+ records \[.*records/s, \d{4}-\d\d-\d\d\]", terminal.text)
    screen = terminal.screen()
    assert "Run complete. charges: 250 records" in screen[-1]
    assert all(LOG_LINE.match(line) for line in screen), screen


def test_a_bar_has_the_share_where_the_total_is_known(tmp_path: Path) -> None:
    with FakeAPI(make_account(charges=250), latency=0.1, total_count=True) as api:
        api.faults.add(Status(503), after=9)
        terminal = run_on_terminal(api, tmp_path)
    assert re.search(r"charges: +\d+%\|.*\| \d+/250 \[", terminal.text)
    screen = terminal.screen()
    assert any("trying again" in line for line in screen)
    assert all(LOG_LINE.match(line) for line in screen), screen
