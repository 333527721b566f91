"""No account is loaded twice at once: the lock that a load holds, in a real PostgreSQL. It needs no Airflow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.airflow.deployment import DAGS, is_alive, wait_until
from tests.support.meltano import ROOT
from tests.support.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROGRAM = DAGS / "payments_lock.py"
HELD = 75
SECONDS_TO_WAIT = 120
# A load that ends by itself when it finds the file that it is given.
LOAD = "echo $$ >> pids; while ! test -e end; do sleep 0.05; done"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres(ROOT / ".run" / "lock") as server:
        yield server


@pytest.fixture
def uri(postgres: Postgres) -> str:
    """The server as Meltano's system database."""
    return f"postgresql+psycopg://{postgres.user}:{postgres.password}@127.0.0.1:{postgres.port}/{postgres.database}"


class Loads:
    """Loads of accounts in a folder, each under its lock.

    Args:
        folder: Where they run.
        uri: Meltano's system database.
    """

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder = folder
        self._environment = {**os.environ, "MELTANO_DATABASE_URI": uri}

    @contextmanager
    def start(self, account: str, command: str = LOAD) -> Iterator[subprocess.Popen[str]]:
        """Start a load under its lock."""
        process = subprocess.Popen(
            [sys.executable, PROGRAM, account, "sh", "-c", command],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()

    def run(self, account: str, command: str = LOAD) -> tuple[int, str]:
        """Run a load to its end and return its exit code and output."""
        with self.start(account, command) as process:
            output, _ = process.communicate(timeout=SECONDS_TO_WAIT)
        return process.returncode, output

    def stop(self) -> None:
        """End what is left."""
        for pid in self.pids():
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid).kill()

    def pids(self) -> list[int]:
        """Return the processes of the loads that have begun."""
        file = self.folder / "pids"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def wait_for(self, count: int) -> int:
        """Wait until so many loads have begun and return the process of the last."""
        until(lambda: len(self.pids()) == count)
        return self.pids()[-1]


@pytest.fixture
def make_loads(tmp_path: Path) -> Iterator[Callable[[str], Loads]]:
    made: list[Loads] = []

    def make(uri: str) -> Loads:
        made.append(Loads(tmp_path, uri))
        return made[-1]

    yield make
    for loads in made:
        loads.stop()


@pytest.fixture
def loads(make_loads: Callable[[str], Loads], uri: str) -> Loads:
    return make_loads(uri)


def until(condition: Callable[[], bool]) -> None:
    wait_until(condition, "it does not come to that", SECONDS_TO_WAIT)


def test_an_account_is_loaded_once_at_a_time_and_another_beside_it(loads: Loads) -> None:
    with loads.start("acme") as first:
        loads.wait_for(1)
        code, output = loads.run("acme")
        assert code == HELD
        assert output.startswith("acme is being loaded already, by payments ")
        assert output.count("\n") == 1
        assert loads.run("globex", "exit 0") == (0, "")
        (loads.folder / "end").touch()
        first.communicate(timeout=SECONDS_TO_WAIT)
        assert first.returncode == 0
    assert loads.run("acme", "exit 3") == (3, "")


def test_one_of_many_that_begin_at_once_gets_the_lock(loads: Loads) -> None:
    command = f"sleep 1.5; {LOAD}"
    with loads.start("acme", command) as a, loads.start("acme", command) as b, loads.start("acme", command) as c:
        until(lambda: [process.poll() for process in (a, b, c)].count(HELD) == 2)
        (loads.folder / "end").touch()
        codes = sorted(process.wait(SECONDS_TO_WAIT) for process in (a, b, c))
    assert codes == [0, HELD, HELD]
    assert len(loads.pids()) == 1


def test_the_lock_lasts_as_long_as_the_load_where_its_keeper_is_killed(loads: Loads) -> None:
    with loads.start("acme") as keeper:
        pid = loads.wait_for(1)
        keeper.kill()
        keeper.wait(SECONDS_TO_WAIT)
        assert loads.run("acme")[0] == HELD
        os.kill(pid, signal.SIGKILL)
        # The server sees the end of the connection within a moment.
        until(lambda: loads.run("acme", "exit 0")[0] == 0)


def test_what_a_killed_load_leaves_behind_is_ended_before_the_lock_is_free(loads: Loads) -> None:
    with loads.start("acme", "sleep 60 & echo $! >> pids; wait") as keeper:
        child = loads.wait_for(1)
        psutil.Process(psutil.Process(child).ppid()).kill()
        keeper.communicate(timeout=SECONDS_TO_WAIT)
    assert keeper.returncode == 128 + signal.SIGKILL
    assert not is_alive(child)


def test_a_load_whose_lock_is_lost_is_ended(loads: Loads, postgres: Postgres) -> None:
    with loads.start("acme") as process:
        pid = loads.wait_for(1)
        with postgres.connect() as connection:
            query = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            assert connection.execute(query).fetchall() == [(True,)]
        output, _ = process.communicate(timeout=SECONDS_TO_WAIT)
    assert process.returncode == 128 + signal.SIGTERM
    assert output == "Ending the load: the connection that holds its lock is lost\n"
    assert not is_alive(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_load_that_is_told_to_end_does(loads: Loads, number: signal.Signals) -> None:
    with loads.start("acme") as process:
        pid = loads.wait_for(1)
        process.send_signal(number)
        output, _ = process.communicate(timeout=SECONDS_TO_WAIT)
    assert process.returncode == 128 + signal.SIGTERM
    assert output == f"Ending the load: {number.name} received\n"
    assert not is_alive(pid)


def test_a_load_ends_with_the_task_that_started_it(loads: Loads, uri: str) -> None:
    starter = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    task = subprocess.Popen(
        [sys.executable, "-c", starter, sys.executable, PROGRAM, "acme", "sh", "-c", LOAD],
        cwd=loads.folder,
        env={**os.environ, "MELTANO_DATABASE_URI": uri},
        stdout=subprocess.DEVNULL,
    )
    try:
        pid = loads.wait_for(1)
    finally:
        task.kill()
        task.wait()
    until(lambda: not is_alive(pid))
    until(lambda: loads.run("acme", "exit 0")[0] == 0)


def test_a_lock_beside_sqlite_is_a_file(tmp_path: Path, make_loads: Callable[[str], Loads]) -> None:
    loads = make_loads(f"sqlite:///{tmp_path}/meltano.db")
    with loads.start("acme"):
        pid = loads.wait_for(1)
        assert loads.run("acme") == (HELD, "acme is being loaded already\n")
        assert loads.run("globex", "exit 0") == (0, "")
        os.kill(pid, signal.SIGKILL)
        until(lambda: loads.run("acme", "exit 0")[0] == 0)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("postgresql+psycopg://payments:secret@127.0.0.1:1/payments", "Meltano's system database cannot be used: "),
        ("mssql://example.com/meltano", "MELTANO_DATABASE_URI must name a PostgreSQL or SQLite database\n"),
    ],
)
def test_without_a_lock_nothing_is_loaded(
    tmp_path: Path, make_loads: Callable[[str], Loads], uri: str, words: str
) -> None:
    code, output = make_loads(uri).run("acme", "touch loaded")
    assert code == 1
    assert output.startswith(words)
    assert "secret" not in output
    assert not (tmp_path / "loaded").exists()
