"""The demo, as `make demo` runs it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from tests.support.meltano import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.meltano

SECONDS = 300


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start the demo."""
    command = [sys.executable, "-m", "demo", "--folder", str(folder), *words]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_demo_shows_what_is_in_postgresql_and_once_more_without_duplicates(open_folder: Path) -> None:
    for before in ("0", "5,000"):
        with start(open_folder / "demo") as demo:
            output, _ = demo.communicate(timeout=SECONDS)
        assert demo.returncode == 0, output
        cells = [line.split() for line in output.splitlines()]
        assert ["charges", before, "5,000"] in cells
        assert sum(row[:1] == ["total"] for row in cells) == 1
        assert ["currency", "paid", "refunded", "percent", "amount_refunded"] in cells
        assert ["product", "interval", "currency", "active", "amount"] in cells
        assert any(row[:1] == ["USD"] and row[-1] not in {"0", "0.00"} for row in cells)
        gone = 0 if before == "0" else 6
        assert ["charges", f"{5000 - gone:,}", f"{5000 - gone:,}", "5,000"] in cells
        assert sum(row[:1] == ["charges"] and row[1].startswith("ch_") for row in cells) == gone
    # Its psql prints a connection string for other clients.
    with start(open_folder / "demo", "--psql") as demo:
        assert demo.stdout is not None
        with psycopg.connect(demo.stdout.readline().split()[-1]) as connection:
            assert connection.execute("SELECT count(*) FROM charges").fetchone() == (5000,)
        output, _ = demo.communicate("SELECT 1 AS answered FROM products LIMIT 1;", timeout=SECONDS)
    assert demo.returncode == 0
    assert "answered" in output


def test_a_demo_that_is_stopped_leaves_no_process_behind(open_folder: Path) -> None:
    with start(open_folder / "demo") as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("$ meltano"):
                break
        time.sleep(1)
        family = psutil.Process(demo.pid).children(recursive=True)
        assert family
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=SECONDS)
    assert demo.returncode == 128 + signal.SIGINT
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
