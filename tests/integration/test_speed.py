"""The tap is about as fast as a bare loop: held by ratios, never by a time, so that it holds on any machine."""

from __future__ import annotations

import os
import sys
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.account import AccountServer, Tally
from benchmarks.contenders import ROOT, Job, loop_command, tap_command
from benchmarks.stopwatch import Usage, measure
from tests.fake_api import FakeAPI
from tests.support.records import minimal_records
from tests.support.tap_runs import TAP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.alone

PAGE_SIZE = 500
SHORT, LONG = 40_000, 120_000
MAX_TIMES_THE_BARE_LOOP = 1.5
MAX_TIMES_THE_SDK = 1.3
MAX_GROWTH = 1.1
MAX_MEMORY = 100_000_000
# Pages are short here, so that what is measured is waiting.
CONCURRENCY, DELAY, DELAYED, DELAYED_PAGE, MIN_GAIN = 8, 0.15, 2_400, 100, 3
MIN_GAIN_WITH_START_UP = 2
TIED, TIED_PAGE, MAX_TIMES_APART = 80_000, 100, 1.3
# A machine that is busy with something else makes one run slow, but seldom all of them.
MIN_ROUNDS, MAX_ROUNDS, TRIES = 2, 8, 3

Read = tuple[Usage, Tally]


@pytest.fixture(scope="module")
def server() -> Iterator[AccountServer]:
    with AccountServer(LONG) as running:
        yield running


def read(  # noqa: PLR0913 - what is read, and how
    server: AccountServer,
    command: Callable[..., list[str]],
    folder: Path,
    charges: int,
    *,
    latency: float = 0.0,
    count: bool = False,
    **settings: object,
) -> Read:
    """Read a list and see to it that all of it was asked for."""
    server.serve(charges, latency)
    usage = measure(command(Job(server.url, folder), **settings), count=count, cwd=ROOT)
    tally = server.tally()
    assert (tally.records, tally.others) == (charges, 0)
    return usage, tally


def test_a_record_costs_little_more_than_in_a_bare_loop(server: AccountServer, tmp_path: Path) -> None:
    # The least of several runs is what a command takes where nothing disturbs it.
    least: dict[tuple[int, bool], float] = {}
    ratios = []
    for number in range(MAX_ROUNDS):
        for charges in (0, SHORT):
            for command in (tap_command, loop_command):
                what = (charges, command is tap_command)
                cpu = read(server, command, tmp_path, charges)[0].cpu
                least[what] = min(cpu, least.get(what, cpu))
        tap, loop = (least[SHORT, is_tap] - least[0, is_tap] for is_tap in (True, False))
        ratios.append(tap / loop)
        if number + 1 >= MIN_ROUNDS and ratios[-1] <= MAX_TIMES_THE_BARE_LOOP:
            return
    pytest.fail(f"a record costs {ratios} times what it costs in a bare loop, more than {MAX_TIMES_THE_BARE_LOOP}")


def test_discovery_takes_little_more_than_loading_the_sdk(tmp_path: Path) -> None:
    commands: dict[str, list[str | Path]] = {
        "sdk": [sys.executable, "-c", "import singer_sdk"],
        "tap": [TAP, "--discover"],
    }
    # Byte code is kept where the tap is installed.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    least: dict[str, float] = {}
    ratios = []
    for number in range(MAX_ROUNDS):
        for name, command in commands.items():
            cpu = measure(command, env=env, cwd=tmp_path).cpu
            least[name] = min(cpu, least.get(name, cpu))
        ratios.append(least["tap"] / least["sdk"])
        if number + 1 >= MIN_ROUNDS and ratios[-1] <= MAX_TIMES_THE_SDK:
            return
    pytest.fail(f"discovery takes {ratios} times what loading the SDK takes, more than {MAX_TIMES_THE_SDK}")


def test_memory_is_flat_and_requests_are_the_least(server: AccountServer, tmp_path: Path) -> None:
    peaks = {}
    for charges in (SHORT, LONG):
        usage, tally = read(server, tap_command, tmp_path, charges)
        assert tally.requests == ceil(charges / PAGE_SIZE) + 1
        peaks[charges] = usage.peak
    assert peaks[LONG] <= MAX_GROWTH * peaks[SHORT]
    assert peaks[LONG] < MAX_MEMORY


def test_pages_ahead_save_time_and_change_nothing(server: AccountServer, tmp_path: Path) -> None:
    found = []
    for _ in range(TRIES):
        start_up = read(server, tap_command, tmp_path, 0)[0].wall
        (one, asked_one), (many, asked_many) = (
            read(
                server,
                tap_command,
                tmp_path,
                DELAYED,
                latency=DELAY,
                count=True,
                concurrency=concurrency,
                page_size=DELAYED_PAGE,
            )
            for concurrency in (1, CONCURRENCY)
        )
        assert one.written == one.distinct == DELAYED
        assert many.digest == one.digest
        assert asked_many.requests <= asked_one.requests + CONCURRENCY + 1
        found.append((one.wall - start_up) / (many.wall - start_up))
        if found[-1] >= MIN_GAIN:
            return
    pytest.fail(f"{CONCURRENCY} pages at once are {found} times as fast as one, less than {MIN_GAIN}")


def test_records_of_one_second_cost_no_more_than_others(tmp_path: Path) -> None:
    found = []
    for _ in range(TRIES):
        usages = {}
        for name, times in {"apart": range(TIED), "tied": [1] * TIED}.items():
            with FakeAPI({"charges": minimal_records("charges", times)}) as api:
                command = tap_command(Job(api.url, tmp_path), page_size=TIED_PAGE, page_overlap=1)
                usages[name] = measure(command, cwd=ROOT)
                assert sum(request.records for request in api.requests_for("charges")) >= TIED
        assert usages["tied"].peak <= MAX_GROWTH * usages["apart"].peak
        found.append(usages["tied"].cpu / usages["apart"].cpu)
        if found[-1] <= MAX_TIMES_APART:
            return
    pytest.fail(f"records of one second cost {found} times what others cost, more than {MAX_TIMES_APART}")


@pytest.mark.parametrize("second", [1, 3])
def test_ties_do_not_keep_pages_from_being_fetched_ahead(second: int, tmp_path: Path) -> None:
    # Some records share a second, so that the distance between two pages is not always the same.
    times = [number // second for number in range(DELAYED)]
    found = []
    for _ in range(TRIES):
        walls, requests = {}, {}
        for concurrency in (1, CONCURRENCY):
            with FakeAPI({"charges": minimal_records("charges", times)}, latency=DELAY) as api:
                settings: dict[str, Any] = {"page_size": DELAYED_PAGE, "page_overlap": 1, "concurrency": concurrency}
                walls[concurrency] = measure(tap_command(Job(api.url, tmp_path), **settings), cwd=ROOT).wall
                requests[concurrency] = len(api.requests_for("charges"))
        assert requests[1] <= ceil(DELAYED / (DELAYED_PAGE - 1 - second)) + 2
        found.append(walls[1] / walls[CONCURRENCY])
        # Start-up is in both times.
        if found[-1] >= MIN_GAIN_WITH_START_UP:
            return
    pytest.fail(f"{CONCURRENCY} pages at once are {found} times as fast as one, less than {MIN_GAIN_WITH_START_UP}")
