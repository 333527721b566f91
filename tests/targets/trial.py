"""The tap piped into a target, night after night, and what the target made of it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import textwrap
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import dict_row

from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.tap_runs import TAP, environment, tap_config
from tests.targets import readback
from tests.targets.declarations import JSON, TARGETS, Target, fill_in
from tests.targets.stores import installed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import Postgres
    from tests.targets.stores import ObjectStore

SIZES = {"charges": 120, "products": 6, "customers": 40, "subscriptions": 12}
INCREMENTAL = ("charges", "customers", "subscriptions")
# More digits than a double keeps, and a zero at the end that is none.
AMOUNTS = ("12345678901234567.89", "1234.50")
UNDECLARED = "risk_score"
SECONDS = 180


@dataclass(frozen=True)
class Run:
    """A run of tap and target.

    Attributes:
        messages: What the tap sent.
        state: The last line that the target printed, decoded; None where there is none.
        error: The last line of the log of the one that failed; empty where both went well.
    """

    messages: list[JSON]
    state: Any
    error: str

    @property
    def sent_state(self) -> Any:
        """The last STATE that the tap sent."""
        return next(message["value"] for message in reversed(self.messages) if message["type"] == "STATE")

    def records(self, stream: str) -> dict[str, JSON]:
        """Return the records of a stream, by key."""
        sent = (m["record"] for m in self.messages if m["type"] == "RECORD" and m["stream"] == stream)
        return {record[STREAMS[stream].key]: record for record in sent}


class Experiment:
    """A place of its own that a target writes to, and the account that is read."""

    def __init__(self, target: Target, folder: Path, postgres: Postgres, s3: ObjectStore, name: str) -> None:
        self.target, self._postgres, self._s3 = target, postgres, s3
        self._work = folder / target.name / name
        self._folder = self._work / "out"
        self._folder.mkdir(parents=True)
        self._schema, self._prefix = f"{target.name}_{name}".replace("-", "_"), f"{target.name}/{name}"
        if target.reader == "postgres":
            with postgres.connect() as connection:
                # Not every target makes it.
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self._schema)))
        self.api = FakeAPI(make_account(**SIZES, php=True), provider="chargedesk")
        self.charges = self.api.account["charges"]
        keys = self.charges.keys()
        for key, amount in zip(keys, AMOUNTS, strict=False):
            self.charges.update(key, {"amount": amount})
        for key in keys[1::2]:
            self.charges.update(key, {UNDECLARED: 12.5})

    @property
    def _place(self) -> JSON:
        """The values of names in braces in the settings."""
        return {
            "folder": str(self._folder),
            "work": str(self._work),
            "schema": self._schema,
            "host": "127.0.0.1",
            "port": self._postgres.port,
            "user": self._postgres.user,
            "password": self._postgres.password,
            "database": self._postgres.database,
            "s3": self._s3.url,
            "bucket": self._s3.bucket,
            "prefix": self._prefix,
        }

    def run(self, *, catalog: JSON | None = None, state: Any = None, hard: bool = False, **settings: object) -> Run:
        """Run the tap into the target."""
        # The names of files have the second in them, and nights are further apart.
        time.sleep(1)
        with self.api:
            config = tap_config(self.api, **{**self.target.tap, **settings})
            tap: list[str | Path] = [TAP]
            for option, value in (("config", config), ("catalog", catalog), ("state", state)):
                if value is not None:
                    tap += [f"--{option}", self._file(f"{option}.json", value)]
            sent = self._work / "sent.jsonl"
            printed, error = self._pipe([tap, ["tee", sent], *self._loaders(hard=hard)])
        last = None
        with suppress(ValueError, IndexError):
            last = json.loads(printed[-1])
        messages = [json.loads(text) for text in sent.read_text(encoding="utf-8").splitlines() if text.endswith("}")]
        return Run(messages, last, error)

    def _pipe(self, stages: list[list[str | Path]]) -> tuple[list[str], str]:
        """Run a pipe; return the lines that its end printed, and the last line of the stage that failed."""
        logs = [self._work / f"{number}.log" for number in range(len(stages))]
        codes = self._work / "codes"
        line = " | ".join(
            f"{shlex.join(map(str, stage))} 2> {shlex.quote(str(log))}" for stage, log in zip(stages, logs, strict=True)
        )
        line += f'; echo "${{PIPESTATUS[@]}}" > {shlex.quote(str(codes))}'
        process = subprocess.Popen(
            ["bash", "-c", line],
            cwd=self._folder,
            env=environment({"TMPDIR": str(self._work)}),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            stdout, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return [], f"does not end within {SECONDS} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        # A target that fails takes those before it along.
        failed = [log for log, code in zip(logs, codes.read_text().split(), strict=True) if code != "0"]
        error = _last_line(failed[-1]) if failed else ""
        return [text for text in stdout.splitlines() if text.strip()], error

    def _loaders(self, *, hard: bool) -> list[list[str | Path]]:
        """Return the command of the target; for a mapper also that of the one that follows."""
        commands: list[list[str | Path]] = []
        target: Target | None = self.target
        while target is not None:
            settings = fill_in(target.settings, self._place) | (target.hard if hard else {})
            config = self._file(f"{target.name}.json", settings)
            more = [fill_in(argument, self._place) for argument in target.arguments]
            commands.append([self._programs(target) / target.program, "--config", config, *more])
            target = TARGETS.get(target.into)
        return commands

    def _programs(self, target: Target) -> Path:
        return installed(target.name, target.requirements, target.overrides, target.python)

    def _file(self, name: str, value: Any) -> Path:
        file = self._work / name
        file.write_text(json.dumps(value), encoding="utf-8")
        return file

    def read(self, stream: str) -> tuple[list[JSON], dict[str, str]]:
        """Return the rows of a stream and the types of its columns, where they have any."""
        if self.target.reader == "postgres":
            return self._query(stream)
        self._s3.download(self._prefix, self._folder)
        files = sorted(f for f in self._folder.glob(self.target.files.format(stream=stream)) if f.is_file())
        python = self._programs(self.target) / "python"
        command: list[str | Path] = [python, readback.__file__, self.target.reader, stream, *files]
        answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        return answer["rows"], answer["types"]

    def _query(self, stream: str) -> tuple[list[JSON], dict[str, str]]:
        columns = (
            "SELECT column_name, data_type || coalesce('(' || numeric_precision || ',' || numeric_scale || ')', '') "
            "FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
        )
        table = sql.SQL("SELECT * FROM {}").format(sql.Identifier(self._schema, stream))
        with self._postgres.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            types = dict(connection.execute(columns, [self._schema, stream]).fetchall())
            return (cursor.execute(table).fetchall() if types else []), types


def _last_line(log: Path) -> str:
    """Return the last line of a log, short enough for a table."""
    lines = log.read_text(encoding="utf-8").strip().splitlines() or ["no reason given"]
    return textwrap.shorten(lines[-1], 60, placeholder=" …").replace("|", "\\|")
