"""When the loader that `meltano.yml` installs merges what it has, and what it writes of that."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.fake_api.data import make_account
from tests.fake_api.server import FakeAPI
from tests.support.loaders import BATCH, EXACT, SECONDS_TO_LOAD, count, messages, send, state_from, state_line
from tests.support.meltano import end
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.e2e.conftest import ProjectMaker
    from tests.fake_api.log import LoggedRequest
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano

until = partial(wait_until, seconds=SECONDS_TO_LOAD)


def exists(postgres: Postgres, schema: str, name: str = "things") -> bool:
    """Return whether a table is there, by itself that of the `messages`."""
    with postgres.connect() as connection:
        return connection.execute("SELECT to_regclass(%s)", [f"{schema}.{name}"]).fetchone() != (None,)


@contextmanager
def locked(postgres: Postgres, schema: str, process: subprocess.Popen[bytes], *lines: bytes) -> Iterator[None]:
    """Let a target make its table, and keep it from writing to it; yield when it waits to write some of these lines."""
    send(process, lines[0])
    until(lambda: exists(postgres, schema))
    query = "SELECT FROM pg_locks WHERE relation = to_regclass(%s) AND NOT granted"
    with postgres.connect() as connection, connection.transaction():
        connection.execute(f"LOCK TABLE {schema}.things IN SHARE ROW EXCLUSIVE MODE".encode())
        send(process, *lines[1:])
        until(lambda: connection.execute(query, [f"{schema}.things"]).fetchone() is not None)
        yield


def test_each_row_is_written_once(postgres: Postgres) -> None:
    written = "SELECT n_tup_ins, n_tup_upd FROM pg_stat_user_tables WHERE schemaname = 'once' AND relname = 'things'"
    for records, expected in ((10, (10, 0)), (4, (10, 4))):
        EXACT.load(postgres, "once", messages([{}] * records))
        with postgres.connect() as connection:
            assert connection.execute(written).fetchone() == expected


def test_the_state_goes_out_as_it_came_when_all_before_it_is_loaded(postgres: Postgres) -> None:
    # It does after four merges.
    schema, *records = messages([{}] * (4 * BATCH)).splitlines(keepends=True)
    others = messages([{}, {}]).replace(b'"things"', b'"others"').splitlines(keepends=True)
    state = b'{"type":"STATE","value":{"at":1700000000.5,"digits":0.12345678901234567890,"half":"\\ud83d"}}\n'
    with EXACT.start(postgres, "state") as process:
        send(process, schema, *others, *records[:-1], state, records[-1])
        # Standard input is still open: the state is not that of the end.
        assert process.stdout is not None
        line = process.stdout.readline()
        assert [count(postgres, "state", name) for name in ("things", "others")] == [len(records), 2]
    assert json.loads(line, parse_float=str) == json.loads(state, parse_float=str)["value"]


def test_a_batch_is_merged_beside_the_reading_of_the_next(postgres: Postgres) -> None:
    lines = messages([{"text": "long" * 100_000}] * (2 * BATCH)).splitlines(keepends=True)
    with EXACT.start(postgres, "beside") as process, locked(postgres, "beside", process, *lines[: 1 + BATCH]):
        # More than the pipe holds, so that writing ends when nearly all is read.
        send(process, *lines[1 + BATCH : -1])
        assert count(postgres, "beside", "things") == 0


@pytest.mark.parametrize("stopped", [False, True], ids=["ended", "stopped"])
def test_the_end_waits_for_what_is_merged(postgres: Postgres, *, stopped: bool) -> None:
    name = f"waits_{stopped}".lower()
    lines = messages([{}] * (BATCH + 1)).splitlines(keepends=True)
    state = {"bookmarks": {"things": BATCH + 1}}
    with EXACT.start(postgres, name) as process:
        with locked(postgres, name, process, *lines, state_line(state)):
            if stopped:
                # By then the last line is read.
                time.sleep(1)
                process.send_signal(signal.SIGINT)
                time.sleep(0.5)
                process.terminate()
            else:
                assert process.stdin is not None
                process.stdin.close()
            time.sleep(1)
            assert process.poll() is None
        assert state_from(process) == state
        assert count(postgres, name, "things") == BATCH + 1
        assert process.wait(SECONDS_TO_LOAD) == 0


@pytest.mark.parametrize("stopped", [False, True], ids=["ended", "stopped"])
def test_a_batch_that_cannot_be_merged_ends_the_load_and_is_named(postgres: Postgres, *, stopped: bool) -> None:
    name = f"unmerged_{stopped}".lower()
    schema, *records = messages([{}] * BATCH).splitlines(keepends=True)
    with EXACT.start(postgres, name) as process:
        send(process, schema)
        until(lambda: exists(postgres, name))
        # The table refuses the second record.
        with postgres.connect() as connection:
            connection.execute(f"ALTER TABLE {name}.things ADD CONSTRAINT of_a_stranger CHECK (line <> 1)".encode())
        send(process, *records, state_line({"bookmarks": {"things": len(records)}}))
        if stopped:
            # By then the last line is read.
            time.sleep(2)
            process.terminate()
        states, log = process.communicate(timeout=SECONDS_TO_LOAD)
    assert process.returncode != 0
    assert b"of_a_stranger" in log
    assert states == b""
    assert count(postgres, name, "things") == 0


def test_what_came_before_a_schema_is_loaded_before_what_comes_behind_it(postgres: Postgres) -> None:
    earlier = messages([{"id": "one", "text": "earlier"}]).splitlines(keepends=True)
    schema, *records = messages([*[{}] * BATCH, {"id": "one", "text": "later"}, {}, {}]).splitlines(keepends=True)
    changed = schema.replace(b'"text": {"type"', b'"more": {"type": "string"}, "text": {"type"')
    assert changed != schema
    EXACT.load(postgres, "changed", b"".join([*earlier, changed, *records]))
    with postgres.connect() as connection:
        found = connection.execute("SELECT text FROM changed.things WHERE id = 'one'").fetchall()
    assert found == [("later",)]


def test_a_load_that_fails_beside_a_merge_names_its_own_error(postgres: Postgres) -> None:
    lines = messages([{}] * BATCH).splitlines(keepends=True)
    with EXACT.start(postgres, "fails") as process, locked(postgres, "fails", process, *lines):
        stranger = b'{"type":"RECORD","stream":"strangers","record":{}}\n'
        states, log = process.communicate(stranger, SECONDS_TO_LOAD)
    assert process.returncode == 1
    assert states == b""
    assert b"strangers" in log.splitlines()[-1]


def test_without_a_key_each_batch_lets_the_state_out(postgres: Postgres) -> None:
    schema, *records = messages([{}] * BATCH, keyed=False).splitlines(keepends=True)
    state = {"bookmarks": {"things": BATCH}}
    with EXACT.start(postgres, "keyless") as process:
        send(process, schema, state_line(state), *records)
        assert state_from(process) == state
        assert count(postgres, "keyless", "things") == BATCH


def test_ctrl_c_to_meltano_stores_what_the_loader_has_read(make_project: ProjectMaker, postgres: Postgres) -> None:
    released = threading.Event()

    def hold(_: FakeAPI, request: LoggedRequest, __: dict[str, str]) -> None:
        if int(request.params.get("offset", 0)) >= 1_000:
            released.wait(SECONDS_TO_LOAD)

    with FakeAPI(make_account(charges=2_000)) as api:
        api.before_each(hold)
        process = make_project("ctrl_c", api).start("run", "tap-payments", "target-postgres")
        try:
            until(lambda: exists(postgres, "ctrl_c", "charges"))
            # By then the records before are read.
            time.sleep(2)
            # It goes to all processes of the terminal, and Meltano sends SIGTERM to its plugins.
            os.killpg(process.pid, signal.SIGINT)
            until(lambda: count(postgres, "ctrl_c", "charges"))
        finally:
            released.set()
            end(process)
    assert count(postgres, "ctrl_c", "charges") >= 500
