"""The loader that `meltano.yml` installs, held against the one that it is made from: same messages, same tables."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import sql

from tests.fake_api.data import make_account
from tests.fake_api.providers import STREAMS
from tests.fake_api.server import FakeAPI
from tests.support.fork_server import ForkedProcess, Program
from tests.support.meltano import PLUGINS
from tests.support.tap_runs import TAP, tap_config
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano


@dataclass(frozen=True)
class Loader:
    """A target, and what it is told."""

    program: str
    module: str
    settings: Mapping[str, Any]

    def load(self, postgres: Postgres, schema: str, lines: bytes, *more: str, fails: bool = False) -> None:
        """Load messages into a schema, and hold that it went well, or that it `fails`."""
        program = Program(str(PROGRAMS / self.program), loads=self.module, python=str(PROGRAMS / "python"))
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            (folder / "stdin").write_bytes(lines)
            (folder / "config.json").write_text(self.config(postgres, schema), encoding="utf-8")
            process = ForkedProcess(["--config", "config.json", *more], cwd=folder, env=os.environ, program=program)
            try:
                exit_code = process.wait(SECONDS_TO_LOAD)
            finally:
                process.kill()
            told = (folder / "stderr").read_text(encoding="utf-8")
        assert (exit_code != 0) is fails, told[-TOLD_OF_A_FAILURE:]

    def config(self, postgres: Postgres, schema: str) -> str:
        """Return its settings for a schema, as JSON."""
        return json.dumps(
            {
                "host": "127.0.0.1",
                "port": postgres.port,
                "user": postgres.user,
                "password": postgres.password,
                "database": postgres.database,
                "default_target_schema": schema,
                "validate_records": False,
                **self.settings,
            }
        )

    @contextmanager
    def start(self, postgres: Postgres, schema: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start it, with pipes to and from it, and end it."""
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as file:
            file.write(self.config(postgres, schema))
            file.flush()
            command: list[str | Path] = [PROGRAMS / self.program, "--config", file.name]
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ) as process:
                # A test that waits for something that never comes sees the end of its pipes.
                timer = threading.Timer(SECONDS_TO_LOAD, process.kill)
                timer.start()
                try:
                    yield process
                finally:
                    timer.cancel()
                    process.kill()


BATCH = 3
# So many batches are merged before the state goes out.
MERGES = 4
# More than a pipe holds, as a text of four letters repeated.
LONG = 100_000
PROGRAMS = PLUGINS / "loaders" / "target-postgres" / "venv" / "bin"
# INSERT is the way of the original that keeps every digit.
ORIGINAL = Loader(
    "target-postgres",
    "target_postgres.target",
    {"use_copy": False, "sanitize_null_text_characters": True, "batch_size_rows": BATCH},
)
EXACT = Loader("target-postgres-exact", "target_postgres_exact", {"use_copy": True, "batch_size_rows": BATCH})
# Columns that hold when and in which order a record was loaded.
OF_THE_RUN = ("_sdc_batched_at", "_sdc_received_at", "_sdc_sequence", "_sdc_sync_started_at")

TOLD_OF_A_FAILURE = 3000
SECONDS_TO_LOAD = 120

MONEY = {"type": ["string", "null"], "format": "x-singer.decimal"}
PROPERTIES: dict[str, dict[str, Any]] = {
    "id": {"type": "string"},
    "line": {"type": "integer"},
    "amount": MONEY,
    "number": {"type": ["number", "null"]},
    "flag": {"type": ["boolean", "null"]},
    "text": {"type": ["string", "null"]},
    "at": {"type": ["string", "null"], "format": "date-time"},
    "day": {"type": ["string", "null"], "format": "date"},
    "clock": {"type": ["string", "null"], "format": "time"},
    "words": {"type": ["array", "null"], "items": {"type": ["string", "null"]}},
    "numbers": {"type": ["array", "null"], "items": {"type": "number"}},
    "flags": {"type": ["array", "null"], "items": {"type": "boolean"}},
    "mixed": {"type": ["array", "null"], "items": {}},
    "things": {"type": ["array", "null"]},
    "thing": {"type": ["object", "null"]},
}
NOTHING: dict[str, Any] = dict.fromkeys(PROPERTIES)
RECORDS: list[dict[str, Any]] = [
    {"amount": "34.00", "number": 1.5, "flag": True, "text": "plain", "at": "2024-02-29T23:59:59.123456+05:30"},
    {"amount": "12345678901234567890.1230", "number": -7, "flag": False, "text": "", "day": "1999-12-31"},
    {"amount": "-0.10", "number": 10**30, "text": "tab\there\nline\r\\N \\. \\\\", "clock": "23:59:59.5"},
    {"amount": "0", "number": 1e-9, "text": '\\u0000 is text, "quoted"', "words": [], "things": [], "thing": {}},
    {"amount": None, "text": "Łucja 🦊 \u2028", "words": ["a", 'b"c', "d,e", "{f}", "NULL", "", " g\\h"]},
    {"words": ["x", None], "things": [1, "2", None, [3.25, {"four": 5}]], "thing": {"a": {"b": [True, None, "ü"]}}},
    {"mixed": [None, "", '"\\', 1.50, True, [None], {"a": '{"b"}'}], "numbers": [10**20, 1.25], "flags": [True, False]},
    {"mixed": [], "numbers": [], "flags": [], "day": "0001-01-01", "at": "2024-02-29T23:59:59Z", "clock": "00:00"},
    {"text": "before\0after", "words": ["one\0two"], "thing": {"nul": "three\0four"}},
    {"thing": {"big": 10**25, "small": 1.25e-7, "none": None, "": " "}, "things": ["\t", "\\"], "unknown": "dropped"},
]


def messages(records: Iterable[dict[str, Any]], *, keyed: bool = True) -> bytes:
    """Write what a tap would, with every field in every other record and few in the rest."""
    key = ["id"] if keyed else []
    schema = {"type": "object", "properties": PROPERTIES}
    lines: list[dict[str, Any]] = [{"type": "SCHEMA", "stream": "things", "schema": schema, "key_properties": key}]
    for line, record in enumerate(records):
        whole = NOTHING if line % 2 else {}
        values = {**whole, "id": f"key {line}", "line": line, **record}
        extracted = f"2026-01-02T03:04:05.{line:06}+00:00"
        lines.append({"type": "RECORD", "stream": "things", "record": values, "time_extracted": extracted})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def table(
    postgres: Postgres, schema: str, name: str, *, without: Sequence[str] = ()
) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """Return the columns of a table with their types, and its rows, each value as PostgreSQL writes it."""
    query = "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    with postgres.connect() as connection:
        columns = dict(connection.execute(query, [schema, name]).fetchall())
        texts = sql.SQL(", ").join(
            sql.SQL("{}::text").format(sql.Identifier(column))
            for column in columns
            if column not in (*OF_THE_RUN, *without)
        )
        rows = connection.execute(sql.SQL("SELECT {} FROM {}").format(texts, sql.Identifier(schema, name))).fetchall()
        times = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(
            sql.Identifier(schema, name),
            sql.SQL(" OR ").join(sql.SQL("{} IS NULL").format(sql.Identifier(column)) for column in OF_THE_RUN),
        )
        assert connection.execute(times).fetchone() == (0,)
    return columns, sorted(rows, key=str)


def count(postgres: Postgres, schema: str, name: str) -> int:
    """Return how many rows a table has."""
    with postgres.connect() as connection:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))).fetchone()
    assert row is not None
    return int(row[0])


def exists(postgres: Postgres, schema: str) -> bool:
    """Return whether the table of the `messages` is there."""
    with postgres.connect() as connection:
        return connection.execute("SELECT to_regclass(%s)", [f"{schema}.things"]).fetchone() != (None,)


def is_waited_for(postgres: Postgres, schema: str) -> bool:
    """Return whether somebody waits for a lock of the table of the `messages`."""
    query = "SELECT FROM pg_locks WHERE relation = to_regclass(%s) AND NOT granted"
    with postgres.connect() as connection:
        return connection.execute(query, [f"{schema}.things"]).fetchone() is not None


def send(process: subprocess.Popen[bytes], *lines: bytes) -> None:
    """Write messages to a target that runs."""
    assert process.stdin is not None
    process.stdin.write(b"".join(lines))
    process.stdin.flush()


def state_line(state: Mapping[str, Any]) -> bytes:
    """Return a STATE message."""
    return json.dumps({"type": "STATE", "value": state}).encode() + b"\n"


def state_from(process: subprocess.Popen[bytes]) -> Any:
    """Wait for the next STATE that a target writes, and return it."""
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


until = partial(wait_until, seconds=SECONDS_TO_LOAD)


@contextmanager
def locked(postgres: Postgres, schema: str, process: subprocess.Popen[bytes], schema_message: bytes) -> Iterator[None]:
    """Have a target make its table, and keep it from writing to it."""
    send(process, schema_message)
    until(lambda: exists(postgres, schema))
    with postgres.connect() as connection, connection.transaction():
        table_of_messages = sql.Identifier(schema, "things")
        connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table_of_messages))
        yield


def refuse(postgres: Postgres, schema: str, process: subprocess.Popen[bytes], schema_message: bytes) -> None:
    """Have a target make its table, and let that refuse the second record."""
    send(process, schema_message)
    until(lambda: exists(postgres, schema))
    check = sql.SQL("ALTER TABLE {} ADD CONSTRAINT of_a_stranger CHECK (line <> 1)")
    with postgres.connect() as connection:
        connection.execute(check.format(sql.Identifier(schema, "things")))


def load_with_both(
    postgres: Postgres, schema: str, runs: Sequence[bytes], names: Iterable[str]
) -> dict[str, list[tuple[Any, ...]]]:
    """Load the same with both, check that the tables are the same and return their rows."""
    for loader in (ORIGINAL, EXACT):
        for lines in runs:
            loader.load(postgres, f"{schema}_{loader.program}", lines)
    found = {}
    for name in names:
        original, exact = (table(postgres, f"{schema}_{loader.program}", name) for loader in (ORIGINAL, EXACT))
        assert exact == original
        found[name] = exact[1]
    return found


@pytest.mark.parametrize("keyed", [True, False])
def test_every_type_arrives_as_with_the_original(postgres: Postgres, *, keyed: bool) -> None:
    # Deeper than the first level the original leaves a NUL, and PostgreSQL refuses it.
    records = [record for record in RECORDS if "nul" not in record.get("thing", {})]
    records.append({"text": "before\0after", "words": ["one\0two"], "thing": {"first": "three\0four"}})
    # Of one key there are some in batches of their own, and two in the last.
    later: list[dict[str, Any]] = [{"amount": "35.10", "text": "later"}, {"text": "later still"}, {"number": 8}]
    twice = [*records, *({"id": "key 0", **record} for record in later)]
    changed = [{"id": f"key {line}", "amount": f"{line}.50", "text": "changed"} for line in (0, 3, 4, 5)]
    runs = [messages(twice, keyed=keyed), messages(changed, keyed=keyed)]
    found = load_with_both(postgres, f"types_{keyed}".lower(), runs, ["things"])
    assert len(found["things"]) == (len(records) if keyed else len(twice) + len(changed))
    assert any("12345678901234567890.1230" in row for row in found["things"])


def test_an_account_arrives_as_with_the_original(postgres: Postgres, tmp_path: Path) -> None:
    account = make_account(charges=30, products=8, customers=20, subscriptions=10, php=True)
    with FakeAPI(account) as api:
        keys = {name: len(api.account.keys(name)) for name in STREAMS}
        file = tmp_path / "tap.json"
        file.write_text(json.dumps(tap_config(api)), encoding="utf-8")
        lines = subprocess.run([TAP, "--config", file], capture_output=True, check=True).stdout
    found = load_with_both(postgres, "account", [lines], STREAMS)
    assert {name: len(rows) for name, rows in found.items()} == keys


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("use_copy", [True, False])
def test_files_of_batches_are_loaded_as_records(
    postgres: Postgres, tmp_path: Path, compression: str, *, use_copy: bool
) -> None:
    loader = replace(EXACT, settings={**EXACT.settings, "use_copy": use_copy})
    schemas = [f"{name}_{compression}_{use_copy}".lower() for name in ("records", "batches")]
    # One key stands in both files, the record of the second is to stay.
    as_records = messages([*RECORDS, {"id": "key 1", "amount": "0.10", "text": "later"}]).splitlines(keepends=True)
    manifest = []
    for number, part in enumerate((as_records[1:6], as_records[6:])):
        content = b"".join(json.dumps(json.loads(line)["record"]).encode() + b"\n" for line in part)
        file = tmp_path / f"{number}.jsonl"
        file.write_bytes(gzip.compress(content) if compression == "gzip" else content)
        manifest.append(file.as_uri())
    batch = {"type": "BATCH", "stream": "things", "encoding": {"format": "jsonl", "compression": compression}}
    of_batches = as_records[0] + json.dumps({**batch, "manifest": manifest}).encode() + b"\n"
    for schema, lines in zip(schemas, (b"".join(as_records), of_batches), strict=True):
        loader.load(postgres, schema, lines)
    # When a record was extracted is not in the file.
    as_wanted, as_found = (table(postgres, schema, "things", without=("_sdc_extracted_at",)) for schema in schemas)
    assert as_found == as_wanted
    assert len(as_found[1]) == len(RECORDS)


@pytest.mark.parametrize("use_copy", [True, False])
def test_nul_is_replaced_at_every_depth(postgres: Postgres, *, use_copy: bool) -> None:
    schema = f"nul_{use_copy}".lower()
    thing = {"deep": [{"a\0b": "\0\0", "text": "\\u0000 \\\\u0000"}]}
    lines = messages([{"id": "one\0two", "text": "\\\0", "thing": thing, "things": [["\0"]]}])
    replace(EXACT, settings={"use_copy": use_copy}).load(postgres, schema, lines)
    query = sql.SQL("SELECT id, text, thing, things FROM {}").format(sql.Identifier(schema, "things"))
    with postgres.connect() as connection:
        row = connection.execute(query).fetchone()
    assert row == (
        "one\ufffdtwo",
        "\\\ufffd",
        {"deep": [{"a\ufffdb": "\ufffd\ufffd", "text": "\\u0000 \\\\u0000"}]},
        [["\ufffd"]],
    )


@pytest.mark.parametrize(
    "record",
    [
        {"at": "no time at all", "unknown": 1},
        {"at": "infinity"},
        {"day": "today"},
        {"clock": "allballs"},
        {"amount": "not a number"},
        {"flag": 2},
        {"words": "no array"},
        {"id": None},
    ],
    ids=lambda record: "-".join(map(str, record.values())),
)
def test_what_has_no_place_in_the_table_ends_the_load(postgres: Postgres, record: dict[str, Any]) -> None:
    EXACT.load(postgres, "refused", messages([{}, record]), fails=True)
    with postgres.connect() as connection:
        assert connection.execute("SELECT count(*) FROM refused.things").fetchone() == (0,)


@pytest.mark.parametrize("use_copy", [True, False])
def test_date_times_are_stored_in_utc(postgres: Postgres, *, use_copy: bool) -> None:
    schema = f"times_{use_copy}".lower()
    role = sql.Identifier(postgres.user)
    with postgres.connect() as connection:
        connection.execute(sql.SQL("ALTER ROLE {} SET timezone TO 'America/New_York'").format(role))
        try:
            replace(EXACT, settings={"use_copy": use_copy}).load(
                postgres, schema, messages([{"at": "2024-02-29T23:59:59+05:30"}])
            )
        finally:
            connection.execute(sql.SQL("ALTER ROLE {} RESET timezone").format(role))
        query = sql.SQL("SELECT at::text, _sdc_extracted_at::text FROM {}").format(sql.Identifier(schema, "things"))
        assert connection.execute(query).fetchone() == ("2024-02-29 18:29:59", "2026-01-02 03:04:05")


def test_each_row_is_written_once(postgres: Postgres) -> None:
    records: list[dict[str, Any]] = [{} for _ in range(10)]
    changed = [{"id": f"key {line}", "text": "changed"} for line in range(4)]
    written = "SELECT n_tup_ins, n_tup_upd FROM pg_stat_user_tables WHERE schemaname = 'once' AND relname = 'things'"
    for lines, expected in ((messages(records), (10, 0)), (messages(changed), (10, 4))):
        EXACT.load(postgres, "once", lines)
        with postgres.connect() as connection:
            assert connection.execute(written).fetchone() == expected


def test_the_state_goes_out_when_all_before_it_is_loaded(postgres: Postgres) -> None:
    schema, *records = messages([{}] * (MERGES * BATCH)).splitlines(keepends=True)
    others = messages([{}, {}]).replace(b'"things"', b'"others"').splitlines(keepends=True)
    state = {"bookmarks": {"things": len(records) - 1, "others": 2}}
    lines = [schema, *others, *records[:-1], state_line(state), records[-1]]
    with EXACT.start(postgres, "state") as process:
        send(process, *lines)
        # Standard input is still open: the state is not that of the end.
        assert state_from(process) == state
        assert [count(postgres, "state", name) for name in ("things", "others")] == [len(records), 2]


def test_a_batch_is_merged_beside_the_reading_of_the_next(postgres: Postgres) -> None:
    schema, *records = messages([{"text": "long" * LONG}] * (2 * BATCH)).splitlines(keepends=True)
    with EXACT.start(postgres, "beside") as process, locked(postgres, "beside", process, schema):
        send(process, *records[:BATCH])
        until(lambda: is_waited_for(postgres, "beside"))
        # More than the pipe holds, so that writing ends when nearly all is read.
        send(process, *records[BATCH:-1])
        assert count(postgres, "beside", "things") == 0


@pytest.mark.parametrize("stopped", [False, True], ids=["ended", "stopped"])
def test_the_end_waits_for_what_is_merged(postgres: Postgres, *, stopped: bool) -> None:
    name = f"waits_{stopped}".lower()
    schema, *records = messages([{}] * (BATCH + 1)).splitlines(keepends=True)
    state = {"bookmarks": {"things": len(records)}}
    with EXACT.start(postgres, name) as process:
        with locked(postgres, name, process, schema):
            send(process, *records, state_line(state))
            until(lambda: is_waited_for(postgres, name))
            if stopped:
                # By then the last line is read.
                time.sleep(1)
                process.terminate()
            else:
                assert process.stdin is not None
                process.stdin.close()
            time.sleep(1)
            assert process.poll() is None
        assert state_from(process) == state
        assert count(postgres, name, "things") == len(records)
        assert process.wait(SECONDS_TO_LOAD) == 0


def test_a_batch_that_cannot_be_merged_ends_the_load(postgres: Postgres) -> None:
    schema, *records = messages([{}] * BATCH).splitlines(keepends=True)
    with EXACT.start(postgres, "unmerged") as process:
        refuse(postgres, "unmerged", process, schema)
        lines = b"".join([*records, state_line({"bookmarks": {"things": len(records)}})])
        told, said = process.communicate(lines, SECONDS_TO_LOAD)
    assert process.returncode != 0
    assert b"of_a_stranger" in said
    assert told == b""
    assert count(postgres, "unmerged", "things") == 0


def test_a_load_that_is_stopped_says_that_a_batch_was_not_merged(postgres: Postgres) -> None:
    schema, *records = messages([{}] * BATCH).splitlines(keepends=True)
    with EXACT.start(postgres, "unsaid") as process:
        refuse(postgres, "unsaid", process, schema)
        send(process, *records, state_line({"bookmarks": {"things": len(records)}}))
        # By then the last line is read.
        time.sleep(2)
        process.terminate()
        told, said = process.communicate(timeout=SECONDS_TO_LOAD)
    assert told == b""
    assert b"A batch of 'things' could not be merged" in said
    assert count(postgres, "unsaid", "things") == 0


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
    schema, *records = messages([{}] * BATCH).splitlines(keepends=True)
    with EXACT.start(postgres, "fails") as process, locked(postgres, "fails", process, schema):
        send(process, *records)
        until(lambda: is_waited_for(postgres, "fails"))
        stranger = {"type": "RECORD", "stream": "strangers", "record": {}}
        told, said = process.communicate(json.dumps(stranger).encode() + b"\n", SECONDS_TO_LOAD)
    assert process.returncode != 0
    assert told == b""
    assert b"strangers" in said.splitlines()[-1]


def test_without_a_key_each_batch_lets_the_state_out(postgres: Postgres) -> None:
    schema, *records = messages([{}] * BATCH, keyed=False).splitlines(keepends=True)
    state = {"bookmarks": {"things": BATCH}}
    lines = [schema, state_line(state), *records]
    with EXACT.start(postgres, "keyless") as process:
        send(process, *lines)
        assert state_from(process) == state
        assert count(postgres, "keyless", "things") == BATCH


def test_messages_are_read_from_a_file(postgres: Postgres, tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_bytes(messages(RECORDS))
    EXACT.load(postgres, "piped", file.read_bytes())
    EXACT.load(postgres, "named", b"", "--input", str(file))
    assert table(postgres, "named", "things") == table(postgres, "piped", "things")
