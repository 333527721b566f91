"""Meltano projects for the demo and the tests: with the project's own `meltano.yml`, and nobody else's settings."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
MELTANO = ROOT / ".venvs" / "meltano" / "bin" / "meltano"
PLUGINS = ROOT / ".meltano"
SECONDS_TO_END = 10


class MeltanoError(Exception):
    """Meltano ended with an error; the text is all that it wrote."""


class Project:
    """A Meltano project in a folder, with the plugins that `make setup` installed, and state and settings of its own.

    Args:
        folder: Where it is, or is to be.
        settings: Environment variables, over the caller's; the caller's own settings for Meltano and its plugins
            are left out.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.file = folder / "meltano.yml"
        ours = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MELTANO_", "TAP_PAYMENTS_", "TARGET_", "PG")) and name != "PYTHONDONTWRITEBYTECODE"
        }
        # The plugins are installed under the paths of another project, which must not lead to installing them again.
        self.environment = {**ours, "MELTANO_AUTO_INSTALL": "false", "NO_COLOR": "1", **(settings or {})}
        (folder / ".meltano").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "meltano.yml", self.file)
        for kind in ("extractors", "loaders"):
            link = folder / ".meltano" / kind
            if not link.is_symlink():
                link.symlink_to(PLUGINS / kind)

    def executable(self, name: str) -> Path:
        """Return the path of a plugin's program, such as `target-jsonl`."""
        kind = "extractors" if name.startswith("tap-") else "loaders"
        return PLUGINS / kind / name / "venv" / "bin" / name

    def start(self, *words: str, settings: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a Meltano command; what it writes, on both channels, comes out of `stdout`.

        It and all that it starts are a process group, out of reach of the terminal's Ctrl-C.
        """
        return subprocess.Popen(
            [MELTANO, *words],
            cwd=self.folder,
            env={**self.environment, **(settings or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def run(self, *words: str, settings: Mapping[str, str] | None = None, fails: bool = False) -> str:
        """Run a Meltano command to its end and return its output, on both channels.

        Raises:
            MeltanoError: If it ends with an error, or, where it `fails`, without one.
        """
        process = self.start(*words, settings=settings)
        try:
            output, _ = process.communicate()
        finally:
            end(process)
        if fails is (process.returncode == 0):
            raise MeltanoError(f"`meltano {' '.join(words)}` ended with {process.returncode}:\n{output}")
        return output


class KeptState:
    """The bookmarks that Meltano keeps in its database, without starting Meltano.

    Args:
        project: The project.
        state_id: The name of the state.
    """

    def __init__(self, project: Project, state_id: str) -> None:
        self._file, self._id = project.folder / ".meltano" / "meltano.db", state_id

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the bookmarks of the tap; empty where none are kept yet."""
        query = "SELECT completed_state, partial_state FROM state WHERE state_id = ?"
        rows = []
        with closing(self._connect()) as connection, suppress(sqlite3.OperationalError):
            rows = connection.execute(query, [self._id]).fetchall()
        bookmarks: dict[str, dict[str, Any]] = {}
        # What a run with the strategy `merge` left stands beside what is complete, and goes over it.
        for text in (text for row in rows for text in row if text):
            for stream, bookmark in json.loads(text).get("singer_state", {}).get("bookmarks", {}).items():
                bookmarks.setdefault(stream, {}).update(bookmark)
        return bookmarks

    def write(self, bookmarks: dict[str, Any]) -> None:
        """Replace the bookmarks of the tap."""
        kept = json.dumps({"singer_state": {"bookmarks": bookmarks}})
        with closing(self._connect()) as connection, connection:
            connection.execute(
                "UPDATE state SET completed_state = ?, partial_state = '{}' WHERE state_id = ?", [kept, self._id]
            )

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, timeout=SECONDS_TO_END)


def end(process: subprocess.Popen[str]) -> None:
    """End a command and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_END)
    if process.stdout is not None:
        process.stdout.close()
