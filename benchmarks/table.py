"""The results as Markdown, ratios first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.database import FIRST, NIGHTLY, NIGHTS
from benchmarks.database import SLOW as SLOW_LOAD
from benchmarks.race import SLOW, TENTH, THIRD, UNCLEAN, WHOLE, figures
from benchmarks.results import machine
from benchmarks.start_up import DISCOVERY, SDK
from benchmarks.start_up import TITLES as START_TITLES

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
        yield (
            f"Taking {results.loaded(FIRST).charges:,} charges into PostgreSQL: into an empty one, the same list again "
            "the night after, and again when 1 % of it has changed:"
        )
        yield _loaders(results)
        slow = results.loaded(SLOW_LOAD)
        milliseconds = f"{slow.latency * 1000:.0f} ms"
        yield f"Taking {slow.charges:,} charges into an empty PostgreSQL, {milliseconds} before each page:"
        yield _slow_loaders(results)
    if results.long_runs:
        yield f"Reading {results.long_run('tap', WHOLE).charges:,} charges in one run of tap-payments:"
        yield _long(results)
    if results.starts:
        yield "Starting, with nothing to read:"
        yield _starts(results)
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
    nights = [night for night in NIGHTS if night.name in NIGHTLY]
    head = [
        "",
        *(f"{night.title.capitalize()}, dlt = 1" for night in nights),
        "CPU without PostgreSQL's, first night",
        "Largest process",
    ]
    rows = [
        [
            results.titles[f"{name} into PostgreSQL"],
            *(
                f"**{results.load_ratio(name, night.name):.2f}** ({results.load_seconds(name, night.name):.1f} s)"
                for night in nights
            ),
            f"{results.load_cpu(name, FIRST):.1f} s",
            f"{results.load_peak(name):.0f} MB",
        ]
        for name in results.loaders(FIRST)
    ]
    return _table(head, rows)


def _slow_loaders(results: Results) -> str:
    rows = [
        [
            results.titles[f"{name} into PostgreSQL"],
            f"**{results.load_ratio(name, SLOW_LOAD):.2f}**",
            f"{results.load_seconds(name, SLOW_LOAD):.1f} s",
        ]
        for name in results.loaders(SLOW_LOAD)
    ]
    return _table(["", "Time, dlt = 1", "Time"], rows)


def _long(results: Results) -> str:
    rows = []
    for contender in sorted({run.contender for run in results.long_runs}):
        tenth, whole = (results.long_run(contender, leg) for leg in (TENTH, WHOLE))
        rows.append(
            [
                results.titles[f"{contender}, long"],
                f"{tenth.wall:.1f} s",
                f"{whole.wall:.1f} s",
                f"**{results.long_times(contender):.2f}**",
                f"{tenth.peak / 1e6:.0f} MB",
                f"{whole.peak / 1e6:.0f} MB",
                f"**{results.long_growth(contender):.2f}**",
                f"{whole.requests:,}",
            ]
        )
    charges = results.long_run("tap", TENTH).charges
    head = [
        "",
        f"Wall, {charges:,}",
        f"Wall, {charges * 10:,}",
        "CPU, times, start-up subtracted",
        f"Peak memory, {charges:,}",
        f"Peak memory, {charges * 10:,}",
        "Memory, times",
        "Requests",
    ]
    return _table(head, rows)


def _starts(results: Results) -> str:
    ratios = {SDK: 1.0, DISCOVERY: results.start_ratio()}
    rows = [
        [
            START_TITLES[name],
            f"**{ratio:.2f}**",
            f"{results.start_cpu(name):.2f} s",
            f"{results.start_seconds(name):.2f} s",
        ]
        for name, ratio in ratios.items()
    ]
    return _table(["", "CPU, the SDK = 1", "CPU", "Wall"], rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _notes(results: Results) -> Iterator[str]:
    where = machine()
    yield f"Made by `{results.command}`, which `make bench` runs."
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
    if figures(results.runs, "tap", UNCLEAN):
        tap, loop = (f"{results.microseconds(name, UNCLEAN):.0f} µs" for name in ("tap", "loop"))
        yield (
            "On records as the API sends them (an undeclared field in each, `[]` for an empty object in a third, one "
            f"second in ten shared) tap-payments takes **{results.ratio('tap', UNCLEAN):.2f}** times the CPU of the "
            f"bare loop: {tap} and {loop}. These ratios depend on the length of records and the processor's cache, so "
            "hold them against others of one machine and one hour only."
        )
    if figures(results.runs, "tap", THIRD):
        yield (
            f"tap-payments holds {results.peak('tap', THIRD):.0f} MB at {results.charges(THIRD):,} charges and "
            f"{results.peak('tap'):.0f} MB at {results.charges():,}: {results.memory_growth('tap'):.2f} times. "
            f"A list of which all records are of one second takes {results.tied_ratio():.2f} times the CPU."
        )
    if results.runs:
        yield (
            f"The fake API is not the bottleneck: it takes {results.api_cpu_per_page() * 1e3:.1f} ms of CPU for a "
            f"page of 500 and serves {results.api_rate:.0f} pages a second to a client that throws them away; the "
            f"fastest reader asked for {results.fastest_rate():.0f}."
        )
    if results.loads:
        rounds = sum((load.loader, load.night) == ("tap", FIRST) for load in results.loads)
        yield (
            f"Times into PostgreSQL (medians, rounds: {rounds}) are those of the whole command, start-up "
            "included; all reach the same server on loopback, and all charges are counted there after each run, those "
            "that have changed too. dlt keeps its folder from one night to the next, and PostgreSQL is vacuumed before "
            "each, which it does by itself within a day."
        )
    if results.long_runs:
        rounds = len(figures(results.long_runs, "tap", WHOLE))
        yield (
            f"The long lists are medians of {rounds} rounds. The INCREMENTAL run anchors its pages by time where the "
            "API answers no offset above 50,000."
        )
    if results.starts:
        yield f"Starts are medians of {len(results.starts) // 2} in turn."
    versions = ", ".join(f"{name} {version}" for name, version in sorted(results.versions.items()))
    yield (
        f"Python {where['python']}, {where['processors']} processors ({where['architecture']}, {where['system']}); "
        f"{versions}."
    )
    for name, why in results.left_out.items():
        yield f"Left out: {name} ({why.splitlines()[0][:200]})."
