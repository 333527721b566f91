"""Memory is flat, and discovery loads little; what each takes is measured by `make bench`."""

from __future__ import annotations

import subprocess
import sys
from math import ceil
from typing import TYPE_CHECKING

from benchmarks.account import AccountServer
from benchmarks.contenders import ROOT, Job, tap_command
from benchmarks.stopwatch import measure
from tests.fake_api import FakeAPI
from tests.support.records import minimal_records

if TYPE_CHECKING:
    from pathlib import Path

PAGE_SIZE = 500
SHORT, LONG = 10_000, 40_000
MAX_GROWTH = 1.1
MAX_MEMORY = 100_000_000
TIED, TIED_PAGE = 10_000, 100

MODULES_OF_DISCOVERY = """
import contextlib, os, sys
from tap_payments.tap import TapPayments
with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.suppress(SystemExit):
    TapPayments.cli.main(args=["--discover"])
print(*sys.modules)
"""


def modules_after(code: str) -> set[str]:
    """Return the packages that a program has loaded, given its code, whose last line prints them."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_discovery_loads_little_more_than_the_sdk() -> None:
    sdk = modules_after("import singer_sdk, sys; print(*sys.modules)")
    assert modules_after(MODULES_OF_DISCOVERY) - sdk <= {"msgspec", "tap_payments", "termios"}


def test_memory_is_flat_and_requests_are_the_least(tmp_path: Path) -> None:
    peaks = {}
    with AccountServer(LONG) as server:
        for charges in (SHORT, LONG):
            server.serve(charges)
            peaks[charges] = measure(tap_command(Job(server.url, tmp_path), page_overlap=0), cwd=ROOT).peak
            tally = server.tally()
            assert (tally.records, tally.others) == (charges, 0)
            assert tally.requests == ceil(charges / PAGE_SIZE) + 1
    assert peaks[LONG] <= MAX_GROWTH * peaks[SHORT]
    assert peaks[LONG] < MAX_MEMORY


def test_records_of_one_second_need_no_more_memory_than_others(tmp_path: Path) -> None:
    peaks = {}
    for name, times in {"apart": range(TIED), "tied": [1] * TIED}.items():
        with FakeAPI({"charges": minimal_records("charges", times)}) as api:
            command = tap_command(Job(api.url, tmp_path), page_size=TIED_PAGE, page_overlap=1)
            peaks[name] = measure(command, cwd=ROOT).peak
            assert sum(request.records for request in api.requests_for("charges")) >= TIED
    assert peaks["tied"] <= MAX_GROWTH * peaks["apart"]
