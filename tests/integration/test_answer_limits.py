"""A response has a deadline and a maximum size: no server holds a run for ever, or takes its memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest

from benchmarks import stopwatch
from tap_payments import errors
from tap_payments.api import transport
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import Body, Bomb, Fault, Status, Trickle
from tests.support.in_process import expect_one_error, read_stream
from tests.support.tap_runs import environment, tap_config

if TYPE_CHECKING:
    from pathlib import Path

TRICKLES = {
    "body": Trickle(0.02),
    "chunks": Trickle(0.02, chunked=True),
}
# The interpreter with all that is loaded takes 60 MB.
MAX_MEMORY = 450 << 20


@pytest.mark.parametrize("fault", TRICKLES.values(), ids=TRICKLES)
def test_a_trickle_of_bytes_is_a_timeout(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    assert transport.TIMEOUTS_PER_RESPONSE == 10
    # A second between two bytes is long on a busy machine too.
    monkeypatch.setattr(transport, "TIMEOUTS_PER_RESPONSE", 2)
    with FakeAPI(make_account(charges=5)) as api:
        api.faults.add(fault, times=1)
        run = read_stream(api, "charges", request_timeout=1, max_retries=2)
        run.expect_success()
        assert run.keys("charges") == api.account.keys("charges")
    assert len(run.logged("did not finish its response within 2 s; trying again")) == 1


def test_a_trickle_that_persists_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TIMEOUTS_PER_RESPONSE", 2)
    with FakeAPI(make_account(charges=5)) as api:
        api.faults.add(Trickle(0.02), times=None)
        run = read_stream(api, "charges", request_timeout=1, max_retries=1)
    expect_one_error(run, "did not finish its response within 2 s, 2 times in a row", errors.TIMEOUT_ADVICE)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_a_gzip_bomb_is_refused_while_it_is_read(tmp_path: Path, *, chunked: bool) -> None:
    with FakeAPI(make_account(charges=5)) as api:
        api.faults.add(Bomb(1024, chunked=chunked), times=None, stream="charges")
        config = tmp_path / "config.json"
        config.write_text(json.dumps(tap_config(api)), encoding="utf-8")
        report = tmp_path / "report"
        # The stopwatch is small: the memory of a process that this one starts counts from what this one has.
        small = [sys.executable, "-I", "-S", stopwatch.__file__, str(report), stopwatch.DISCARD]
        command = [*small, sys.executable, "-m", "tap_payments", "--config", str(config)]
        with (tmp_path / "stderr").open("wb") as stderr:
            process = subprocess.run(command, env=environment(), stderr=stderr, check=False)
    assert process.returncode == 1
    log = (tmp_path / "stderr").read_text(encoding="utf-8").splitlines()
    cause, last = [line for line in log if "| ERROR" in line]
    assert f"charges: /v1/charges answered with more than 256 MiB: {errors.SIZE_ADVICE}" in cause
    assert last == log[-1]
    assert len(api.requests_for("charges")) == 1
    assert json.loads(report.read_bytes())["peak"] < MAX_MEMORY


@pytest.mark.parametrize("fault", [Bomb(2), Bomb(2, chunked=True), Body(b'{"data":[%b]}' % (b" " * (1 << 20)))])
def test_the_maximum_size_applies_to_every_kind_of_body(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BODY", 1 << 20)
    with FakeAPI(make_account(charges=5)) as api:
        api.faults.add(fault, times=None)
        expect_one_error(read_stream(api, "charges"), "answered with more than", errors.SIZE_ADVICE)
    assert len(api.requests) == 1


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "deflate", "identity"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_a_body_of_several_pieces_arrives_whole(encoding: str, *, chunked: bool) -> None:
    account = make_account(charges=600)
    with FakeAPI(account) as api:
        records = api.account.records("charges")
        body = json.dumps({"data": records}).encode()
        assert len(body) > transport.PIECE
        for one in encoding.split(", "):
            body = gzip.compress(body) if one == "gzip" else zlib.compress(body) if one == "deflate" else body
        headers = {"Content-Encoding": encoding}
        if chunked:
            parts = [body[start : start + 7_000] for start in range(0, len(body), 7_000)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])
            headers["Transfer-Encoding"] = "chunked"
        api.faults.add(Status(200, headers, body))
        run = read_stream(api, "charges", page_size=600)
    run.expect_success()
    assert run.keys("charges") == api.account.keys("charges")
