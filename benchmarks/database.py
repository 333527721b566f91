"""The same list taken into PostgreSQL: by Meltano with this tap, and by dlt."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import environments
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
TITLES = {
    "tap": f"`meltano run {TAP} {TARGET}`",
    "tap-plain": "the same, with the target as meltanolabs make it",
    "dlt": "dlt, `rest_api`, merge on the key",
    "dlt-flat": "dlt, lists not in tables of their own",
}


@dataclass(frozen=True)
class Loader:
    """One way to take the list into PostgreSQL.

    Attributes:
        name: Its name in the raw results.
        command: Makes the command, given the job.
        env: The variables that it runs with.
        cwd: Where it runs.
    """

    name: str
    command: Callable[[Job], list[str]]
    env: Mapping[str, str]
    cwd: Path


@dataclass(frozen=True)
class Load:
    """One run into PostgreSQL.

    Attributes:
        loader: Its name.
        charges: The length of the list.
        wall: Seconds from start to end.
        cpu: Seconds of processor time of everything but PostgreSQL itself.
        peak: Bytes that the largest process had in memory at most.
    """

    loader: str
    charges: int
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
    dlt = environments.environment("dlt", DLT)
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

    ways = [
        *(
            Loader(name, lambda _: [str(MELTANO), "run", TAP, TARGET], meltano.environment, meltano.folder)
            for name, meltano in (("tap", project), ("tap-plain", plain))
        ),
        Loader("dlt", load_command, dlt_env, ROOT),
        Loader("dlt-flat", lambda job: load_command(job, "--no-child-tables"), dlt_env, ROOT),
    ]
    versions = {
        **environments.versions(dlt, "dlt"),
        **environments.versions(MELTANO.parent, "meltano"),
        **environments.versions(project.executable(TARGET).parent, TARGET_PACKAGE),
    }
    return ways, versions


def load_once(server: AccountServer, postgres: Postgres, loader: Loader, charges: int) -> Load:
    """Take a list into an empty database.

    Raises:
        MissingRecordsError: If not every charge is there afterwards.
    """
    server.serve(charges)
    with postgres.connect() as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA}_staging CASCADE")
    with tempfile.TemporaryDirectory() as folder:
        job = Job(server.url, Path(folder))
        usage: Usage = measure(loader.command(job), env=loader.env, cwd=loader.cwd)
    with postgres.connect() as connection:
        found = connection.execute(f"SELECT count(*), count(DISTINCT charge_id) FROM {SCHEMA}.charges").fetchone()
    if found != (charges, charges):
        raise MissingRecordsError(f"{loader.name}: {found} of {charges} charges are in PostgreSQL")
    return Load(loader.name, charges, usage.wall, usage.cpu, usage.peak)


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
                load_once(server, postgres, loader, min(charges, WARMING_UP))
            loads = []
            for number in range(rounds):
                for loader in ways:
                    load = load_once(server, postgres, loader, charges)
                    loads.append(load)
                    report(
                        f"round {number + 1}, {loader.name} into PostgreSQL: {load.wall:.1f} s, {load.cpu:.1f} s CPU"
                    )
            return loads, {**versions, "PostgreSQL": str((version or ["unknown"])[0])}
