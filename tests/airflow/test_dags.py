"""The DAGs over three accounts, each with an API of its own, side by side into one PostgreSQL."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from threading import Barrier, BrokenBarrierError
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.airflow.deployment import Airflow
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.meltano import ROOT, Project
from tests.support.postgres import Postgres
from tests.support.tap_runs import NO_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.airflow.deployment import TaskRun
    from tests.fake_api.log import LoggedRequest

pytestmark = pytest.mark.meltano

FOLDER = ROOT / ".run" / "airflow"
DATABASE_TASK = "meltano_database"
# What each account's entry names; each task takes seconds, so not everything.
ACCOUNT_STREAMS = {"acme": tuple(STREAMS), "globex": ("charges", "customers"), "initech": ("charges", "products")}
RETRIES = 1
SECONDS_TO_MEET = 90


@dataclass
class World:
    """All there is: the accounts' APIs by name, the database, and Airflow with the project that it runs.

    At the meeting, the first request of each account waits for that of every other; it breaks if one does not come.
    """

    apis: dict[str, FakeAPI]
    postgres: Postgres
    project: Project
    airflow: Airflow
    meeting: Barrier

    @property
    def loads(self) -> dict[str, tuple[str, str]]:
        """The account and the stream of each task that loads."""
        return {
            f"{account}.{stream}": (account, stream)
            for account, streams in ACCOUNT_STREAMS.items()
            for stream in streams
        }

    def rows(self, account: str, stream: str, column: str) -> dict[str, Any]:
        """Return a column of the table of a stream, by key."""
        with self.postgres.connect() as connection:
            query = f'SELECT "{STREAMS[stream].key}", "{column}" FROM "{account}"."{stream}"'
            found = connection.execute(query.encode()).fetchall()
        rows = dict(found)
        assert len(rows) == len(found), "a record is there twice"
        return rows

    def states(self) -> dict[str, Any]:
        """Return what Meltano keeps, by state id."""
        with self.postgres.connect() as connection:
            return dict(connection.execute("SELECT state_id, completed_state FROM state").fetchall())


def accounts(apis: dict[str, FakeAPI]) -> dict[str, Any]:
    """Return the list of accounts, with each way to name credentials and each kind of extractor."""
    common = {"requests_per_minute": NO_LIMIT, "request_timeout": 2 * SECONDS_TO_MEET}
    settings = {name: {"base_url": api.url, **common} for name, api in apis.items()}
    return {
        "defaults": {
            "extractor": "tap-payments",
            "loader": "target-postgres",
            "streams": list(STREAMS),
            "retries": RETRIES,
            "retry_seconds": 1,
        },
        "accounts": [
            {
                "name": "acme",
                "username_variable": "ACME_USERNAME",
                "password_variable": "ACME_PASSWORD",
                "settings": settings["acme"],
            },
            {
                "name": "globex",
                "connection": "globex_payments",
                "streams": list(ACCOUNT_STREAMS["globex"]),
                "settings": settings["globex"],
            },
            {
                "name": "initech",
                "extractor": "tap-payments--chargedesk-incremental",
                "username_variable": "INITECH_KEY",
                "streams": list(ACCOUNT_STREAMS["initech"]),
                "settings": settings["initech"],
            },
        ],
    }


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    shutil.rmtree(FOLDER, ignore_errors=True)
    acme = make_account(charges=1200, products=12, customers=90, subscriptions=40, seed=1)
    globex = make_account(charges=700, products=9, customers=60, subscriptions=20, seed=2)
    initech = make_account(charges=900, products=7, customers=50, subscriptions=30, seed=3, php=True)
    apis = {
        "acme": FakeAPI(acme, username="user-of-acme", password="password-of-acme"),
        "globex": FakeAPI(globex, username="key-of-globex"),
        "initech": FakeAPI(initech, username="key-of-initech", provider="chargedesk"),
    }
    with Postgres(FOLDER / "postgres") as postgres:
        for api in apis.values():
            api.start()
        # As root, the data is elsewhere, and what an earlier run of the tests loaded is still there.
        with postgres.connect() as connection:
            connection.execute("DROP SCHEMA IF EXISTS acme, globex, initech, public CASCADE")
            connection.execute("CREATE SCHEMA public")
        project = Project(FOLDER / "meltano")
        listed = FOLDER / "accounts.yml"
        listed.write_text(yaml.safe_dump(accounts(apis)), encoding="utf-8")
        settings = {
            "ACME_USERNAME": apis["acme"].username,
            "ACME_PASSWORD": apis["acme"].password,
            "AIRFLOW_CONN_GLOBEX_PAYMENTS": '{"conn_type": "generic", "password": "key-of-globex"}',
            "INITECH_KEY": apis["initech"].username,
            "MELTANO_AUTO_INSTALL": "false",
            "MELTANO_DATABASE_URI": f"postgresql+psycopg://{postgres.user}:{postgres.password}"
            f"@127.0.0.1:{postgres.port}/{postgres.database}",
            "MELTANO_PROJECT_ROOT": str(project.folder),
            "PAYMENTS_ACCOUNTS": str(listed),
            "TARGET_POSTGRES_HOST": "127.0.0.1",
            "TARGET_POSTGRES_PORT": str(postgres.port),
            "TARGET_POSTGRES_USER": postgres.user,
            "TARGET_POSTGRES_PASSWORD": postgres.password,
            "TARGET_POSTGRES_DATABASE": postgres.database,
            # Where Meltano puts its logs; on macOS it heeds no variable.
            "XDG_STATE_HOME": str(project.folder / "logs"),
        }
        try:
            with Airflow(FOLDER / "home", settings, side_by_side=len(apis)) as airflow:
                airflow.prepare()
                yield World(apis, postgres, project, airflow, Barrier(len(apis), timeout=SECONDS_TO_MEET))
        finally:
            for api in apis.values():
                api.stop()


@pytest.fixture(scope="module")
def night(world: World) -> dict[str, TaskRun]:
    """A run of the nightly DAG, in which the accounts meet, whenever a busy machine comes to start their tasks."""

    def meet(api: FakeAPI, request: LoggedRequest, _params: dict[str, str]) -> None:
        if request is api.requests[0]:
            with suppress(BrokenBarrierError):
                world.meeting.wait()

    for api in world.apis.values():
        api.before_each(meet)
    world.airflow.start()
    assert world.airflow.unpause("payments") == "success", world.airflow.tasks("payments")
    return world.airflow.tasks("payments")


@pytest.mark.parametrize("name", ["payments", "payments_full"])
def test_there_is_a_task_for_each_account_and_stream(world: World, described: dict[str, Any], name: str) -> None:
    assert not described["errors"]
    dag = described["dags"][name]
    assert (dag["max_active_runs"], dag["catchup"]) == (1, False)
    assert dag["schedule"] == {"payments": "0 2 * * 1-6", "payments_full": "0 2 * * 0"}[name]
    tasks = dag["tasks"]
    assert set(tasks) == {DATABASE_TASK, *world.loads}
    assert tasks[DATABASE_TASK]["pool"] == "payments"
    for task, (account, stream) in world.loads.items():
        facts = tasks[task]
        assert facts["pool"] == f"payments_{account}"
        assert (facts["retries"], facts["retry_seconds"], facts["exponential"]) == (RETRIES, 1, True)
        # No account waits for another, nor for another stream.
        assert facts["upstream"] == [DATABASE_TASK]
        assert f"--state-id {account}:{stream} --select {stream}" in facts["command"]
        assert ("--full-refresh" in facts["command"]) is (name == "payments_full")


@pytest.fixture(scope="module")
def described(world: World) -> dict[str, Any]:
    return world.airflow.describe()


def test_the_list_that_comes_with_it_makes_dags_too(world: World) -> None:
    described = world.airflow.describe({"PAYMENTS_ACCOUNTS": ""})
    assert not described["errors"]
    entries = yaml.safe_load((ROOT / "orchestrate" / "accounts.yml").read_text(encoding="utf-8"))["accounts"]
    loads = described["dags"]["payments"]["tasks"].keys() - {DATABASE_TASK}
    assert loads == {f"{entry['name']}.{stream}" for entry in entries for stream in STREAMS}


def test_every_account_is_whole_in_its_own_schema(world: World, night: dict[str, TaskRun]) -> None:
    assert {task.state for task in night.values()} == {"success"}
    for account, stream in world.loads.values():
        key = STREAMS[stream].key
        assert set(world.rows(account, stream, key)) == set(world.apis[account].account.keys(stream)), (account, stream)


def test_each_account_and_stream_has_a_state_of_its_own(world: World, night: dict[str, TaskRun]) -> None:
    states = world.states()
    assert set(states) == {f"{account}:{stream}" for account, stream in world.loads.values()}
    for account, stream in world.loads.values():
        bookmarks = _bookmarks(states[f"{account}:{stream}"])
        assert set(bookmarks) <= {stream}
        if account == "initech" and stream != "products":
            newest = max(int(row[STREAMS[stream].time]) for row in world.apis[account].account.records(stream))
            assert int(bookmarks[stream]["replication_key_value"]) == newest


def test_accounts_run_side_by_side_and_the_streams_of_one_in_turn(world: World, night: dict[str, TaskRun]) -> None:
    overlaps = {
        tuple(sorted((world.loads[one][0], world.loads[other][0])))
        for one, other in combinations(world.loads, 2)
        if max(night[one].begun, night[other].begun) < min(night[one].ended, night[other].ended)
    }
    assert overlaps == set(combinations(sorted(world.apis), 2))
    assert not world.meeting.broken


def test_secrets_are_written_nowhere(world: World, night: dict[str, TaskRun]) -> None:
    secrets = [secret for api in world.apis.values() for secret in (api.username, api.password) if secret]
    secrets += [world.postgres.password]
    # The folder of PostgreSQL has its password for the next start.
    files = [file for folder in (world.airflow.folder, world.project.folder) for file in folder.rglob("*")]
    logs = [file for file in files if file.name.startswith("attempt=")]
    assert len(logs) == len(night)
    for file in files:
        if file.is_file() and not file.is_symlink():
            content = file.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in content], file


def test_an_account_that_fails_leaves_the_others_whole(world: World, night: dict[str, TaskRun]) -> None:
    new = {}
    for name, api in world.apis.items():
        # Too old for the nightly run to see that it changed.
        old = api.account.records("charges")[-1]
        new[name] = old["charge_id"]
        api.account.update("charges", old["charge_id"], {"status": "disputed"})
    world.apis["globex"].username = "another key"
    assert world.airflow.unpause("payments_full") == "failed"
    tasks = world.airflow.tasks("payments_full")
    for task, (account, _) in world.loads.items():
        wanted = ("failed", 1 + RETRIES) if account == "globex" else ("success", 1)
        assert (tasks[task].state, tasks[task].tries) == wanted, task
    for account, key in new.items():
        statuses = world.rows(account, "charges", "status")
        assert (statuses[key] == "disputed") is (account != "globex")
        assert len(statuses) == world.apis[account].account.count("charges")


def _bookmarks(state: Any) -> dict[str, Any]:
    """Return the bookmarks in a row of Meltano's table."""
    value = json.loads(state) if isinstance(state, str) else state
    return dict(value["singer_state"].get("bookmarks") or {})
