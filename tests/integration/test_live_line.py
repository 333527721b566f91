"""On a terminal a line shows the progress, and tears no line of the log."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.fake_api import FakeAPI, make_account
from tests.support.tap_runs import catalog_with, environment, tap_config

if TYPE_CHECKING:
    from pathlib import Path

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \| ")
JSON_LOG = """\
version: 1
disable_existing_loggers: false
formatters:
  structured: {(): singer_sdk.logging.StructuredFormatter}
handlers:
  stderr: {class: logging.StreamHandler, formatter: structured, stream: ext://sys.stderr}
root: {level: INFO, handlers: [stderr]}
"""


class Terminal:
    """The output of a run on a terminal, and what a person sees of it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def screen(self) -> list[str]:
        """Return the lines that are left when all is written, as a terminal of endless height shows them."""
        lines: list[list[str]] = [[]]
        column = 0
        for part in re.findall(r"\x1b\[K|.", self.text, flags=re.DOTALL):
            line = lines[-1]
            if part == "\x1b[K":
                del line[column:]
            elif part == "\r":
                column = 0
            elif part == "\n":
                lines.append([])
                column = 0
            else:
                line[column : column + 1] = [part]
                column += 1
        return ["".join(line) for line in lines if line]


def run_on_terminal(api: FakeAPI, tmp_path: Path, **variables: str) -> Terminal:
    """Run the tap with its standard error on a terminal."""
    config, catalog = tmp_path / "config.json", tmp_path / "catalog.json"
    config.write_text(json.dumps(tap_config(api, page_size=10)), encoding="utf-8")
    catalog.write_text(json.dumps(catalog_with(only=["charges"])), encoding="utf-8")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tap_payments", "--config", str(config), "--catalog", str(catalog)]
    output = b""
    with (
        (tmp_path / "messages").open("wb") as messages,
        subprocess.Popen(
            command, stdout=messages, stderr=theirs, env={**environment(), "TERM": "xterm", **variables}
        ) as process,
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


def test_a_live_line_comes_and_leaves_whole_lines_of_the_log(tmp_path: Path) -> None:
    with FakeAPI(make_account(charges=250), latency=0.1) as api:
        terminal = run_on_terminal(api, tmp_path)
    assert re.search(r"\x1b\[Kcharges: [\d,]+ records", terminal.text)
    screen = terminal.screen()
    assert "Run complete. charges: 250 records" in screen[-1]
    assert all(LOG_LINE.match(line) for line in screen), screen


def test_a_bar_has_the_share_where_the_total_is_known(tmp_path: Path) -> None:
    with FakeAPI(make_account(charges=250), latency=0.1, total_count=True) as api:
        terminal = run_on_terminal(api, tmp_path)
    assert re.search(r"charges  \[#+-+\]  +\d+%  [\d,]+ records", terminal.text)
    assert all(LOG_LINE.match(line) for line in terminal.screen())


def test_what_another_process_writes_begins_at_the_start_of_a_line(tmp_path: Path) -> None:
    with FakeAPI(make_account(charges=250), latency=0.1) as api:
        terminal = run_on_terminal(api, tmp_path)
    shown = re.findall(r"\x1b\[Kcharges: [^\n]*", terminal.text)
    assert shown
    assert all("\r" in text for text in shown)


def test_a_log_for_machines_stays_clean(tmp_path: Path) -> None:
    config = tmp_path / "logging.yml"
    config.write_text(JSON_LOG, encoding="utf-8")
    with FakeAPI(make_account(charges=100), latency=0.1) as api:
        terminal = run_on_terminal(api, tmp_path, SINGER_SDK_LOG_CONFIG=str(config))
    assert "\x1b" not in terminal.text
    assert all(json.loads(line) for line in terminal.text.splitlines())


def test_a_terminal_that_moves_no_cursor_gets_lines(tmp_path: Path) -> None:
    with FakeAPI(make_account(charges=100), latency=0.1) as api:
        terminal = run_on_terminal(api, tmp_path, TERM="dumb")
    assert "\x1b[K" not in terminal.text
