"""Memory is flat; how much it is, `make bench` measures."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from benchmarks.account import AccountServer
from benchmarks.contenders import ROOT, Job, tap_command
from benchmarks.stopwatch import measure

if TYPE_CHECKING:
    from pathlib import Path

PAGE_SIZE = 500
SHORT, LONG = 10_000, 40_000
MAX_GROWTH = 1.1
MAX_MEMORY = 100_000_000


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
