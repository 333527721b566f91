"""Signals and pipes that close: whole lines to a target that reads, a last STATE that is true, and an end soon."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import Fault, Hang, Status
from tests.fake_api.providers import STREAMS
from tests.support.in_process import expect_one_error, run_in_process
from tests.support.states import batch_config, batch_files, expect_true_states
from tests.support.tap_runs import TAP, TapRun, catalog_with, environment, start_tap, tap_config
from tests.support.waiting import SOON, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130}

Settings = dict[str, Any]
WAITS: dict[str, tuple[Fault | None, Settings]] = {
    "silence": (Hang(None), {"request_timeout": 300}),
    "backoff": (Status(503), {"backoff_factor": 200}),
    "what a 429 asks": (Status(429, {"Retry-After": "200"}), {}),
    "pace": (None, {"requests_per_minute": 0.5}),
}
STATE = {"bookmarks": {"customers": {"replication_key": "first_seen", "replication_key_value": 1_700_000_000}}}


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize(("fault", "settings"), WAITS.values(), ids=WAITS)
def test_every_wait_ends_with_a_signal(
    fault: Fault | None, settings: Settings, number: signal.Signals, concurrency: int
) -> None:
    with FakeAPI(make_account(charges=40)) as api:
        page = 1 if fault else 0
        if fault:
            api.faults.add(fault, times=None, when=lambda params: params["offset"] != "0")
        process = start_tap(
            tap_config(api, page_size=10, concurrency=concurrency, **settings),
            catalog=catalog_with(only=["charges"]),
            state=STATE,
        )
        wait_until(lambda: len(api.requests) > page)
        # The first page is out as soon as it is there, whatever the next one waits for.
        wait_until(lambda: sum(one["type"] == "RECORD" for one in process.written()) == 10)
        process.send(number)
        run = process.finish(timeout=SOON)
    assert run.exit_code == SIGNALS[number]
    assert run.errors == []
    assert "Traceback" not in run.stderr
    assert run.keys("charges") == api.account.keys("charges")[:10]
    assert run.bookmark("customers") == STATE["bookmarks"]["customers"]["replication_key_value"]
    assert run.bookmark("charges") is None


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("batch", [False, True], ids=["records", "batches"])
def test_the_last_state_is_true(number: signal.Signals, tmp_path: Path, *, batch: bool) -> None:
    settings: Settings = {"page_size": 10, "request_timeout": 300}
    if batch:
        settings["batch_config"] = batch_config(tmp_path, 7)
    with FakeAPI(make_account(charges=300), provider="chargedesk") as api:
        api.faults.add(Hang(None), times=None, after=20)
        process = start_tap(
            tap_config(api, **settings), catalog=catalog_with(only=["charges"], incremental=["charges"])
        )
        wait_until(lambda: api.faults.thrown["Hang"])
        process.send(number)
        run = process.finish(timeout=SOON)
        out = expect_true_states(run, api)
    assert run.exit_code == SIGNALS[number]
    assert run.errors == []
    assert run.messages[-1]["type"] == "STATE"
    assert len(run.states) > 10
    assert 100 < len(out) < 300
    files = {path.name for path in batch_files(run.messages)}
    assert {path.name for path in tmp_path.iterdir()} == files, "files that nobody was told of are gone"


@contextmanager
def piped(
    api: FakeAPI,
    tmp_path: Path,
    env: dict[str, str] | None = None,
    *,
    incremental: Iterable[str] = (),
    state: dict[str, Any] | None = None,
    **settings: object,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the tap into a pipe."""
    config, catalog = tmp_path / "config.json", tmp_path / "catalog.json"
    config.write_text(json.dumps(tap_config(api, **settings)), encoding="utf-8")
    catalog.write_text(json.dumps(catalog_with(only=["charges"], incremental=incremental)), encoding="utf-8")
    command = [sys.executable, "-m", "tap_payments", "--config", str(config), "--catalog", str(catalog)]
    if state is not None:
        (tmp_path / "state.json").write_text(json.dumps(state), encoding="utf-8")
        command += ["--state", str(tmp_path / "state.json")]
    with (tmp_path / "stderr").open("wb") as stderr:
        process = subprocess.Popen(command, env=environment(env), stdout=subprocess.PIPE, stderr=stderr)
    try:
        yield process
    finally:
        with suppress(OSError):
            process.kill()
        process.wait()
        assert process.stdout
        with suppress(OSError):
            process.stdout.close()


def stand_still(api: FakeAPI, process: subprocess.Popen[bytes]) -> None:
    """Wait until a run stands still because its output is not read."""
    wait_until(lambda: len(api.requests) >= 2)
    standing = 0
    while standing != len(api.requests):
        standing = len(api.requests)
        time.sleep(0.7)
    assert process.poll() is None, "it has written all"


def log_text(tmp_path: Path) -> str:
    """Return what a run said, after holding that it said it without a traceback."""
    text = (tmp_path / "stderr").read_text(encoding="utf-8")
    assert "Traceback" not in text
    assert "Exception ignored" not in text
    assert "BrokenPipeError" not in text
    return text


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_signal_in_the_middle_of_a_write_cuts_no_line(unbuffered: str, tmp_path: Path) -> None:
    env = {"PYTHONUNBUFFERED": unbuffered}
    with (
        FakeAPI(make_account(charges=3_000)) as api,
        piped(api, tmp_path, env, page_size=500) as process,
    ):
        wait_until(lambda: len(api.requests) >= 2)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        assert process.stdout
        output = process.stdout.read()
        assert process.wait(SOON) == 143
    assert output.endswith(b"\n")
    records = [json.loads(line) for line in output.splitlines() if line.startswith(b'{"type":"RECORD"')]
    assert 0 < len(records) < 3_000
    assert "| ERROR" not in log_text(tmp_path)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("incremental", [[], ["charges"]], ids=["FULL_TABLE", "INCREMENTAL"])
def test_a_signal_ends_a_run_whose_target_does_not_read(
    number: signal.Signals, incremental: list[str], tmp_path: Path
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
        output = process.stdout.read()
    # The last line may be cut, which targets refuse.
    messages = [json.loads(line) for line in output.split(b"\n")[:-1]]
    run = TapRun(SIGNALS[number], messages, "")
    expect_true_states(run, api)
    assert 0 < len(run.keys("charges")) < 3_000
    assert bool(run.states) is bool(incremental)
    assert "Stopped by signal" in log_text(tmp_path)
    assert "| ERROR" not in log_text(tmp_path)


def test_the_last_state_goes_out_behind_records_that_a_slow_target_reads(tmp_path: Path) -> None:
    state = {"bookmarks": {"customers": {"replication_key": "first_seen", "replication_key_value": 1_700_000_000}}}
    with (
        FakeAPI(make_account(charges=1_000)) as api,
        piped(api, tmp_path, state=state, page_size=500) as process,
    ):
        stand_still(api, process)
        process.send_signal(signal.SIGTERM)
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            time.sleep(0.0001)
        assert process.wait(SOON) == 143
    assert json.loads(lines[-1]) == {"type": "STATE", "value": state}
    assert json.loads(lines[-2])["type"] == "RECORD"


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_ends_a_run_whose_log_nobody_reads(number: signal.Signals, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    with FakeAPI(make_account(charges=20_000)) as api:
        config.write_text(json.dumps(tap_config(api, page_size=2)), encoding="utf-8")
        command = [sys.executable, "-m", "tap_payments", "--config", str(config)]
        process = subprocess.Popen(
            command, env=environment({"LOGLEVEL": "DEBUG"}), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            stand_still(api, process)
            process.send_signal(number)
            assert process.wait(SOON) == SIGNALS[number]
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("pause", [0.0, 0.05])
@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGINT, signal.SIGTERM),
        (signal.SIGTERM, signal.SIGINT),
        (signal.SIGTERM, signal.SIGTERM, signal.SIGTERM),
    ],
    ids=lambda numbers: "-".join(number.name for number in numbers),
)
def test_signals_after_the_first_are_ignored(numbers: tuple[signal.Signals, ...], pause: float) -> None:
    with FakeAPI(make_account(charges=40)) as api:
        api.faults.add(Hang(None), times=None, when=lambda params: params["offset"] != "0")
        process = start_tap(
            tap_config(api, page_size=10, request_timeout=300), catalog=catalog_with(only=["charges"]), state=STATE
        )
        wait_until(lambda: api.faults.thrown["Hang"])
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


def test_an_interpreter_that_is_slow_to_end_keeps_the_exit_code() -> None:
    # What a module holds is deleted when signals have no handlers any more.
    code = """
import signal, sys, time
from tap_payments import cli
class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(0.6)
slow = Slow()
cli.MAX_END = 0.2
cli.StopSignals().handle(signal.SIGINT)
sys.exit(130)
"""
    assert subprocess.run([sys.executable, "-c", code], env=environment(), timeout=SOON, check=False).returncode == 130


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which signals a process handles")
@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_while_the_tap_is_imported_prints_nothing(
    number: signal.Signals, delay: float, tmp_path: Path
) -> None:
    with FakeAPI(make_account(charges=5)) as api:
        api.faults.add(Hang(None), times=None)
        config = tmp_path / "config.json"
        config.write_text(json.dumps(tap_config(api)), encoding="utf-8")
        process = subprocess.Popen(
            [TAP, "--config", str(config)], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        # Before that Python loads itself, and answers to SIGINT as it likes.
        wait_until(lambda: handles(process.pid, signal.SIGTERM))
        time.sleep(delay)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=SOON)
        assert process.returncode == SIGNALS[number]
        assert b"Traceback" not in stderr
        assert b"| ERROR" not in stderr


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler of its own for a signal."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("lines", [0, 1, 50])
def test_a_closed_pipe_ends_the_run(lines: int, tmp_path: Path) -> None:
    with FakeAPI(make_account(charges=3_000)) as api, piped(api, tmp_path, page_size=500) as process:
        assert process.stdout
        for _ in range(lines):
            assert json.loads(process.stdout.readline())
        process.stdout.close()
        assert process.wait(SOON) == 1
    log = log_text(tmp_path).splitlines()
    assert [line for line in log if "| ERROR" in line] == log[-1:]
    assert "the target closed its input" in log[-1]


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
    assert "internal error" not in log_text(tmp_path)


FAILING = {
    "a full disk": (">/dev/full", "standard output is on a full disk (No space left on device)"),
    "a file of a limited size": (">out", "standard output is on a full disk (File too large)"),
    "no standard output": (">&-", "standard output is closed"),
    "a file that is read": ("1</dev/null", "standard output cannot be written (Bad file descriptor)"),
}


@pytest.mark.parametrize(
    ("failing", "unbuffered", "arguments"),
    [
        *((failing, "", "--config config.json") for failing in FAILING),
        *(("a full disk", "", arguments) for arguments in ("--discover", "--about", "--help")),
        ("a full disk", "1", "--config config.json"),
        ("no standard output", "1", "--discover"),
    ],
)
def test_a_standard_output_that_takes_nothing(failing: str, unbuffered: str, arguments: str, tmp_path: Path) -> None:
    where, cause = FAILING[failing]
    with FakeAPI(make_account(charges=5)) as api:
        (tmp_path / "config.json").write_text(json.dumps(tap_config(api)), encoding="utf-8")
        command = f'ulimit -f 1; exec "{sys.executable}" -m tap_payments {arguments} {where}'
        ended = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=tmp_path,
            env=environment({"PYTHONUNBUFFERED": unbuffered, "PYTHONDONTWRITEBYTECODE": "1"}),
            capture_output=True,
            text=True,
            timeout=SOON,
            check=False,
        )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    log = ended.stderr.splitlines()
    assert [line for line in log if "| ERROR" in line] == log[-1:]
    assert cause in log[-1]


@pytest.mark.parametrize("arguments", [[], ["--discover"]], ids=["messages", "catalog"])
def test_a_standard_output_that_does_not_block_gets_everything(arguments: list[str], tmp_path: Path) -> None:
    with FakeAPI(make_account(charges=3_000)) as api:
        config = tmp_path / "config.json"
        config.write_text(json.dumps(tap_config(api)), encoding="utf-8")
        for ends in (os.pipe(), tuple(end.detach() for end in socket.socketpair())):
            reading, writing = ends
            os.set_blocking(writing, False)
            process = subprocess.Popen(
                [sys.executable, "-m", "tap_payments", "--config", str(config), *arguments],
                env=environment(),
                stdout=writing,
                stderr=subprocess.PIPE,
            )
            os.close(writing)
            if arguments:
                time.sleep(1)
            else:
                stand_still(api, process)
                api.requests.clear()
            with os.fdopen(reading, "rb") as file:
                output = file.read()
            _, stderr = process.communicate(timeout=SOON)
            assert process.returncode == 0, stderr
            assert b"| ERROR" not in stderr
            if arguments:
                assert len(json.loads(output)["streams"]) == len(STREAMS)
            else:
                assert output.count(b'{"type":"RECORD"') == 3_000


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_a_full_disk_for_batches_is_named(compression: str, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    batch_config = {
        "encoding": {"format": "jsonl", "compression": compression},
        "storage": {"root": tmp_path.as_uri()},
    }
    with FakeAPI(make_account(charges=2_000)) as api:
        config.write_text(json.dumps(tap_config(api, batch_config=batch_config)), encoding="utf-8")
        command = f'ulimit -f 100; exec "{sys.executable}" -m tap_payments --config "{config}" >/dev/null'
        ended = subprocess.run(
            ["/bin/sh", "-c", command],
            env=environment({"PYTHONDONTWRITEBYTECODE": "1"}),
            capture_output=True,
            text=True,
            timeout=SOON,
            check=False,
        )
    log = ended.stderr.splitlines()
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    assert [line for line in log if "| ERROR" in line] == log[-1:]
    assert "the storage takes no batch file (File too large)" in log[-1]


def test_a_storage_that_takes_no_batch_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    batch_config = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": (file / "folder").as_uri()},
    }
    with FakeAPI(make_account(charges=20)) as api:
        run = run_in_process(tap_config(api, batch_config=batch_config))
    expect_one_error(run, "the storage takes no batch file (Not a directory)", "`batch_config.storage`")
    assert str(tmp_path) not in run.errors[0]


def test_a_full_disk_where_batches_are_stored_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    monkeypatch.setattr("fsspec.implementations.local.LocalFileOpener.write", fill)
    batch_config = {"encoding": {"format": "jsonl", "compression": "none"}, "storage": {"root": tmp_path.as_uri()}}
    with FakeAPI(make_account(charges=20)) as api:
        run = run_in_process(tap_config(api, batch_config=batch_config))
    expect_one_error(run, "the storage takes no batch file (No space left on device)")
    assert str(tmp_path) not in run.errors[0]


def test_a_request_that_hangs_keeps_no_failed_run_from_ending() -> None:
    with FakeAPI(make_account(charges=80)) as api:
        api.faults.add(Status(400), times=None, when=lambda params: params["offset"] == "8")
        api.faults.add(Hang(None), times=None, when=lambda params: int(params["offset"]) > 8)
        process = start_tap(
            tap_config(api, page_size=10, concurrency=8, request_timeout=300),
            catalog=catalog_with(only=["charges"]),
        )
        expect_one_error(process.finish(timeout=SOON), "400 Bad Request")
