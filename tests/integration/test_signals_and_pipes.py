"""Signals and pipes that close: whole lines to a target that reads, a last STATE that is true, and an end soon."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import Fault, Hang, Status
from tests.support.in_process import expect_one_error
from tests.support.states import batch_config, expect_true_states
from tests.support.tap_runs import TAP, TapRun, catalog_with, environment, start_tap, tap_config, write_files
from tests.support.waiting import SOON, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130}

Settings = dict[str, Any]
WAITS: dict[str, tuple[Fault | None, Settings]] = {
    "silence": (Hang(None), {"request_timeout": 300}),
    "backoff": (Status(503), {"backoff_factor": 200}),
    "what a 429 asks": (Status(429, {"Retry-After": "200"}), {}),
    "pace": (None, {"requests_per_minute": 0.5}),
}
STATE = {"bookmarks": {"customers": {"replication_key": "first_seen", "replication_key_value": 1_700_000_000}}}


@pytest.mark.parametrize(
    ("numbers", "pause", "concurrency"),
    [
        ((signal.SIGTERM,), 0, 1),
        ((signal.SIGINT, signal.SIGTERM), 0, 4),
        ((signal.SIGTERM, signal.SIGINT, signal.SIGTERM), 0.05, 1),
    ],
    ids=["SIGTERM", "both at once", "one after another"],
)
@pytest.mark.parametrize(("fault", "settings"), WAITS.values(), ids=WAITS)
def test_every_wait_ends_with_the_first_signal(
    fault: Fault | None, settings: Settings, numbers: tuple[signal.Signals, ...], pause: float, concurrency: int
) -> None:
    with FakeAPI(make_account(charges=40)) as api:
        if fault:
            api.faults.add(fault, times=None, when=lambda params: params["offset"] != "0")
        config = tap_config(api, page_size=10, concurrency=concurrency, **settings)
        process = start_tap(config, catalog=catalog_with(only=["charges"]), state=STATE)
        wait_until(lambda: len(api.requests) > (fault is not None))
        # The first page is out as soon as it is there, whatever the next one waits for.
        wait_until(lambda: sum(one["type"] == "RECORD" for one in process.written()) == 10)
        for number in numbers:
            process.send(number)
            time.sleep(pause)
        run = process.finish(timeout=SOON)
    # Of signals that come at once Python handles the one with the smallest number first.
    assert run.exit_code in {SIGNALS[number] for number in (numbers[:1] if pause else numbers)}
    assert run.errors == []
    assert "Traceback" not in run.stderr
    assert len(run.logged("Stopped by signal")) == 1
    assert run.keys("charges") == api.account.keys("charges")[:10]
    assert run.messages[-1] == {"type": "STATE", "value": STATE}


@contextmanager
def piped(
    api: FakeAPI,
    folder: Path,
    *,
    incremental: bool = False,
    state: Settings | None = None,
    streams: dict[str, int] | None = None,
    **settings: Any,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the tap into a pipe, with its log in a file, or into other `streams`."""
    catalog = catalog_with(only=["charges"], incremental=["charges"] if incremental else [])
    command = [str(TAP), *write_files(folder, config=tap_config(api, **settings), catalog=catalog, state=state)]
    with (folder / "stderr").open("wb") as log:
        files: Settings = {"stdout": subprocess.PIPE, "stderr": log, **(streams or {})}
        process = subprocess.Popen(command, env=environment(), stdout=files["stdout"], stderr=files["stderr"])
    with process:
        try:
            yield process
        finally:
            process.kill()


def stand_still(api: FakeAPI, process: subprocess.Popen[bytes]) -> None:
    """Wait until a run stands still because its output is not read."""
    wait_until(lambda: len(api.requests) >= 2)
    standing = 0
    while standing != len(api.requests):
        standing = len(api.requests)
        time.sleep(0.7)
    assert process.poll() is None, "it has written all"


def last_line(folder: Path) -> str:
    """Return the last line of the log, after holding that it has no traceback, and no ERROR before that line."""
    log = (folder / "stderr").read_text(encoding="utf-8")
    for word in ("Traceback", "Exception ignored", "BrokenPipeError"):
        assert word not in log
    *before, last = log.splitlines() or [""]
    assert not [line for line in before if "| ERROR" in line]
    return last


def test_a_signal_cuts_no_line_and_a_slow_target_gets_the_last_state(tmp_path: Path) -> None:
    with FakeAPI(make_account(charges=3_000)) as api, piped(api, tmp_path, state=STATE, page_size=500) as process:
        stand_still(api, process)
        process.send_signal(signal.SIGTERM)
        assert process.stdout
        messages = []
        for line in process.stdout:
            messages.append(json.loads(line))
            time.sleep(0.0001)
        assert process.wait(SOON) == 143
    assert messages[-1] == {"type": "STATE", "value": STATE}
    assert messages[-2]["type"] == "RECORD"
    assert len(messages) < 3_000
    assert "| ERROR" not in last_line(tmp_path)


@pytest.mark.parametrize(
    ("number", "incremental"), [(signal.SIGTERM, False), (signal.SIGINT, True)], ids=["FULL_TABLE", "INCREMENTAL"]
)
def test_a_signal_ends_a_run_whose_target_does_not_read(
    number: signal.Signals, tmp_path: Path, *, incremental: bool
) -> None:
    with (
        FakeAPI(make_account(charges=3_000), provider="chargedesk") as api,
        piped(api, tmp_path, incremental=incremental, page_size=50) as process,
    ):
        stand_still(api, process)
        process.send_signal(number)
        time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(SOON) == SIGNALS[number]
        assert process.stdout
        # The last line may be cut, which targets refuse.
        messages = [json.loads(line) for line in process.stdout.read().split(b"\n")[:-1]]
    run = TapRun(SIGNALS[number], messages, "")
    expect_true_states(run, api)
    assert 0 < len(run.keys("charges")) < 3_000
    assert bool(run.states) is incremental
    assert "Stopped by signal" in last_line(tmp_path)


def test_a_signal_ends_a_run_whose_log_nobody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGLEVEL", "DEBUG")
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with FakeAPI(make_account(charges=3_000)) as api, piped(api, tmp_path, page_size=3, streams=streams) as process:
        stand_still(api, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON) == 143


def test_an_interpreter_that_is_slow_to_end_keeps_the_exit_code_of_the_first_signal() -> None:
    # What a module holds is deleted when signals have no handlers any more.
    code = """
import signal, sys, time
from tap_payments import cli
class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(0.6)
slow = Slow()
cli.MAX_END = 0.2
signals = cli.StopSignals()
signals.handle(signal.SIGINT)
signals.handle(signal.SIGTERM)
sys.exit(128 + signals.received)
"""
    assert subprocess.run([sys.executable, "-c", code], env=environment(), timeout=SOON, check=False).returncode == 130


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which signals a process handles")
@pytest.mark.parametrize("delay", [0.0, 0.3])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_while_the_tap_is_imported_prints_nothing(
    number: signal.Signals, delay: float, tmp_path: Path
) -> None:
    with FakeAPI(make_account(charges=5)) as api, piped(api, tmp_path) as process:
        api.faults.add(Hang(None), times=None)

        def has_handler() -> bool:
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
            return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

        # Before that Python loads itself, and answers to SIGINT as it likes.
        wait_until(has_handler)
        time.sleep(delay)
        process.send_signal(number)
        assert process.wait(SOON) == SIGNALS[number]
    assert "| ERROR" not in last_line(tmp_path)


@pytest.mark.parametrize("lines", [0, 50])
def test_a_closed_pipe_ends_the_run(lines: int, tmp_path: Path) -> None:
    with FakeAPI(make_account(charges=3_000)) as api, piped(api, tmp_path, page_size=500) as process:
        assert process.stdout
        for _ in range(lines):
            assert json.loads(process.stdout.readline())
        process.stdout.close()
        assert process.wait(SOON) == 1
    line = last_line(tmp_path)
    assert "| ERROR" in line
    assert "the target closed its input" in line


def test_a_closed_pipe_and_a_signal_as_meltano_sends_them(tmp_path: Path) -> None:
    with FakeAPI(make_account(charges=40)) as api:
        api.faults.add(Hang(None), times=None, when=lambda params: params["offset"] != "0")
        with piped(api, tmp_path, page_size=10, request_timeout=300) as process:
            assert process.stdout
            for _ in range(11):
                assert json.loads(process.stdout.readline())
            process.stdout.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(SOON) == 143
    assert "| ERROR" not in last_line(tmp_path)


FULL = "standard output is on a full disk (No space left on device)"


@pytest.mark.parametrize(
    ("limits", "arguments", "cause"),
    [
        *((">/dev/full", arguments, FULL) for arguments in ("--config config.json", "--discover")),
        (">out; ulimit -f 1", "--config config.json", "standard output is on a full disk (File too large)"),
        (">&-", "--config config.json", "standard output is closed"),
        ("1</dev/null", "--config config.json", "standard output cannot be written (Bad file descriptor)"),
        # Of batches; what is closed when a run fails must not try to write once more.
        (">out; ulimit -f 100", "--config batches.json", "the storage takes no batch file (File too large)"),
        (">out", "--config nowhere.json", "batch file (Not a directory): check `batch_config.storage`"),
    ],
)
def test_an_output_that_takes_nothing_is_named(limits: str, arguments: str, cause: str, tmp_path: Path) -> None:
    storages = {"config": None, "batches": tmp_path, "nowhere": Path(__file__) / "folder"}
    command = ["/bin/sh", "-c", f'exec {limits}; exec "{sys.executable}" -m tap_payments {arguments}']
    env = environment({"PYTHONDONTWRITEBYTECODE": "1"})
    with FakeAPI(make_account(charges=2_000)) as api:
        for name, storage in storages.items():
            batches = batch_config(storage, compression="gzip") if storage else None
            write_files(tmp_path, **{name: tap_config(api, batch_config=batches)})
        ended = subprocess.run(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, timeout=SOON, check=False)
    assert ended.returncode == 1
    (tmp_path / "stderr").write_bytes(ended.stderr)
    line = last_line(tmp_path)
    assert "| ERROR" in line
    assert cause in line
    assert str(Path(__file__)) not in line


@pytest.mark.parametrize("is_pipe", [True, False], ids=["pipe", "socket"])
def test_a_standard_output_that_does_not_block_gets_everything(tmp_path: Path, *, is_pipe: bool) -> None:
    reading, writing = os.pipe() if is_pipe else (end.detach() for end in socket.socketpair())
    os.set_blocking(writing, False)
    with FakeAPI(make_account(charges=3_000)) as api, piped(api, tmp_path, streams={"stdout": writing}) as process:
        os.close(writing)
        stand_still(api, process)
        with os.fdopen(reading, "rb") as file:
            output = file.read()
        assert process.wait(SOON) == 0
    assert output.count(b'{"type":"RECORD"') == 3_000
    assert "| ERROR" not in last_line(tmp_path)


def test_a_request_that_hangs_keeps_no_failed_run_from_ending() -> None:
    with FakeAPI(make_account(charges=80)) as api:
        api.faults.add(Status(400), times=None, when=lambda params: params["offset"] == "8")
        api.faults.add(Hang(None), times=None, when=lambda params: int(params["offset"]) > 8)
        config = tap_config(api, page_size=10, concurrency=8, request_timeout=300)
        process = start_tap(config, catalog=catalog_with(only=["charges"]))
        expect_one_error(process.finish(timeout=SOON), "400 Bad Request")
