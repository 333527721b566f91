"""An Airflow of one's own: a scheduler whose LocalExecutor runs tasks side by side, and the API that they talk to."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

from tests.support.meltano import MELTANO, ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

PROGRAMS = ROOT / ".venvs" / "airflow" / "bin"
DAGS = ROOT / "orchestrate" / "dags"
SECONDS_TO_START = 120
SECONDS_TO_STOP = 15
SECONDS_TO_RUN = 400
# What may lead Airflow, Meltano or the plugins astray, where it is the caller's.
FOREIGN = ("AIRFLOW", "MELTANO_", "PAYMENTS_", "PG", "TAP_PAYMENTS_", "TARGET_", "VIRTUAL_ENV")
ENDED = ("success", "failed")


class AirflowError(Exception):
    """Airflow does not do as it should; the text is what it wrote, or where that is."""


@dataclass(frozen=True)
class TaskRun:
    """How a task went: its state, how often it was tried, and when its last try began and ended, in ISO 8601."""

    state: str
    tries: int
    begun: str
    ended: str


class Airflow:
    """An Airflow with the project's DAGs, all of its own in one folder.

    Args:
        folder: The folder.
        settings: Environment variables for it, and so for its tasks.
        side_by_side: How many tasks may run at once.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str], *, side_by_side: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._port = _free_port()
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
            "AIRFLOW__CORE__PARALLELISM": str(side_by_side),
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
        """Make the database, the pools, and what the scheduler knows of the DAGs."""
        self.run("airflow", "db", "migrate")
        pools = self.folder / "pools.json"
        pools.write_text(self.run("python", DAGS / "payments_accounts.py"), encoding="utf-8")
        self.run("airflow", "pools", "import", pools)
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
            with suppress(URLError, OSError), urlopen(f"http://127.0.0.1:{self._port}/execution/health", timeout=5):
                return
            time.sleep(0.2)
        raise AirflowError(f"Airflow does not start; its logs are {self.folder}/*.log")

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

    def unpause(self, dag: str) -> str:
        """Let a DAG run, which it does at once, as its last time has passed; return the state in which that run ended.

        Raises:
            AirflowError: If it does not end.
        """
        self.run("airflow", "dags", "unpause", "--yes", dag)
        deadline = time.monotonic() + SECONDS_TO_RUN
        while time.monotonic() < deadline and all(process.poll() is None for process in self._processes):
            for (state,) in self._ask("SELECT state FROM dag_run WHERE dag_id = ?", dag):
                if state in ENDED:
                    return str(state)
            time.sleep(0.5)
        raise AirflowError(f"{dag} does not end: {self.tasks(dag)}; the logs are in {self.folder}")

    def tasks(self, dag: str) -> dict[str, TaskRun]:
        """Return how the tasks of a DAG's one run went."""
        columns = "task_id, state, try_number, start_date, end_date"
        rows = self._ask(f"SELECT {columns} FROM task_instance WHERE dag_id = ?", dag)
        return {task: TaskRun(*facts) for task, *facts in rows}

    def _start(self, *words: str) -> None:
        with (self.folder / f"{words[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [PROGRAMS / "airflow", *words],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)

    def _ask(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """Ask Airflow's own database, which is quicker by seconds than to ask Airflow."""
        with closing(sqlite3.connect(self.folder / "airflow.db", timeout=30)) as database:
            return database.execute(query, values).fetchall()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
