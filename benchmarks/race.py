"""The readers of the list, measured in turn: A B C, A B C, so that a machine that drifts favours none of them."""

from __future__ import annotations

import http.client
import os
import tempfile
import time
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.contenders import ROOT, USERNAME, Contender, Job
from benchmarks.stopwatch import CommandError, Usage, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.account import AccountServer

PAGE_SIZE = 500
START_UP, WHOLE, THIRD, TIED, UNCLEAN = "start-up", "whole", "third", "tied", "unclean"
SLOW, TENTH = "slow", "tenth"
PAGES_TO_TRY = 200
OURS = {"loop", "tap", "tap-8"}


class MissingRecordsError(Exception):
    """A run after which records are missing, so that its figures mean nothing."""


@dataclass(frozen=True)
class Leg:
    """One thing that is measured of a contender in each round.

    Attributes:
        name: Its name.
        charges: The length of the list.
        latency: Seconds before each page.
        rounds: In how many rounds it takes part.
        only: The contenders that it is for; none for all.
        tied: Whether all charges are of one second.
        unclean: Whether charges are as the API sends them.
    """

    name: str
    charges: int
    latency: float = 0.0
    rounds: int = 1
    only: tuple[str, ...] = ()
    tied: bool = False
    unclean: bool = False


@dataclass(frozen=True)
class Run:
    """One run of a contender over a list.

    Attributes:
        contender: Its name.
        leg: What was measured.
        charges: The length of the list.
        latency: Seconds before each page.
        cpu: Seconds of processor time.
        wall: Seconds from start to end.
        peak: Bytes in memory at most.
        requests: Requests sent.
        max_in_flight: Maximum requests in flight at once.
        api_cpu: Seconds of processor time that the fake API took to serve them.
    """

    contender: str
    leg: str
    charges: int
    latency: float
    cpu: float
    wall: float
    peak: int
    requests: int
    max_in_flight: int
    api_cpu: float


def run_once(server: AccountServer, contender: Contender, leg: Leg, *, count: bool = False) -> Run:
    """Run a contender over a list.

    Args:
        server: The fake API.
        contender: Who is to read.
        leg: What is to be read.
        count: Whether to count what it writes; its times are then not to be used.

    Raises:
        MissingRecordsError: If not every charge was asked for, or written.
    """
    server.serve(leg.charges, leg.latency, provider=contender.provider, tied=leg.tied, unclean=leg.unclean)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(server.url, Path(folder), count)
        usage: Usage = measure(contender.command(job), count=count, env={**os.environ, **contender.env}, cwd=ROOT)
    tally = server.tally()
    if tally.others or tally.records < leg.charges or (tally.records > leg.charges and not contender.repeats):
        raise MissingRecordsError(f"{contender.name}: {tally} of {leg.charges} charges")
    if count and not usage.written == usage.distinct == leg.charges:
        raise MissingRecordsError(f"{contender.name}: {usage} of {leg.charges} charges")
    return Run(
        contender.name,
        leg.name,
        leg.charges,
        leg.latency,
        usage.cpu,
        usage.wall,
        usage.peak,
        tally.requests,
        tally.max_in_flight,
        tally.cpu,
    )


def rehearse(
    server: AccountServer, contenders: Iterable[Contender], charges: int, report: Callable[[str], object]
) -> tuple[list[Contender], dict[str, str]]:
    """Run each contender once over the whole list and count the records that it writes.

    Returns:
        Those that wrote each charge once, and why the others did not. What is ours may not fail.
    """
    able, failed = [], {}
    for contender in contenders:
        try:
            run_once(server, contender, Leg("count", charges), count=True)
        except (CommandError, MissingRecordsError) as error:
            if contender.name in OURS:
                raise
            failed[contender.name] = str(error)
            report(f"{contender.name} is left out: {error}")
        else:
            able.append(contender)
            report(f"{contender.name}: wrote each of {charges} charges once")
    return able, failed


def race(
    server: AccountServer, contenders: Sequence[Contender], legs: Sequence[Leg], report: Callable[[str], object]
) -> list[Run]:
    """Measure contenders round by round."""
    runs = []
    for number in range(max(leg.rounds for leg in legs)):
        for contender in contenders:
            for leg in legs:
                if number < leg.rounds and (not leg.only or contender.name in leg.only):
                    run = run_once(server, contender, leg)
                    runs.append(run)
                    report(
                        f"round {number + 1}, {contender.name}, {leg.name}: "
                        f"{run.cpu:.2f} s CPU, {run.wall:.2f} s, {run.peak / 1e6:.0f} MB"
                    )
    return runs


def figures(runs: Iterable[Run], contender: str, leg: str) -> list[Run]:
    """Pick the runs of a contender over one leg, in the order of the rounds."""
    return [run for run in runs if run.contender == contender and run.leg == leg]


def cpu_per_record(runs: Sequence[Run], contender: str, leg: str = WHOLE) -> list[float]:
    """Return the processor time that a record took, in seconds, start-up subtracted: one figure for each round."""
    whole, start_up = figures(runs, contender, leg), figures(runs, contender, START_UP)
    return [(long.cpu - short.cpu) / long.charges for long, short in zip(whole, start_up, strict=True)]


def ratios(runs: Sequence[Run], contender: str, leg: str = WHOLE, base: str = "loop") -> list[float]:
    """Return a contender's processor time per record over that of another, round by round."""
    pairs = zip(cpu_per_record(runs, contender, leg), cpu_per_record(runs, base, leg), strict=True)
    return [one / other for one, other in pairs]


def api_rate(server: AccountServer, charges: int) -> float:
    """Return how many full pages a second the fake API serves a client that throws them away."""
    server.serve(charges)
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    headers = {"Authorization": "Basic " + b64encode(f"{USERNAME}:".encode()).decode()}
    begun = time.monotonic()
    for number in range(PAGES_TO_TRY):
        offset = number * PAGE_SIZE % max(charges - PAGE_SIZE, 1)
        connection.request("GET", f"{parts.path}charges?limit={PAGE_SIZE}&offset={offset}", headers=headers)
        connection.getresponse().read()
    connection.close()
    rate = PAGES_TO_TRY / (time.monotonic() - begun)
    server.tally()
    return rate


def middle(values: Iterable[float]) -> float:
    """Return the median; NaN of nothing."""
    found = list(values)
    return median(found) if found else float("nan")


def load_average() -> float:
    """Return how many processes wanted a processor in the last minute."""
    return os.getloadavg()[0]
