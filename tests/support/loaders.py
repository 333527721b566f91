"""The loader that `meltano.yml` installs and the one that it is made from, what is piped into them, and the tables."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import dict_row

from tests.fake_api.providers import STREAMS
from tests.support.fork_server import ForkedProcess, Program
from tests.support.in_process import run_in_process
from tests.support.meltano import PLUGINS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tests.support.postgres import Postgres


@dataclass(frozen=True)
class Loader:
    """A target and its settings."""

    program: str
    module: str
    settings: Mapping[str, Any]

    def load(self, postgres: Postgres, schema: str, lines: bytes, *more: str, fails: bool = False) -> None:
        """Load messages into a schema, and hold that it went well, or that it `fails`."""
        program = Program(str(PROGRAMS / self.program), loads=self.module, python=str(PROGRAMS / "python"))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "stdin").write_bytes(lines)
            (folder / "config.json").write_text(self.config(postgres, schema), encoding="utf-8")
            arguments = ["--config", "config.json", *more]
            process = ForkedProcess(arguments, cwd=folder, env=os.environ, program=program)
            try:
                exit_code = process.wait(SECONDS_TO_LOAD)
            finally:
                process.kill()
            log = (folder / "stderr").read_text(encoding="utf-8")
        assert (exit_code != 0) is fails, log[-3000:]

    def using(self, **settings: object) -> Loader:
        """Return it with other settings over its own."""
        return replace(self, settings={**self.settings, **settings})

    def config(self, postgres: Postgres, schema: str) -> str:
        """Return its settings for a schema, as JSON."""
        address = {name.removeprefix("TARGET_POSTGRES_").lower(): one for name, one in postgres.target_settings.items()}
        others = {"port": postgres.port, "default_target_schema": schema, "validate_records": False}
        return json.dumps({**address, **others, **self.settings})

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


def messages(records: Iterable[dict[str, Any]], *, keyed: bool = True, more: Iterable[str] = ()) -> bytes:
    """Write what a tap would, with every field in every other record and few in the rest; `more` fields are texts."""
    schema = {"type": "object", "properties": PROPERTIES | dict.fromkeys(more, PROPERTIES["text"])}
    key = ["id"] if keyed else []
    lines: list[dict[str, Any]] = [{"type": "SCHEMA", "stream": "things", "schema": schema, "key_properties": key}]
    for line, record in enumerate(records):
        values = {**(NOTHING if line % 2 else {}), "id": f"key {line}", "line": line, **record}
        extracted = f"2026-01-02T03:04:05.{line:06}+00:00"
        lines.append({"type": "RECORD", "stream": "things", "record": values, "time_extracted": extracted})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def table(
    postgres: Postgres, schema: str, name: str, *, without: Sequence[str] = ()
) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """Return the columns of a table with their types, and its rows, each value as PostgreSQL writes it."""
    columns = column_types(postgres, schema, name)
    texts = [sql.SQL("{}::text").format(sql.Identifier(one)) for one in columns if one not in (*OF_THE_RUN, *without)]
    missing = [sql.SQL("{} IS NULL").format(sql.Identifier(column)) for column in OF_THE_RUN]
    source = sql.Identifier(schema, name)
    with postgres.connect() as connection:
        rows = connection.execute(sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(texts), source)).fetchall()
        where = sql.SQL(" OR ").join(missing)
        assert not connection.execute(sql.SQL("SELECT FROM {} WHERE {}").format(source, where)).fetchall()
    return columns, sorted(rows, key=str)


def column_types(postgres: Postgres, schema: str, name: str) -> dict[str, str]:
    """Return the type of each column of a table."""
    query = "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    with postgres.connect() as connection:
        return dict(connection.execute(query, [schema, name]).fetchall())


def count(postgres: Postgres, schema: str, name: str) -> int:
    """Return how many rows a table has."""
    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
    with postgres.connect() as connection:
        ((rows,),) = connection.execute(query).fetchall()
    return int(rows)


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


@dataclass(frozen=True)
class Warehouse:
    """The tables of one schema."""

    postgres: Postgres
    schema: str

    def rows(self, table: str) -> dict[str, dict[str, Any]]:
        """Return a table's rows by their keys, of which none comes twice, without the columns that the target adds."""
        key = STREAMS[table].key
        with self.postgres.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(self.schema, table))).fetchall()
        rows = {row[key]: {name: value for name, value in row.items() if not name.startswith("_sdc_")} for row in found}
        assert len(rows) == len(found)
        return rows

    def counts(self) -> dict[str, int]:
        """Count the rows of each table."""
        return {stream: count(self.postgres, self.schema, stream) for stream in STREAMS}

    def types(self, table: str) -> dict[str, str]:
        """Return the type of each column."""
        return column_types(self.postgres, self.schema, table)


def pipe(
    config: dict[str, Any],
    postgres: Postgres,
    schema: str,
    *,
    catalog: dict[str, Any] | None = None,
    **settings: object,
) -> tuple[str, Warehouse]:
    """Pipe the tap into the loader with these settings; return the tap's log, and the tables."""
    run = run_in_process(config, catalog=catalog).expect_success()
    EXACT.using(batch_size_rows=10_000, **settings).load(postgres, schema, run.stdout)
    return run.stderr, Warehouse(postgres, schema)
