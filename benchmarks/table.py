"""The results as Markdown, ratios first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.race import SLOW, THIRD, WHOLE, figures
from benchmarks.results import machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmarks.results import Results


def markdown(results: Results) -> str:
    """Write the tables and what is to be known of them."""
    return "\n\n".join(part for part in _parts(results) if part) + "\n"


def _parts(results: Results) -> Iterator[str]:
    if results.runs:
        yield f"Reading {results.charges():,} charges of 61 fields:"
        yield _readers(results)
    if results.loads:
        yield f"Taking {results.loads[0].charges:,} charges into an empty PostgreSQL:"
        yield _loaders(results)
    yield "\n".join(f"- {note}" for note in _notes(results))


def _readers(results: Results) -> str:
    names = sorted({run.contender for run in results.runs}, key=results.microseconds)
    milliseconds = f"{results.latency() * 1000:.0f} ms"
    slow = f"Wall, {milliseconds} a page ({results.charges(SLOW):,})"
    head = ["", "CPU a record, bare loop = 1", "CPU a record", "Wall", slow, "Requests", "Peak memory"]
    rows = [
        [
            results.titles[name],
            f"**{results.ratio(name):.2f}**",
            f"{results.microseconds(name):.0f} µs",
            f"{results.wall(name):.1f} s",
            f"{results.wall(name, SLOW):.1f} s",
            f"{results.requests(name)}",
            f"{results.peak(name):.0f} MB",
        ]
        for name in names
    ]
    return _table(head, rows)


def _loaders(results: Results) -> str:
    names = sorted({load.loader for load in results.loads}, key=results.load_seconds)
    head = ["", "Time, dlt = 1", "Time", "CPU without PostgreSQL's", "Largest process"]
    rows = [
        [
            results.titles[f"{name} into PostgreSQL"],
            f"**{results.load_ratio(name):.2f}**",
            f"{results.load_seconds(name):.1f} s",
            f"{results.load_cpu(name):.1f} s",
            f"{results.load_peak(name):.0f} MB",
        ]
        for name in names
    ]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _notes(results: Results) -> Iterator[str]:
    where = machine()
    if results.runs:
        rounds, slow_rounds = (len(figures(results.runs, "loop", leg)) for leg in (WHOLE, SLOW))
        yield (
            f"Medians; rounds, in each of which all took their turn: {rounds}, with the delay {slow_rounds}. "
            "CPU is user and system time of all of a reader's processes; what the same command takes for an empty list "
            "is subtracted. Wall time is from start to end, start-up included."
        )
        yield (
            "Every reader wrote each charge once: counted in a run of its own, and in each run by what the API "
            "had sent. Charges go to `/dev/null`, from dlt to its own files."
        )
    if figures(results.runs, "tap", THIRD):
        yield (
            f"tap-payments holds {results.peak('tap', THIRD):.0f} MB at {results.charges(THIRD):,} charges and "
            f"{results.peak('tap'):.0f} MB at {results.charges():,}: {results.memory_growth('tap'):.2f} times."
        )
    if results.runs:
        yield (
            f"The fake API is not the bottleneck: it takes {results.api_cpu_per_page() * 1e3:.1f} ms of CPU for a "
            f"page of 500 and serves {results.api_rate:.0f} pages a second to a client that throws them away; the "
            f"fastest reader asked for {results.fastest_rate():.0f}."
        )
    if results.loads:
        rounds = sum(load.loader == "tap" for load in results.loads)
        yield (
            f"Times into PostgreSQL (medians, rounds: {rounds}) are those of the whole command, start-up "
            "included; all reach the same server on loopback, and all charges are counted there afterwards."
        )
    versions = ", ".join(f"{name} {version}" for name, version in sorted(results.versions.items()))
    yield (
        f"Python {where['python']}, {where['processors']} processors ({where['architecture']}, {where['system']}); "
        f"{versions}."
    )
    for name, why in results.left_out.items():
        yield f"Left out: {name} ({why.splitlines()[0][:200]})."
