"""Measure what many accounts cost: `python -m tests.airflow.scale`, for the figures in docs/many-accounts.md.

It takes about a quarter of an hour on two cores. Loads of a real account are measured one by one. What Airflow adds to
each is measured with lists of 1,000 and 10,000 accounts and a `meltano` that does nothing.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import yaml

from tests.airflow.deployment import DAGS, PROGRAMS, Airflow, wait_until
from tests.fake_api import FakeAPI, make_account
from tests.support.meltano import MELTANO, ROOT, Project
from tests.support.postgres import Postgres

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / ".run" / "scale"
SLOTS = 8
LOADS = 10
READ = "import time, payments_accounts as p; t = time.process_time(); p.read_entries(); print(time.process_time() - t)"
PARSE = """
import logging, sys, time
from airflow.dag_processing.dagbag import DagBag
import airflow.providers.standard.operators.bash, airflow.providers.standard.operators.python
logging.disable()
sys.path.insert(0, sys.argv[1])
begun = time.process_time()
bag = DagBag(sys.argv[1])
print(time.process_time() - begun, len(bag.dags), len(bag.import_errors), file=sys.stderr)
"""


def say(line: str) -> None:
    """Print a figure."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def list_of(count: int) -> Path:
    """Write a list of so many accounts and return its file."""
    file = FOLDER / f"accounts-{count}.yml"
    accounts = [{"name": f"account_{n:05}", "username_variable": "KEY"} for n in range(count)]
    defaults = {"extractor": "tap-payments--chargedesk-incremental", "loader": "target-postgres"}
    file.write_text(yaml.safe_dump({"defaults": defaults, "accounts": accounts}), encoding="utf-8")
    return file


def cpu_of_tree(pid: int) -> float:
    """Return the seconds of CPU that a process, all that it started, and what of that has ended have spent."""
    process = psutil.Process(pid)
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def measure_lists() -> None:
    """Measure the reading of the list, and that of the DAG."""
    for count in (100, 1_000, 10_000):
        settings = {**os.environ, "PAYMENTS_ACCOUNTS": str(list_of(count)), "PYTHONPATH": str(DAGS)}
        seconds = [
            float(subprocess.check_output([PROGRAMS / "python", "-c", READ], env=settings, text=True)) for _ in range(3)
        ]
        say(f"reading a list of {count} accounts: {sorted(seconds)[1]:.3f} s of CPU")
        settings |= {"AIRFLOW_HOME": str(FOLDER / "parse"), "AIRFLOW__CORE__LOAD_EXAMPLES": "false"}
        command = [str(PROGRAMS / "python"), "-c", PARSE, str(DAGS)]
        parsed = [
            subprocess.run(command, env=settings, capture_output=True, text=True, check=True).stderr.split()[-3:]
            for _ in range(3)
        ]
        assert all(facts[1:] == ["1", "0"] for facts in parsed), parsed
        seconds = sorted(float(facts[0]) for facts in parsed)
        say(f"parsing the DAG with a list of {count} accounts: {seconds[1]:.3f} s of CPU")


def measure_loads(postgres: Postgres, database: str) -> None:
    """Measure whole loads of a small account, under its lock, after a first one."""
    account = make_account(charges=1_000, customers=100, products=10, subscriptions=100, seed=1, php=True)
    with FakeAPI(account, provider="chargedesk", username="key") as api:
        settings = {
            "MELTANO_DATABASE_URI": database,
            "TAP_PAYMENTS_BASE_URL": api.url,
            "TAP_PAYMENTS_USERNAME": "key",
            "TAP_PAYMENTS_PASSWORD": "",
            "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": "scale",
            **postgres.target_settings,
        }
        project = Project(FOLDER / "meltano", settings)
        environment = {**project.environment, "PATH": f"{MELTANO.parent}{os.pathsep}{os.environ['PATH']}"}
        locked = [str(MELTANO.with_name("python")), str(DAGS / "payments_lock.py"), "scale"]

        def cpu_of(command: list[str], times: int) -> float:
            """Run a command so many times and return the seconds of CPU that each takes."""
            begun = resource.getrusage(resource.RUSAGE_CHILDREN)
            for _ in range(times):
                subprocess.run(
                    [*locked, *command], cwd=project.folder, env=environment, check=True, capture_output=True
                )
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
            return (ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime) / times

        for extractor in ("tap-payments--chargedesk-incremental", "tap-payments--chargedesk"):
            load = ["meltano", "el", extractor, "target-postgres", "--state-id", "scale"]
            say(f"{extractor}, first load: {cpu_of(load, 1):.2f} s of CPU")
            before, begun, peak = len(api.requests), time.monotonic(), Peak()
            with peak:
                seconds = cpu_of(load, LOADS)
            wall, requests = (time.monotonic() - begun) / LOADS, (len(api.requests) - before) / LOADS
            say(
                f"{extractor}, later loads: {seconds:.2f} s of CPU, {wall:.1f} s, {requests:.0f} requests, "
                f"{peak.megabytes:.0f} MB at most"
            )
        say(f"the lock alone: {cpu_of(['true'], LOADS):.2f} s of CPU")


class Peak:
    """The most memory that what this process started holds at once: proportional set sizes, in MB."""

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.3):
            total = 0
            for one in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    if "postgres" not in one.name():
                        total += one.memory_full_info().pss
            self.megabytes = max(self.megabytes, total / 1e6)


def measure_airflow(postgres: Postgres, database: str, count: int, enough: int) -> None:
    """Measure what Airflow spends on each account of a list, until so many are done."""
    programs = FOLDER / "programs"
    programs.mkdir(exist_ok=True)
    for name, line in (("meltano", "exit 0"), ("python", f'exec {MELTANO.with_name("python")} "$@"')):
        (programs / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    settings = {
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": str(SLOTS),
        "AIRFLOW__CORE__MAX_MAP_LENGTH": str(count),
        "AIRFLOW__CORE__PARALLELISM": str(SLOTS),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "KEY": "key",
        "MELTANO_DATABASE_URI": database,
        "PAYMENTS_ACCOUNTS": str(list_of(count)),
    }
    with Airflow(FOLDER / f"airflow-{count}", postgres, settings) as airflow:
        airflow.environment["PATH"] = f"{programs}{os.pathsep}{airflow.environment['PATH']}"
        airflow.prepare()
        airflow.start()
        airflow.unpause()
        listed = "SELECT count(*) FROM task_instance WHERE task_id = 'load'"
        done = f"{listed} AND state = 'success'"

        def count_of(query: str) -> int:
            return int(airflow.ask(query)[0][0])

        wait_until(lambda: count_of(done) >= SLOTS, "no task is done", 1_200)
        (begun,) = airflow.ask("SELECT end_date FROM task_instance WHERE task_id = 'accounts'")[0]
        (first,) = airflow.ask("SELECT min(start_date) FROM task_instance WHERE task_id = 'load'")[0]
        say(f"{count} accounts: the first begins {(first - begun).total_seconds():.0f} s after the list is read")
        server = int((postgres.folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])
        components = {**airflow.components(), "PostgreSQL": server}
        before = {name: cpu_of_tree(pid) for name, pid in components.items()}
        done_before, since = count_of(done), time.monotonic()
        wait_until(lambda: count_of(done) >= enough, "too slow", 3_600)
        tasks, wall = count_of(done) - done_before, time.monotonic() - since
        spent = {name: cpu_of_tree(pid) - before[name] for name, pid in components.items()}
        parts = ", ".join(f"{name} {seconds / tasks:.2f}" for name, seconds in spent.items())
        say(f"{count} accounts: {tasks} tasks in {wall:.0f} s with {SLOTS} slots; s of CPU a task: {parts}")


def main() -> None:
    """Measure all."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    say(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    measure_lists()
    with Postgres(FOLDER / "postgres") as postgres:
        database = (
            f"postgresql+psycopg://{postgres.user}:{postgres.password}@127.0.0.1:{postgres.port}/{postgres.database}"
        )
        measure_loads(postgres, database)
        measure_airflow(postgres, database, 1_000, 250)
        measure_airflow(postgres, database, 10_000, 150)


if __name__ == "__main__":
    main()
