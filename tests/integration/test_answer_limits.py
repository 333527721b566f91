"""A response has a deadline and a maximum size: no server holds a run for ever, or takes its memory."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib

import pytest

from tap_payments import errors
from tap_payments.api import transport
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import Body, Bomb, Fault, Status, Trickle
from tests.support.in_process import expect_one_error, read_stream

MAX_BODY = 1 << 20


@pytest.mark.parametrize("fault", [Trickle(0.02), Trickle(0.02, chunked=True)], ids=["body", "chunks"])
def test_a_trickle_of_bytes_is_a_timeout(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    assert transport.TIMEOUTS_PER_RESPONSE == 10
    # Half a second between two bytes is long on a busy machine too.
    monkeypatch.setattr(transport, "TIMEOUTS_PER_RESPONSE", 2)
    with FakeAPI(make_account(charges=5)) as api:
        api.faults.add(fault, times=1)
        run = read_stream(api, request_timeout=0.5).expect_success()
        assert run.keys("charges") == api.account.keys("charges")
        assert len(run.logged("did not finish its response within 1 s; trying again")) == 1
        api.faults.add(fault, times=None)
        run = read_stream(api, request_timeout=0.5, max_retries=1)
    expect_one_error(run, "did not finish its response within 1 s, 2 times in a row", errors.TIMEOUT_ADVICE)


@pytest.mark.parametrize("fault", [Bomb(64), Bomb(64, chunked=True), Body(b'{"data":[%b]}' % (b" " * MAX_BODY))])
def test_a_body_that_is_too_large_is_refused_while_it_is_read(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    assert transport.MAX_BODY == 256 << 20
    monkeypatch.setattr(transport, "MAX_BODY", MAX_BODY)
    with FakeAPI(make_account(charges=5)) as api:
        api.faults.add(fault, times=None)
        tracemalloc.start()
        try:
            run = read_stream(api)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    expect_one_error(run, f"charges: /v1/charges answered with more than 256 MiB: {errors.SIZE_ADVICE}")
    assert len(api.requests) == 1
    assert peak < 16 * MAX_BODY


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "deflate", "identity"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_a_body_of_several_pieces_arrives_whole(encoding: str, *, chunked: bool) -> None:
    with FakeAPI(make_account(charges=600)) as api:
        body = json.dumps({"data": api.account.records("charges")}).encode()
        assert len(body) > transport.PIECE
        for one in encoding.split(", "):
            body = gzip.compress(body) if one == "gzip" else zlib.compress(body) if one == "deflate" else body
        headers = {"Content-Encoding": encoding}
        if chunked:
            parts = [body[start : start + 7_000] for start in range(0, len(body), 7_000)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])
            headers["Transfer-Encoding"] = "chunked"
        api.faults.add(Status(200, headers, body))
        run = read_stream(api, page_size=600).expect_success()
        assert run.keys("charges") == api.account.keys("charges")
