"""Measure the tap beside its peers: `python -m benchmarks`.

The peers are installed into environments of their own, under `.venvs/`. A whole run takes about an hour and, for its
longest list, 4 GB of memory; its ratios are worth quoting where nothing else wants the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

from benchmarks import environments
from benchmarks.account import AccountServer
from benchmarks.chart import chart
from benchmarks.contenders import MAKERS, Contender, long_readers
from benchmarks.database import TITLES, Load, load_race
from benchmarks.environments import InstallError
from benchmarks.race import (
    SLOW,
    START_UP,
    TENTH,
    THIRD,
    TIED,
    UNCLEAN,
    WHOLE,
    Leg,
    Run,
    api_rate,
    load_average,
    race,
    rehearse,
)
from benchmarks.results import Results
from benchmarks.start_up import Start, starts
from benchmarks.table import markdown

DOCS = Path(__file__).parents[1] / "docs"
LATENCY = 0.2
SLOW_ROUNDS = 3
OWN_PACKAGES = ("msgspec", "requests", "singer-sdk")
POSTGRES, LONG, STARTS = "postgres", "long", "start-up"
QUICK_CHARGES, QUICK_LONG, QUICK_ROUNDS = 12_000, 60_000, 2


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--charges", type=int, default=120_000, help="charges to read (%(default)s)")
    parser.add_argument("--loaded", type=int, default=100_000, help="charges to take into PostgreSQL (%(default)s)")
    parser.add_argument("--long", type=int, default=1_000_000, help="charges of the longest list (%(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="rounds (%(default)s)")
    parser.add_argument("--loads", type=int, default=3, help="rounds into PostgreSQL (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="see that it works: a few charges, two rounds")
    choices = [*MAKERS, POSTGRES, LONG, STARTS]
    parser.add_argument("--only", nargs="+", choices=choices, default=choices, help="what to measure; all by default")
    parser.add_argument("--out", type=Path, default=DOCS / "benchmarks.md", help="the table; the raw figures beside it")
    parser.add_argument("--chart", type=Path, default=DOCS / "benchmarks.svg", help="the picture")
    given = parser.parse_args(argv)
    if given.quick:
        given.charges, given.loaded, given.long = QUICK_CHARGES, QUICK_CHARGES, QUICK_LONG
        given.runs = given.loads = QUICK_ROUNDS
    if set(given.only) - {POSTGRES, LONG, STARTS} and "loop" not in given.only:
        # All others are held against it.
        given.only = ["loop", *given.only]
    return given


def legs(charges: int, rounds: int) -> list[Leg]:
    """Return the measurements of each contender."""
    return [
        Leg(START_UP, 0, rounds=rounds),
        Leg(WHOLE, charges, rounds=rounds),
        Leg(UNCLEAN, charges, rounds=rounds, only=("loop", "tap"), unclean=True),
        Leg(THIRD, charges // 3, rounds=rounds, only=("tap",)),
        Leg(TIED, charges // 3, rounds=rounds, only=("tap",), tied=True),
        Leg(SLOW, charges // 3, LATENCY, rounds=min(rounds, SLOW_ROUNDS)),
    ]


def long_legs(charges: int, rounds: int) -> list[Leg]:
    """Return the measurements of the longest list."""
    rounds = min(rounds, SLOW_ROUNDS)
    return [
        Leg(START_UP, 0, rounds=rounds),
        Leg(TENTH, charges // 10, rounds=rounds),
        Leg(WHOLE, charges, rounds=rounds),
    ]


def report(text: str) -> None:
    """Log a measurement."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def gather(names: list[str]) -> tuple[list[Contender], dict[str, str]]:
    """Install the contenders.

    Returns:
        Those that are there, and why the others are not.
    """
    contenders, left_out = [], {}
    for name in names:
        try:
            contenders.append(MAKERS[name]())
        except InstallError as error:
            left_out[name] = str(error)
            report(f"{name} is left out: {error}")
    return contenders, left_out


def main() -> int:
    """Measure, and write table, picture and raw figures."""
    given = arguments()
    load = load_average()
    contenders, left_out = gather([name for name in MAKERS if name in given.only])
    versions = environments.versions(environments.own_programs(), *OWN_PACKAGES)
    versions |= {name: version for one in contenders for name, version in one.versions.items()}
    runs: list[Run] = []
    long_runs: list[Run] = []
    loads: list[Load] = []
    found_starts: list[Start] = starts(given.runs, report) if STARTS in given.only else []
    with AccountServer(max(given.charges, given.loaded)) as server:
        rate = api_rate(server, given.charges)
        report(f"the fake API serves {rate:.0f} pages a second")
        contenders, failed = rehearse(server, contenders, given.charges, report)
        if contenders:
            runs = race(server, contenders, legs(given.charges, given.runs), report)
        if POSTGRES in given.only:
            try:
                loads, versions_of_loads = load_race(server, given.loaded, given.loads, report)
                versions |= versions_of_loads
            except InstallError as error:
                left_out[POSTGRES] = str(error)
                report(f"PostgreSQL is left out: {error}")
    if LONG in given.only:
        with AccountServer(given.long) as server:
            long_runs = race(server, long_readers(), long_legs(given.long, given.runs), report)
    titles = {one.name: one.title for one in contenders}
    titles |= {f"{name} into PostgreSQL": title for name, title in TITLES.items()}
    titles |= {f"{one.name}, long": one.title for one in long_readers()}
    results = Results(
        command=shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        titles=titles,
        versions=versions,
        runs=runs,
        long_runs=long_runs,
        loads=loads,
        starts=found_starts,
        api_rate=rate,
        left_out={**left_out, **failed},
        load_average=load,
    )
    given.out.write_text(markdown(results), encoding="utf-8")
    given.out.with_suffix(".json").write_text(json.dumps(results.to_dict(), indent=1) + "\n", encoding="utf-8")
    given.chart.write_text(chart(results), encoding="utf-8")
    print(markdown(results))  # noqa: T201 - what was asked for
    return 0


if __name__ == "__main__":
    sys.exit(main())
