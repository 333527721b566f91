"""All that a run of the benchmarks found, and what it comes to."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from benchmarks.race import SLOW, START_UP, TENTH, THIRD, TIED, WHOLE, Run, cpu_per_record, figures, middle, ratios
from benchmarks.start_up import DISCOVERY, SDK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.database import Load
    from benchmarks.start_up import Start


@dataclass(frozen=True)
class Results:
    """Every figure of every run.

    Attributes:
        command: What made it.
        titles: The title of each contender and loader.
        versions: The version of each package that took part.
        runs: The readings of the list.
        long_runs: This tap's readings of the longest list.
        loads: The runs into PostgreSQL.
        starts: What loading the SDK and discovery took.
        api_rate: Full pages a second that the fake API serves to a client that throws them away.
        left_out: What could not be installed or does not work, and why.
        load_average: Processes that wanted a processor when the run began.
    """

    command: str
    titles: Mapping[str, str]
    versions: Mapping[str, str]
    runs: list[Run]
    long_runs: list[Run]
    loads: list[Load]
    starts: list[Start]
    api_rate: float
    left_out: Mapping[str, str]
    load_average: float

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, with the machine, as JSON takes it."""
        return {
            "command": self.command,
            "made": datetime.now(tz=timezone.utc).isoformat(timespec="seconds"),
            "machine": machine(),
            "load_average": self.load_average,
            "versions": dict(self.versions),
            "left_out": dict(self.left_out),
            "api_pages_per_second": self.api_rate,
            "runs": [asdict(run) for run in self.runs],
            "long_runs": [asdict(run) for run in self.long_runs],
            "loads": [asdict(load) for load in self.loads],
            "starts": [asdict(start) for start in self.starts],
        }

    def ratio(self, contender: str, leg: str = WHOLE) -> float:
        """Return the processor time of a record over that of the bare loop: the median of the rounds."""
        return middle(ratios(self.runs, contender, leg))

    def microseconds(self, contender: str, leg: str = WHOLE) -> float:
        """Return the processor time of a record, start-up subtracted."""
        return middle(cpu_per_record(self.runs, contender, leg)) * 1e6

    def wall(self, contender: str, leg: str = WHOLE) -> float:
        """Return the seconds from start to end."""
        return middle(run.wall for run in figures(self.runs, contender, leg))

    def peak(self, contender: str, leg: str = WHOLE) -> float:
        """Return the megabytes in memory at most."""
        return middle(run.peak for run in figures(self.runs, contender, leg)) / 1e6

    def requests(self, contender: str) -> int:
        """Return the most requests that a run sent."""
        return max((run.requests for run in figures(self.runs, contender, WHOLE)), default=0)

    def api_cpu_per_page(self) -> float:
        """Return the seconds of processor time that the fake API took for a page."""
        whole = [run for run in self.runs if run.leg == WHOLE and run.requests]
        return middle(run.api_cpu / run.requests for run in whole)

    def fastest_rate(self) -> float:
        """Return the most pages a second that any contender asked for."""
        return max((run.requests / run.wall for run in self.runs if run.leg == WHOLE), default=0.0)

    def load_seconds(self, loader: str, night: str) -> float:
        """Return the seconds of a run into PostgreSQL."""
        return middle(load.wall for load in self._loads(loader, night))

    def load_cpu(self, loader: str, night: str) -> float:
        """Return the seconds of processor time of a run into PostgreSQL, without PostgreSQL's own."""
        return middle(load.cpu for load in self._loads(loader, night))

    def load_peak(self, loader: str) -> float:
        """Return the megabytes that the largest process of any night had in memory at most."""
        return max(load.peak for load in self.loads if load.loader == loader) / 1e6

    def load_ratio(self, loader: str, night: str, base: str = "dlt") -> float:
        """Return the time of a run into PostgreSQL over that of another, round by round."""
        pairs = zip(self._loads(loader, night), self._loads(base, night), strict=True)
        return middle(one.wall / other.wall for one, other in pairs)

    def loaders(self, night: str) -> list[str]:
        """Return the loaders that took part in a night, the fastest first."""
        names = {load.loader for load in self.loads if load.night == night}
        return sorted(names, key=lambda name: self.load_seconds(name, night))

    def loaded(self, night: str) -> Load:
        """Return one run of a night, for what holds for all."""
        return next(load for load in self.loads if load.night == night)

    def _loads(self, loader: str, night: str) -> list[Load]:
        return [load for load in self.loads if (load.loader, load.night) == (loader, night)]

    def start_seconds(self, command: str) -> float:
        """Return the seconds of a start."""
        return middle(start.wall for start in self.starts if start.command == command)

    def start_cpu(self, command: str) -> float:
        """Return the seconds of processor time of a start."""
        return middle(start.cpu for start in self.starts if start.command == command)

    def start_ratio(self) -> float:
        """Return the processor time of discovery over that of loading the SDK, pair by pair."""
        cpu = {name: [start.cpu for start in self.starts if start.command == name] for name in (DISCOVERY, SDK)}
        return middle(one / other for one, other in zip(cpu[DISCOVERY], cpu[SDK], strict=True))

    def long_run(self, contender: str, leg: str) -> Run:
        """Return the run over a part of the longest list that took the median time."""
        runs = sorted(figures(self.long_runs, contender, leg), key=lambda run: run.wall)
        return runs[len(runs) // 2]

    def long_growth(self, contender: str) -> float:
        """Return the memory at the longest list over that at a tenth of it."""
        return middle(
            whole.peak / tenth.peak
            for whole, tenth in zip(
                figures(self.long_runs, contender, WHOLE), figures(self.long_runs, contender, TENTH), strict=True
            )
        )

    def long_times(self, contender: str) -> float:
        """Return the processor time of the longest list over that of a tenth of it, start-up subtracted."""
        start_up, tenth, whole = (figures(self.long_runs, contender, leg) for leg in (START_UP, TENTH, WHOLE))
        return middle(
            (long.cpu - none.cpu) / (short.cpu - none.cpu)
            for none, short, long in zip(start_up, tenth, whole, strict=True)
        )

    def charges(self, leg: str = WHOLE) -> int:
        """Return the length of the list of a leg."""
        return next((run.charges for run in self.runs if run.leg == leg), 0)

    def latency(self) -> float:
        """Return the seconds before each page where there were any."""
        return next((run.latency for run in self.runs if run.leg == SLOW), 0.0)

    def tied_ratio(self) -> float:
        """Return the tap's CPU for a list of one second over that for one of as many seconds, start-up subtracted."""
        start_up, apart, tied = (figures(self.runs, "tap", leg) for leg in (START_UP, THIRD, TIED))
        triples = zip(start_up, apart, tied, strict=True)
        return middle((two.cpu - none.cpu) / (one.cpu - none.cpu) for none, one, two in triples)

    def memory_growth(self, contender: str) -> float:
        """Return the memory at the whole list over that at a third of it."""
        return self.peak(contender) / self.peak(contender, THIRD)


def machine() -> dict[str, Any]:
    """Describe the machine in as many words as a reader needs."""
    return {
        "processors": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }
