"""The DAG over accounts that each have an API of their own, side by side into one PostgreSQL, for three nights."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from threading import Barrier, BrokenBarrierError, Event
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.airflow.deployment import DAGS, PROGRAMS, Airflow, wait_until
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.meltano import MELTANO, ROOT, Project
from tests.support.postgres import Postgres
from tests.support.tap_runs import NO_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.airflow.deployment import TaskRun
    from tests.fake_api.log import LoggedRequest

pytestmark = pytest.mark.meltano

FOLDER = ROOT / ".run" / "airflow"
EXECUTE = ROOT / "tests" / "airflow" / "execute.py"
FIRST_TASKS = {"accounts", "meltano_database"}
# The accounts of the first night; another one joins them in the second.
FIRST_NIGHT = ("acme", "globex", "initech")
LATECOMER = "hooli"
# What an account's entry names; without it, all.
CHOSEN_STREAMS = {"globex": ("charges", "customers")}
RETRIES = 1
MOST_ACCOUNTS = 4
SECONDS_TO_MEET = 240
SECONDS_TO_RELEASE = 60


@dataclass
class World:
    """All there is: the accounts' APIs by name, the database, Airflow with the project that it runs, and the list.

    At the meeting, the first request of each account waits for that of every other; it breaks if one does not come.
    """

    apis: dict[str, FakeAPI]
    postgres: Postgres
    project: Project
    airflow: Airflow
    file: Path
    meeting: Barrier

    def rows(self, account: str, stream: str, column: str) -> dict[str, Any]:
        """Return a column of the table of a stream, by key."""
        with self.postgres.connect() as connection:
            query = f'SELECT "{STREAMS[stream].key}", "{column}" FROM "{account}"."{stream}"'
            found = connection.execute(query.encode()).fetchall()
        rows = dict(found)
        assert len(rows) == len(found), "a record is there twice"
        return rows

    def is_whole(self, account: str) -> bool:
        """Whether each stream of an account has arrived."""
        return all(
            set(self.rows(account, stream, STREAMS[stream].key)) == set(self.apis[account].account.keys(stream))
            for stream in CHOSEN_STREAMS.get(account, STREAMS)
        )

    def bookmarks(self) -> dict[str, dict[str, Any]]:
        """Return the bookmarks that Meltano keeps, by state id."""
        with self.postgres.connect() as connection:
            rows = connection.execute("SELECT state_id, completed_state FROM state").fetchall()
        states = {name: json.loads(state) if isinstance(state, str) else state for name, state in rows}
        return {name: state["singer_state"].get("bookmarks") or {} for name, state in states.items()}

    def list_accounts(self, *names: str) -> None:
        """Write the list, with each way to name credentials and each kind of extractor."""
        common = {"requests_per_minute": NO_LIMIT, "request_timeout": 2 * SECONDS_TO_MEET}
        entries: dict[str, dict[str, Any]] = {
            "acme": {"username_variable": "ACME_USERNAME", "password_variable": "ACME_PASSWORD"},
            "globex": {"connection": "globex_payments", "streams": list(CHOSEN_STREAMS["globex"])},
            "initech": {"extractor": "tap-payments--chargedesk-incremental", "username_variable": "INITECH_KEY"},
            LATECOMER: {"connection": "globex_payments"},
        }
        accounts = [
            {"name": name, "settings": {"base_url": self.apis[name].url, **common}, **entries[name]}
            if name in entries
            else {"name": name, "connection": "globex_payments"}
            for name in names
        ]
        defaults = {"extractor": "tap-payments", "loader": "target-postgres"}
        self.file.write_text(yaml.safe_dump({"defaults": defaults, "accounts": accounts}), encoding="utf-8")

    def execute(self, account: str, number: int = 1) -> subprocess.Popen[str]:
        """Execute the task of an account outside of a run, as its try of this number."""
        entries = yaml.safe_load(self.file.read_text(encoding="utf-8"))
        (entry,) = [one for one in entries["accounts"] if one["name"] == account]
        return subprocess.Popen(
            [PROGRAMS / "python", EXECUTE, json.dumps({**entries["defaults"], **entry}), str(number)],
            env={**self.airflow.environment, "PYTHONPATH": str(DAGS)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    shutil.rmtree(FOLDER, ignore_errors=True)
    acme = make_account(charges=1200, products=12, customers=90, subscriptions=40, seed=1)
    globex = make_account(charges=700, products=9, customers=60, subscriptions=20, seed=2)
    initech = make_account(charges=900, products=7, customers=50, subscriptions=30, seed=3, php=True)
    hooli = make_account(charges=100, products=2, customers=5, subscriptions=3, seed=4)
    apis = {
        "acme": FakeAPI(acme, username="user-of-acme", password="password-of-acme"),
        "globex": FakeAPI(globex, username="key-of-globex"),
        "initech": FakeAPI(initech, username="key-of-initech", provider="chargedesk"),
        LATECOMER: FakeAPI(hooli, username="key-of-globex"),
    }
    with Postgres(FOLDER / "postgres") as postgres:
        for api in apis.values():
            api.start()
        # As root, the data is elsewhere, and what an earlier run of the tests loaded is still there.
        with postgres.connect() as connection:
            schemas = ", ".join([*apis, "public"])
            connection.execute(f"DROP SCHEMA IF EXISTS {schemas} CASCADE".encode())
            connection.execute("CREATE SCHEMA public")
        project = Project(FOLDER / "meltano")
        listed = FOLDER / "accounts.yml"
        settings = {
            "ACME_USERNAME": apis["acme"].username,
            "ACME_PASSWORD": apis["acme"].password,
            "AIRFLOW_CONN_GLOBEX_PAYMENTS": '{"conn_type": "generic", "password": "key-of-globex"}',
            "AIRFLOW__CORE__MAX_MAP_LENGTH": str(MOST_ACCOUNTS),
            "AIRFLOW__CORE__PARALLELISM": str(len(apis)),
            "INITECH_KEY": apis["initech"].username,
            "MELTANO_AUTO_INSTALL": "false",
            "MELTANO_DATABASE_URI": f"postgresql+psycopg://{postgres.user}:{postgres.password}"
            f"@127.0.0.1:{postgres.port}/{postgres.database}",
            "MELTANO_PROJECT_ROOT": str(project.folder),
            "PAYMENTS_ACCOUNTS": str(listed),
            "PAYMENTS_RETRIES": str(RETRIES),
            "PAYMENTS_RETRY_SECONDS": "1",
            **postgres.target_settings,
            # Where Meltano puts its logs; on macOS it heeds no variable.
            "XDG_STATE_HOME": str(project.folder / "logs"),
        }
        try:
            with Airflow(FOLDER / "home", postgres, settings) as airflow:
                airflow.prepare()
                meeting = Barrier(len(FIRST_NIGHT), timeout=SECONDS_TO_MEET)
                yield World(apis, postgres, project, airflow, listed, meeting)
        finally:
            for api in apis.values():
                api.stop()


@pytest.fixture(scope="module")
def night(world: World) -> dict[str, TaskRun]:
    """The first night, in which the accounts meet, whenever a busy machine comes to start their tasks."""

    def meet(api: FakeAPI, request: LoggedRequest, _params: dict[str, str]) -> None:
        if request is api.requests[0]:
            with suppress(BrokenBarrierError):
                world.meeting.wait()

    for name in FIRST_NIGHT:
        world.apis[name].before_each(meet)
    world.list_accounts(*FIRST_NIGHT)
    world.airflow.start()
    run = world.airflow.unpause()
    assert world.airflow.wait_for(run) == "success", world.airflow.tasks(run)
    return world.airflow.tasks(run)


@dataclass
class Nights:
    """The tasks of the second night, in which one account is slow, and of the third, which begins meanwhile."""

    second: dict[str, TaskRun]
    third: dict[str, TaskRun]
    changed: dict[str, str]


@pytest.fixture(scope="module")
def nights(world: World, night: dict[str, TaskRun]) -> Nights:
    reached, released = Event(), Event()

    def wait(_api: FakeAPI, _request: LoggedRequest, _params: dict[str, str]) -> None:
        reached.set()
        released.wait(2 * SECONDS_TO_MEET)

    world.apis["globex"].before_each(wait)
    world.list_accounts(*FIRST_NIGHT, LATECOMER)
    try:
        world.airflow.trigger("second")
        others = {"acme", "initech", LATECOMER}
        wait_until(
            lambda: _states(world.airflow.tasks("second"), others) == {"success"}, "others wait for the slow one"
        )
        assert reached.is_set()
        changed = {}
        for name in ("acme", LATECOMER):
            old = world.apis[name].account.records("charges")[-1]
            changed[name] = old["charge_id"]
            world.apis[name].account.update("charges", old["charge_id"], {"status": "disputed"})
        world.apis["initech"].username = "another key"
        world.airflow.trigger("third")
        assert world.airflow.wait_for("third") == "failed"
        assert world.airflow.runs()["second"] == "running"
    finally:
        released.set()
    assert world.airflow.wait_for("second") == "success"
    return Nights(world.airflow.tasks("second"), world.airflow.tasks("third"), changed)


def _states(tasks: dict[str, TaskRun], names: set[str]) -> set[str | None]:
    """Return the states of these tasks."""
    return {tasks[name].state if name in tasks else None for name in names}


def test_the_dag_has_one_task_for_each_account(world: World) -> None:
    described = world.airflow.describe()
    assert not described["errors"]
    (dag,) = described["dags"].values()
    assert (dag["schedule"], dag["catchup"]) == ("0 2 * * *", False)
    tasks = dag["tasks"]
    assert {name: facts["upstream"] for name, facts in tasks.items()} == {
        "accounts": [],
        "meltano_database": ["accounts"],
        "load": ["accounts", "meltano_database"],
    }
    assert [name for name, facts in tasks.items() if facts["mapped"]] == ["load"]
    for facts in tasks.values():
        assert (facts["retries"], facts["retry_seconds"], facts["exponential"]) == (RETRIES, 1, True)
    load = tasks["load"]
    assert load["templates"] == []
    # A try and the wait for the next fit into a day, so that no more runs are active than the DAG allows.
    day = 24 * 60 * 60
    assert load["execution_timeout"] + load["longest_wait"] <= day
    assert dag["dagrun_timeout"] == (RETRIES + 1) * day
    assert dag["max_active_runs"] == RETRIES + 2


def test_every_account_is_whole_in_its_own_schema(world: World, night: dict[str, TaskRun]) -> None:
    assert set(night) == {*FIRST_TASKS, *FIRST_NIGHT}
    assert {task.state for task in night.values()} == {"success"}
    assert all(world.is_whole(account) for account in FIRST_NIGHT)


def test_each_account_has_a_state_of_its_own(world: World, night: dict[str, TaskRun]) -> None:
    bookmarks = world.bookmarks()
    assert set(bookmarks) == set(FIRST_NIGHT)
    assert set(bookmarks["globex"]) <= set(CHOSEN_STREAMS["globex"])
    # Subscriptions do not show the time that the API filters them by: theirs follows the tap's clock.
    for stream in ("charges", "customers"):
        newest = max(int(row[STREAMS[stream].time] or 0) for row in world.apis["initech"].account.records(stream))
        assert int(bookmarks["initech"][stream]["replication_key_value"]) == newest


def test_accounts_run_side_by_side(world: World, night: dict[str, TaskRun]) -> None:
    overlaps = {
        (one, other)
        for one, other in combinations(FIRST_NIGHT, 2)
        if max(night[one].begun, night[other].begun) < min(night[one].ended, night[other].ended)
    }
    assert overlaps == set(combinations(FIRST_NIGHT, 2))
    assert not world.meeting.broken


def test_secrets_are_written_nowhere(world: World, night: dict[str, TaskRun]) -> None:
    secrets = {secret for api in world.apis.values() for secret in (api.username, api.password) if secret}
    # The folder of PostgreSQL has its password for the next start.
    files = [file for folder in (world.airflow.folder, world.project.folder) for file in folder.rglob("*")]
    assert len([file for file in files if file.name.startswith("attempt=")]) == len(night)
    for file in files:
        if file.is_file() and not file.is_symlink():
            content = file.read_bytes()
            found = [secret for secret in (*secrets, world.postgres.password) if secret.encode() in content]
            assert not found, file
    tables = world.airflow.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert ("xcom",) in tables
    for (table,) in tables:
        rows = str(world.airflow.ask(f'SELECT "{table}"::text FROM "{table}"'))
        assert not [secret for secret in (*secrets, world.postgres.password) if secret in rows], table


def test_an_account_joins_with_its_entry_alone(world: World, nights: Nights) -> None:
    assert set(nights.second) == {*FIRST_TASKS, *FIRST_NIGHT, LATECOMER}
    assert world.is_whole(LATECOMER)


def test_a_slow_account_holds_up_no_other(world: World, nights: Nights) -> None:
    assert nights.second["globex"].state == "success"
    assert nights.second["globex"].ended > max(task.ended for task in nights.third.values())
    for account, key in nights.changed.items():
        assert (nights.third[account].state, nights.third[account].tries) == ("success", 1)
        assert world.rows(account, "charges", "status")[key] == "disputed"


def test_an_account_that_is_being_loaded_is_skipped_with_a_line(world: World, nights: Nights) -> None:
    assert (nights.third["globex"].state, nights.third["globex"].tries) == ("skipped", 1)
    assert "globex is being loaded already, by payments " in world.airflow.log("third", "globex")


def test_an_account_that_fails_is_tried_again(world: World, nights: Nights) -> None:
    assert (nights.third["initech"].state, nights.third["initech"].tries) == ("failed", 1 + RETRIES)
    assert "initech was not loaded: exit code 1" in world.airflow.log("third", "initech")


@pytest.mark.parametrize(("number", "error"), [(1, "AirflowSkipException"), (2, "AirflowException")])
def test_a_retry_that_meets_a_load_fails_and_a_first_try_is_skipped(
    world: World, nights: Nights, number: int, error: str
) -> None:
    before = len(world.apis["acme"].requests)
    command = [str(MELTANO.with_name("python")), str(DAGS / "payments_lock.py"), "acme", "sleep", "600"]
    holder = subprocess.Popen(command, env=world.airflow.environment, start_new_session=True)
    try:
        wait_until(lambda: _advisory_locks(world) == 1, "the lock is not taken")
        _, output = world.execute("acme", number).communicate(timeout=180)
    finally:
        holder.terminate()
        holder.wait(10)
    assert output.splitlines()[-1].startswith(f"{error}: acme is being loaded already, by payments ")
    assert len(world.apis["acme"].requests) == before


def test_a_load_that_is_told_to_end_releases_its_account(world: World, nights: Nights) -> None:
    reached, released = Event(), Event()

    def wait(_api: FakeAPI, _request: LoggedRequest, _params: dict[str, str]) -> None:
        reached.set()
        released.wait(SECONDS_TO_MEET)

    world.apis["acme"].before_each(wait)
    try:
        process = world.execute("acme")
        assert reached.wait(60)
        process.send_signal(signal.SIGTERM)
        _, output = process.communicate(timeout=180)
    finally:
        released.set()
    assert output.splitlines()[-1] == "AirflowException: acme was not loaded: exit code 143"
    # PostgreSQL releases it when it sees the end of the connection, some milliseconds later.
    wait_until(lambda: _advisory_locks(world) == 0, "the lock is not released", SECONDS_TO_RELEASE)
    # Meltano has noted the end, and lets the next run in at once.
    _, output = world.execute("acme").communicate(timeout=180)
    assert "Exception" not in output


def test_more_accounts_than_airflow_maps_are_refused_before_any_is_loaded(world: World, nights: Nights) -> None:
    before = {name: len(api.requests) for name, api in world.apis.items()}
    world.list_accounts(*FIRST_NIGHT, LATECOMER, "one_more")
    world.airflow.trigger("too-many")
    assert world.airflow.wait_for("too-many") == "failed"
    tasks = world.airflow.tasks("too-many")
    assert (tasks["accounts"].state, tasks["accounts"].tries) == ("failed", 1)
    assert _states(tasks, {"meltano_database", "load"}) == {"upstream_failed"}
    line = "The list has 5 accounts, and Airflow's max_map_length is 4: raise AIRFLOW__CORE__MAX_MAP_LENGTH"
    assert line in world.airflow.log("too-many", "accounts")
    assert {name: len(api.requests) for name, api in world.apis.items()} == before


def _advisory_locks(world: World) -> int:
    """Return how many accounts are locked."""
    with world.postgres.connect() as connection:
        return len(connection.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted").fetchall())
