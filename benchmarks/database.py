"""The same list taken into PostgreSQL, night after night: by Meltano with this tap, and by dlt."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import environments
from benchmarks.account import CHANGED, RECORDS_PER_CHANGE
from benchmarks.contenders import DLT, DLT_ENV, ROOT, USERNAME, Job, dlt_command
from benchmarks.environments import InstallError
from benchmarks.race import MissingRecordsError
from benchmarks.stopwatch import Usage, measure
from tests.support.meltano import MELTANO, Project
from tests.support.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.account import AccountServer

TAP, TARGET = "tap-payments", "target-postgres"
EXACT = "target-postgres-exact"
TARGET_PACKAGE = "meltanolabs-target-postgres"
SCHEMA: Final = "measured"
WARMING_UP = 1000
FIRST, SECOND, THIRD, SLOW = "first", "second", "third", "slow"
NIGHTLY = (FIRST, SECOND, THIRD)
TITLES = {
    "tap": f"`meltano run {TAP} {TARGET}`",
    "tap-8": "`meltano run`, `concurrency: 8`",
    "tap-plain": "`meltano run`, meltanolabs' own target",
    "dlt": "dlt, `rest_api`, merge on the key",
    "dlt-flat": "dlt, lists not in tables of their own",
}


@dataclass(frozen=True)
class Night:
    """One run of each way into PostgreSQL.

    Attributes:
        name: Its name in the raw results.
        title: Its name in the table.
        is_first: Whether PostgreSQL is empty before.
        changed: Whether 1 % of the list has changed since the night before.
        part: The list is the newest part of the whole one: that divided by so much.
        latency: Seconds before each page.
    """

    name: str
    title: str
    is_first: bool = False
    changed: bool = False
    part: int = 1
    latency: float = 0.0


NIGHTS = (
    Night(FIRST, "first night", is_first=True),
    Night(SECOND, "second night"),
    Night(THIRD, "1 % changed", changed=True),
    Night(SLOW, "200 ms a page", is_first=True, part=3, latency=0.2),
)


@dataclass(frozen=True)
class Loader:
    """One way to take the list into PostgreSQL.

    Attributes:
        name: Its name in the raw results.
        command: Makes the command, given the job.
        env: The variables that it runs with.
        cwd: Where it runs.
        nights: The nights it takes part in.
    """

    name: str
    command: Callable[[Job], list[str]]
    env: Mapping[str, str]
    cwd: Path
    nights: tuple[str, ...] = NIGHTLY


@dataclass(frozen=True)
class Load:
    """One run into PostgreSQL.

    Attributes:
        loader: Its name.
        night: The name of the night.
        charges: The length of the list.
        latency: Seconds before each page.
        wall: Seconds from start to end.
        cpu: Seconds of processor time of everything but PostgreSQL itself.
        peak: Bytes that the largest process had in memory at most.
    """

    loader: str
    night: str
    charges: int
    latency: float
    wall: float
    cpu: float
    peak: int


def loaders(url: str, postgres: Postgres, folder: Path) -> tuple[list[Loader], dict[str, str]]:
    """Install what is missing, and say how each way is started.

    Args:
        url: Where the API is.
        postgres: Where the list goes.
        folder: Where Meltano's project may be.

    Returns:
        The ways, and the versions of what they are made of.

    Raises:
        InstallError: If Meltano or dlt is not there.
    """
    if not MELTANO.exists():
        raise InstallError("Meltano and its plugins are not there: `make setup` installs them")
    dlt = environments.environment("bench-dlt", DLT)
    settings = {
        "TAP_PAYMENTS_BASE_URL": url,
        "TAP_PAYMENTS_USERNAME": USERNAME,
        "TAP_PAYMENTS__SELECT": json.dumps(["charges.*"]),
        **postgres.target_settings,
        "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": SCHEMA,
    }
    project, plain = Project(folder / "exact", settings), Project(folder / "plain", settings)
    text = plain.file.read_text(encoding="utf-8")
    plain.file.write_text(text.replace(f"executable: {EXACT}", f"executable: {TARGET}"), encoding="utf-8")
    address = f"postgresql://{postgres.user}:{postgres.password}@127.0.0.1:{postgres.port}/{postgres.database}"
    dlt_env = {**os.environ, **DLT_ENV}

    def load_command(job: Job, *more: str) -> list[str]:
        return [*dlt_command(dlt, "load", job), "--postgres", address, "--schema", SCHEMA, *more]

    def run_command(_: Job) -> list[str]:
        return [str(MELTANO), "run", TAP, TARGET]

    concurrent = {**project.environment, "TAP_PAYMENTS_CONCURRENCY": "8"}
    ways = [
        Loader("tap", run_command, project.environment, project.folder, (*NIGHTLY, SLOW)),
        Loader("tap-8", run_command, concurrent, project.folder, (SLOW,)),
        Loader("tap-plain", run_command, plain.environment, plain.folder),
        Loader("dlt", load_command, dlt_env, ROOT, (*NIGHTLY, SLOW)),
        Loader("dlt-flat", lambda job: load_command(job, "--no-child-tables"), dlt_env, ROOT),
    ]
    versions = {
        **environments.versions(dlt, "dlt"),
        **environments.versions(MELTANO.parent, "meltano"),
        **environments.versions(project.executable(TARGET).parent, TARGET_PACKAGE),
    }
    return ways, versions


@dataclass(frozen=True)
class Nights:
    """The nights of a loader, one after the other.

    Attributes:
        server: The fake API.
        postgres: Where its list goes.
        charges: The length of the list.
    """

    server: AccountServer
    postgres: Postgres
    charges: int

    def load_all(self, loader: Loader, report: Callable[[str], object]) -> list[Load]:
        """Load what the list holds in each night that a loader takes part in."""
        loads = []
        with ExitStack() as stack:
            for night in NIGHTS:
                if night.name not in loader.nights:
                    continue
                if night.is_first:
                    # Where the loader may keep files from one night to the next.
                    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                load = self._load(loader, night, folder)
                loads.append(load)
                report(f"{loader.name} into PostgreSQL, {night.title}: {load.wall:.1f} s, {load.cpu:.1f} s CPU")
        return loads

    def _load(self, loader: Loader, night: Night, folder: Path) -> Load:
        charges = self.charges // night.part
        self.server.serve(charges, night.latency, changed=night.changed)
        with self.postgres.connect() as connection:
            for schema in (SCHEMA, f"{SCHEMA}_staging") if night.is_first else ():
                connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            # Within a day PostgreSQL does this by itself; within a minute it would do it beside the next run.
            connection.execute("VACUUM (ANALYZE)")
            connection.execute("CHECKPOINT")
        usage: Usage = measure(loader.command(Job(self.server.url, folder)), env=loader.env, cwd=loader.cwd)
        counts = "count(*), count(DISTINCT charge_id), count(*) FILTER (WHERE description = %s)"
        with self.postgres.connect() as connection:
            found = connection.execute(f"SELECT {counts} FROM {SCHEMA}.charges", [CHANGED]).fetchone()
        if found != (charges, charges, ceil(charges / RECORDS_PER_CHANGE) if night.changed else 0):
            raise MissingRecordsError(f"{loader.name}, {night.title}: {found} of {charges} charges are in PostgreSQL")
        return Load(loader.name, night.name, charges, night.latency, usage.wall, usage.cpu, usage.peak)


def load_race(
    server: AccountServer, charges: int, rounds: int, report: Callable[[str], object]
) -> tuple[list[Load], dict[str, str]]:
    """Measure the ways into PostgreSQL in turn, after a short run of each that warms it up.

    Returns:
        What each run cost, and the versions of what took part.

    Raises:
        InstallError: If Meltano or dlt is not there.
    """
    with tempfile.TemporaryDirectory() as folder:
        # Root's PostgreSQL runs as somebody else, who has to get in.
        Path(folder).chmod(0o755)
        with Postgres(Path(folder, "postgres")) as postgres:
            ways, versions = loaders(server.url, postgres, Path(folder, "project"))
            with postgres.connect() as connection:
                version = connection.execute("SHOW server_version").fetchone()
            for loader in ways:
                Nights(server, postgres, min(charges, WARMING_UP)).load_all(loader, lambda _: None)
            loads = []
            for number in range(rounds):
                report(f"round {number + 1} into PostgreSQL")
                for loader in ways:
                    loads += Nights(server, postgres, charges).load_all(loader, report)
            return loads, {**versions, "PostgreSQL": str((version or ["unknown"])[0])}
