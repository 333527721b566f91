"""An Airflow of one's own: a scheduler, the API that tasks talk to, and, with Celery, a broker and workers."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import psycopg

from tests.support.meltano import MELTANO, ROOT
from tests.support.postgres import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

    from tests.support.postgres import Postgres

ENVIRONMENT = ROOT / ".venvs" / "airflow"
PROGRAMS = ENVIRONMENT / "bin"
DAGS = ROOT / "orchestrate" / "dags"
DAG = "payments"
DATABASE = "airflow"
SECONDS_TO_START = 300
SECONDS_TO_STOP = 15
SECONDS_TO_RUN = 600
# What may lead Airflow, Meltano or the plugins astray, where it is the caller's. `PAYMENTS_TEST_RUN` stays: it finds
# what a run of the tests leaves behind.
FOREIGN = (
    *("AIRFLOW", "MELTANO_", "PAYMENTS_ACCOUNTS", "PAYMENTS_RETR"),
    *("PG", "TAP_PAYMENTS_", "TARGET_", "VIRTUAL_ENV"),
)
ENDED = ("success", "failed")


class AirflowError(Exception):
    """Airflow does not do as it should; the text is what it wrote, or where that is."""


@dataclass(frozen=True)
class TaskRun:
    """How a task went: its state, how often it was tried, and when its last try began and ended."""

    state: str | None
    tries: int
    begun: Any
    ended: Any


class Airflow:
    """An Airflow with the project's DAG, all of its own in one folder and one database.

    Args:
        folder: The folder.
        postgres: The server of its database, which is made anew.
        settings: Environment variables for it, and so for its tasks.
    """

    def __init__(self, folder: Path, postgres: Postgres, settings: Mapping[str, str]) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        with postgres.connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{DATABASE}" WITH (FORCE)'.encode())
            connection.execute(f'CREATE DATABASE "{DATABASE}"'.encode())
        self._address = f"{postgres.user}:{postgres.password}@127.0.0.1:{postgres.port}/{DATABASE}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._port = free_port()
        ours = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self.environment = {
            **ours,
            "PATH": os.pathsep.join([str(PROGRAMS), ours.get("PATH", os.defpath), str(MELTANO.parent)]),
            "NO_COLOR": "1",
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self._port}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg://{self._address}",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+psycopg://{self._address}",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            **settings,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, *words: str | Path, settings: Mapping[str, str] | None = None) -> str:
        """Run one of the programs beside Airflow's to its end and return its output to stdout.

        Raises:
            AirflowError: If it ends with an error.
        """
        ended = subprocess.run(
            [PROGRAMS / words[0], *words[1:]],
            cwd=self.folder,
            env={**self.environment, **(settings or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=SECONDS_TO_RUN,
            check=False,
        )
        if ended.returncode != 0:
            raise AirflowError(f"{words} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}")
        return ended.stdout

    def describe(self, settings: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return what Airflow reads in the folder of the DAGs."""
        file = self.folder / "described.json"
        self.run("python", Path(__file__).with_name("describe.py"), DAGS, file, settings=settings)
        described: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return described

    def prepare(self) -> None:
        """Make the database, and what the scheduler knows of the DAG."""
        self.run("airflow", "db", "migrate")
        self.run("airflow", "dags", "reserialize")

    def start(self) -> None:
        """Start the scheduler, and the API that its tasks talk to.

        Raises:
            AirflowError: If they do not start.
        """
        self._start("api-server", "--apps", "execution", "--host", "127.0.0.1", "--port", str(self._port))
        self._start("scheduler")
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline and all(process.poll() is None for process in self._processes):
            with suppress(URLError, OSError), urlopen(f"http://127.0.0.1:{self._port}/execution/health", timeout=30):
                return
            time.sleep(0.2)
        raise AirflowError(f"Airflow does not start; its logs are {self.folder}/*.log")

    def start_worker(self, name: str, *, slots: int, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a worker of Celery's with settings of its own, in a folder and a process group of its own."""
        home = self.folder / name
        home.mkdir()
        return self._start(
            *("celery", "worker", "--celery-hostname", f"{name}@%h", "--concurrency", str(slots), "--skip-serve-logs"),
            name=name,
            settings={**settings, "AIRFLOW_HOME": str(home)},
        )

    def components(self) -> dict[str, int]:
        """Return the process ids of what was started, by name."""
        return {str(process.args[1]): process.pid for process in self._processes if isinstance(process.args, list)}

    def forget(self, process: subprocess.Popen[bytes]) -> None:
        """Expect one of the processes that were started to be gone."""
        self._processes.remove(process)

    def stop(self) -> None:
        """Stop what was started, and all that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self._processes:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, number)
            for process in self._processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(SECONDS_TO_STOP)
        self._processes.clear()

    def unpause(self) -> str:
        """Let the DAG run, which it does at once, as its last time has passed; return the name of that run."""
        self.run("airflow", "dags", "unpause", "--yes", DAG)
        wait_until(lambda: bool(self.runs()), "no run begins")
        (run,) = self.runs()
        return run

    def trigger(self, run: str) -> None:
        """Begin a run, whether or not another one still goes on."""
        self.run("airflow", "dags", "trigger", "--run-id", run, DAG)

    def runs(self) -> dict[str, str]:
        """Return the states of the runs of the DAG, by name."""
        return dict(self.ask("SELECT run_id, state FROM dag_run WHERE dag_id = %s", DAG))

    def wait_for(self, run: str) -> str:
        """Wait for the end of a run and return its state.

        Raises:
            AirflowError: If it does not end.
        """
        deadline = time.monotonic() + SECONDS_TO_RUN
        while time.monotonic() < deadline and all(process.poll() is None for process in self._processes):
            if (state := self.runs()[run]) in ENDED:
                return state
            time.sleep(0.5)
        raise AirflowError(f"{run} does not end: {self.tasks(run)}; the logs are in {self.folder}")

    def tasks(self, run: str) -> dict[str, TaskRun]:
        """Return how the tasks of a run go, by the name that Airflow shows: of a mapped task, the account's."""
        columns = "coalesce(rendered_map_index, task_id), state, try_number, start_date, end_date"
        rows = self.ask(f"SELECT {columns} FROM task_instance WHERE dag_id = %s AND run_id = %s", DAG, run)
        return {task: TaskRun(*facts) for task, *facts in rows}

    def log(self, run: str, task: str) -> str:
        """Return what the tries of a task of a run wrote."""
        query = "SELECT task_id, map_index FROM task_instance WHERE dag_id = %s AND run_id = %s"
        query += " AND coalesce(rendered_map_index, task_id) = %s"
        ((name, index),) = self.ask(query, DAG, run, task)
        folder = f"logs/dag_id={DAG}/run_id={run}/task_id={name}" + (f"/map_index={index}" if index >= 0 else "")
        return "".join(file.read_text("utf-8") for file in sorted(self.folder.glob(f"**/{folder}/attempt=*.log")))

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask Airflow's own database, which is quicker by seconds than to ask Airflow."""
        with closing(psycopg.connect(f"postgresql://{self._address}", autocommit=True)) as database:
            return database.execute(query.encode(), values or None).fetchall()

    def _start(self, *words: str, name: str = "", settings: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name or words[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [PROGRAMS / "airflow", *words],
                cwd=self.folder,
                env={**self.environment, **(settings or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process


def is_alive(process: int | psutil.Process) -> bool:
    """Return whether a process, or the one of an id, runs."""
    with suppress(psutil.NoSuchProcess):
        running = psutil.Process(process) if isinstance(process, int) else process
        return bool(running.status() != psutil.STATUS_ZOMBIE)
    return False


def wait_until(condition: Callable[[], bool], otherwise: str, seconds: float = SECONDS_TO_RUN) -> None:
    """Wait until a condition holds.

    Raises:
        AirflowError: If it does not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AirflowError(otherwise)
        time.sleep(0.2)
