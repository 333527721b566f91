"""Run the tap as a process, as a user does, and read its output."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.fake_api.providers import STREAMS
from tests.support.fork_server import ForkedProcess
from tests.support.waiting import SOON

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import Self

    from tests.fake_api import FakeAPI

JSON = dict[str, Any]

# The program that a user calls.
TAP = Path(sys.executable).with_name("tap-payments")
# The most that the tap takes: as good as no limit, where a provider's default would make a test wait.
NO_LIMIT = 1_000_000


def tap_config(api: FakeAPI, **settings: object) -> JSON:
    """Return a configuration for a fake API without waits, with these settings over it; None leaves one out."""
    config: JSON = {
        "provider": api.provider,
        "base_url": api.url,
        "username": api.username,
        "password": api.password,
        "requests_per_minute": NO_LIMIT,
        "backoff_factor": 0.01,
        **settings,
    }
    return {name: value for name, value in config.items() if value is not None}


def catalog_with(
    *,
    only: Iterable[str] = tuple(STREAMS),
    incremental: Iterable[str] = (),
    deselect: Iterable[str] = (),
    undeclared: bool = False,
) -> JSON:
    """Return a catalog as Meltano writes it: what is selected, and how it is replicated, in metadata.

    `deselect` names streams and fields, `charges` or `charges.amount`; with `undeclared` all other fields pass.
    """
    catalog = copy.deepcopy(discovered_catalog())
    streams, fields = set(only) - set(deselect), {tuple(name.split(".", 1)) for name in deselect if "." in name}
    for entry in catalog["streams"]:
        name = entry["tap_stream_id"]
        if undeclared:
            entry["schema"]["additionalProperties"] = True
        for item in entry["metadata"]:
            metadata, breadcrumb = item["metadata"], item["breadcrumb"]
            if not breadcrumb:
                metadata["selected"] = name in streams
                if name in incremental:
                    metadata["replication-method"] = "INCREMENTAL"
            elif (name, breadcrumb[-1]) in fields:
                metadata["selected"] = False
    return catalog


@lru_cache(maxsize=1)
def discovered_catalog() -> JSON:
    """Return the catalog that the tap offers; it is made once."""
    command = [sys.executable, "-m", "tap_payments", "--discover"]
    catalog: JSON = json.loads(subprocess.check_output(command, env=environment(), timeout=2 * SOON))
    return catalog


def environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without settings of the tap in it, and with `env` over it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TAP_PAYMENTS_")}
    paths = (str(Path(__file__).parents[2]), inherited.get("PYTHONPATH"))
    return inherited | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | dict(env or {})


@dataclass(frozen=True)
class TapRun:
    """The outcome of a run: its exit code, negative if a signal killed it, its whole Singer messages, and its log."""

    exit_code: int
    messages: list[JSON]
    stderr: str

    def records(self, stream: str) -> list[JSON]:
        """Return the records of a stream, in order."""
        return [one["record"] for one in self.messages if one["type"] == "RECORD" and one["stream"] == stream]

    def keys(self, stream: str) -> list[str]:
        """Return the keys of a stream's records, in order."""
        field = STREAMS[stream].key
        return [record[field] for record in self.records(stream)]

    @cached_property
    def states(self) -> list[JSON]:
        """The values of the STATE messages, in order."""
        return [message["value"] for message in self.messages if message["type"] == "STATE"]

    @property
    def state(self) -> JSON | None:
        """The last STATE, which the next run gets."""
        return self.states[-1] if self.states else None

    def bookmark(self, stream: str) -> Any:
        """Return the bookmark of a stream in the last STATE; None where there is none."""
        return bookmark_in(self.state, stream)

    def bookmarks(self, stream: str) -> list[Any]:
        """Return the bookmarks of a stream in all STATEs that have one, in order."""
        found = (bookmark_in(state, stream) for state in self.states)
        return [bookmark for bookmark in found if bookmark is not None]

    @cached_property
    def schemas(self) -> dict[str, JSON]:
        """The SCHEMA message of each stream."""
        return {message["stream"]: message for message in self.messages if message["type"] == "SCHEMA"}

    @property
    def lines(self) -> list[str]:
        """The lines of the log."""
        return self.stderr.splitlines()

    @property
    def errors(self) -> list[str]:
        """The lines of the log at level ERROR and above."""
        return [line for line in self.lines if "| ERROR " in line or "| CRITICAL " in line]

    def logged(self, *words: str) -> list[str]:
        """Return the lines of the log that have all of these words."""
        return [line for line in self.lines if all(word in line for word in words)]

    def expect_success(self) -> Self:
        """Assert that the run went well."""
        assert self.exit_code == 0, self.stderr
        assert not self.errors
        return self

    @property
    def failed(self) -> list[str]:
        """The streams that the last line says have failed."""
        found = re.search(r"\| streams that failed: ([^;]*);", self.lines[-1])
        return found[1].split(", ") if found else []

    def expect_failure(self, *words: str) -> Self:
        """Assert that the run failed as failures must: exit 1, and one ERROR line, with these words.

        It is the last line, or that of a stream, and the last line names the streams that failed.
        """
        assert self.exit_code == 1, (self.exit_code, self.stderr)
        assert "Traceback" not in self.stderr
        assert self.errors[-1:] == self.lines[-1:], self.stderr
        causes = self.errors[:-1] if self.failed else self.errors
        assert len(causes) == (len(self.failed) or 1), self.stderr
        assert all(f"| {stream}: " in cause for stream, cause in zip(self.failed, causes, strict=False))
        assert any(all(word in cause for word in words) for cause in causes), (words, causes)
        return self


def bookmark_in(state: Mapping[str, Any] | None, stream: str) -> Any:
    """Return the bookmark of a stream in a STATE; None where there is none."""
    return ((state or {}).get("bookmarks") or {}).get(stream, {}).get("replication_key_value")


def write_files(folder: Path, **contents: JSON | None) -> list[str]:
    """Write the files of a run, and return the options that name them."""
    arguments = []
    for option, content in contents.items():
        if content is not None:
            (folder / f"{option}.json").write_text(json.dumps(content), encoding="utf-8")
            arguments += [f"--{option}", str(folder / f"{option}.json")]
    return arguments


class TapProcess:
    """A run that may be killed while it works; `finish` waits for its end.

    It is started from scratch where it has an environment of its own, which may count from the beginning.
    """

    def __init__(self, config: JSON, catalog: JSON | None, state: JSON | None, env: Mapping[str, str] | None) -> None:
        self._folder = TemporaryDirectory()
        folder = Path(self._folder.name)
        arguments = write_files(folder, config=config, catalog=catalog, state=state)
        # Files, not pipes: they take all that the tap writes, whoever reads.
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        self._process: ForkedProcess | subprocess.Popen[bytes]
        if env is None:
            self._process = ForkedProcess(arguments, cwd=folder, env=environment())
            return
        command = [sys.executable, "-m", "tap_payments", *arguments]
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(command, cwd=folder, env=environment(env), stdout=stdout, stderr=stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        self._process.send_signal(number)

    def written(self) -> list[JSON]:
        """Return the messages it has written so far."""
        return _messages(self._stdout.read_bytes())

    def finish(self, timeout: float = 2 * SOON) -> TapRun:
        """Wait for its end; return its outcome, or kill it and raise `subprocess.TimeoutExpired`."""
        with self:
            exit_code = self._process.wait(timeout)
            stdout, stderr = self._stdout.read_bytes(), self._stderr.read_text(encoding="utf-8")
        if exit_code != -signal.SIGKILL:
            assert stdout in {b"", stdout.rstrip(b"\n") + b"\n"}, "the last line is not whole"
        return TapRun(exit_code, _messages(stdout), stderr)


def start_tap(
    config: JSON, *, catalog: JSON | None = None, state: JSON | None = None, env: Mapping[str, str] | None = None
) -> TapProcess:
    """Start a run, to be killed or to be waited for."""
    return TapProcess(config, catalog, state, env)


def run_tap(
    config: JSON,
    *,
    catalog: JSON | None = None,
    state: JSON | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 2 * SOON,
) -> TapRun:
    """Run the tap to its end, with these environment variables over those of the tests; return its outcome."""
    return start_tap(config, catalog=catalog, state=state, env=env).finish(timeout)


def _messages(output: bytes) -> list[JSON]:
    return [json.loads(line) for line in output.split(b"\n")[:-1]]
