"""The demo, as `make demo` runs it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.meltano import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.meltano

SECONDS = 300


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # Not pytest's own, which the unprivileged user that PostgreSQL runs as under root may not enter.
    folder = Path(tempfile.mkdtemp(prefix="tap-payments-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def start(folder: Path) -> subprocess.Popen[str]:
    """Start the demo."""
    command = [sys.executable, "-m", "demo", "--folder", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_the_demo_shows_what_is_in_postgresql(folder: Path) -> None:
    with start(folder) as demo:
        output, _ = demo.communicate(timeout=SECONDS)
    assert demo.returncode == 0, output
    cells = [line.split() for line in output.splitlines()]
    assert ["charges", "0", "5,000"] in cells
    assert sum(row[:1] == ["total"] for row in cells) == 1
    assert ["currency", "paid", "refunded", "percent", "amount_refunded"] in cells
    assert ["product", "interval", "currency", "active", "amount"] in cells
    assert any(row[:1] == ["USD"] and row[-1] not in {"0", "0.00"} for row in cells)


def test_a_demo_that_is_stopped_leaves_no_process_behind(folder: Path) -> None:
    with start(folder) as demo:
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
