"""Memory is flat, pages are fetched ahead, and discovery loads little; what each takes is measured by `make bench`."""

from __future__ import annotations

import subprocess
import sys
from math import ceil
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.account import AccountServer
from benchmarks.contenders import ROOT, Job, tap_command
from benchmarks.stopwatch import measure
from tests.fake_api import FakeAPI
from tests.support.records import minimal_records
from tests.support.tap_runs import catalog_with, run_tap, tap_config
from tests.support.waiting import SOON

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAGE_SIZE = 500
SHORT, LONG = 10_000, 40_000
MAX_GROWTH = 1.1
MAX_MEMORY = 100_000_000
CONCURRENCY, AHEAD, AHEAD_PAGE = 8, 2_400, 100
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


def gather(requests: int) -> Callable[..., None]:
    """Return what holds each response for a page in mid-list until so many requests have come together."""
    gathered = Event()

    def hold(api: FakeAPI, _request: object, params: dict[str, str]) -> None:
        if int(params["offset"]) > 2 * AHEAD_PAGE:
            if api.max_in_flight >= requests:
                gathered.set()
            gathered.wait(SOON)

    return hold


@pytest.mark.parametrize(
    ("second", "settings"),
    [
        pytest.param(1, {"page_overlap": 0}, id="no overlap"),
        pytest.param(1, {"page_overlap": 1}, id="an overlap"),
        # Some records share a second, so that the distance between two pages is not always the same.
        pytest.param(3, {"page_overlap": 1}, id="ties"),
    ],
)
def test_pages_are_fetched_ahead_and_change_nothing(second: int, settings: dict[str, Any]) -> None:
    times = [number // second for number in range(AHEAD)]
    requests = {}
    for concurrency in (1, CONCURRENCY):
        with FakeAPI({"charges": minimal_records("charges", times)}) as api:
            api.before_each(gather(concurrency))
            config = tap_config(api, page_size=AHEAD_PAGE, concurrency=concurrency, **settings)
            run = run_tap(config, catalog=catalog_with(only=["charges"]), timeout=4 * SOON).expect_success()
        assert run.keys("charges") == api.account.keys("charges")
        assert api.max_in_flight == concurrency
        requests[concurrency] = len(api.requests)
    assert requests[1] <= ceil(AHEAD / (AHEAD_PAGE - 1 - second)) + 2
    # Where the distance between pages changes, some guesses are wrong.
    assert requests[CONCURRENCY] <= (1 if second == 1 else 1.5) * requests[1] + CONCURRENCY + 1
