"""Transient failures are retried with backoff; others end the run at once, in one line."""

from __future__ import annotations

import re
import socket
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

from tap_payments import errors
from tap_payments.api import fetcher
from tap_payments.api.fetcher import MAX_WAIT
from tap_payments.api.rate_limiter import RateLimiter
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import LEAK_MARKER, Body, Drip, Drop, DropMidBody, Fault, Hang, Status, Truncate
from tests.support.in_process import InProcessRun, expect_one_error, read_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSING = {
    "429": (Status(429), errors.ADVICE[429]),
    **{str(status): (Status(status), errors.SERVER_ADVICE) for status in (500, 502, 503, 504)},
    "drop": (Drop(), errors.UNREACHABLE_ADVICE),
    "cut short": (DropMidBody(), errors.BODY_ADVICE),
    "reset": (DropMidBody(reset=True), errors.BODY_ADVICE),
    "truncated": (Truncate(), errors.BODY_ADVICE),
    "HTML": (Body(b"<html>"), errors.BODY_ADVICE),
    "silence": (Hang(None), errors.TIMEOUT_ADVICE),
}
AT_ONCE = (
    *(201, 202, 204, 206, 300, 301, 302, 303, 304, 307, 308),
    *(400, 401, 403, 404, 408, 409, 413, 422, 425, 451, 501, 505, 520, 529, 599),
)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace waits, of one request or of all, by a list of their lengths in seconds."""
    waits: list[float] = []
    monkeypatch.setattr(fetcher, "JITTER", 0)
    for name in ("wait", "pause"):
        monkeypatch.setattr(RateLimiter, name, lambda _, seconds: waits.extend([seconds] if seconds else []))
    return waits


@pytest.fixture
def api() -> Iterator[FakeAPI]:
    """An API with three pages of ten, of its own: a run that failed may still have a request under way."""
    with FakeAPI(make_account(charges=30)) as api:
        yield api


def read(api: FakeAPI, **settings: Any) -> InProcessRun:
    """Read the charges with the waits that are the default."""
    return read_stream(api, **{"page_size": 10, "page_overlap": 0, "backoff_factor": None, **settings})


def expect_all(run: InProcessRun, api: FakeAPI) -> None:
    """Assert that the run went well and every record is out, once."""
    run.expect_success()
    assert run.keys("charges") == api.account.keys("charges")


@pytest.mark.parametrize(("fault", "advice"), PASSING.values(), ids=PASSING)
def test_transient_failures_are_retried_three_times(
    fault: Fault, advice: str, api: FakeAPI, waits: list[float]
) -> None:
    # Long enough for every response that does come, on a busy machine too.
    settings = {"request_timeout": 1} if isinstance(fault, Hang) else {}
    api.faults.add(fault, times=3, when=lambda params: params["offset"] == "10")
    run = read(api, **settings)
    expect_all(run, api)
    assert waits == [2, 4, 8]
    assert len(api.requests) == 4 + 3
    assert re.findall(r"trying again in (\d+) s \(\d of 3\)", run.stderr) == ["2", "4", "8"]
    api.faults.add(fault, times=None)
    run = read(api, **settings)
    expect_one_error(run, "charges: /v1/charges ", "4 times in a row", advice)
    assert LEAK_MARKER not in run.stderr
    assert waits == [2, 4, 8] * 2
    assert len(api.requests) == 4 + 3 + 4


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_retries": 0}, []),
        ({"max_retries": 5, "backoff_factor": 0.5}, [0.5, 1, 2, 4, 8]),
        ({"backoff_factor": 200}, [200, MAX_WAIT, MAX_WAIT]),
    ],
)
def test_tries_and_waits_are_settings(
    settings: dict[str, float], expected: list[float], api: FakeAPI, waits: list[float]
) -> None:
    api.faults.add(Status(503), times=None)
    expect_one_error(read(api, **settings), "503 Service Unavailable")
    assert waits == expected
    assert len(api.requests) == len(expected) + 1


def test_a_page_fetched_ahead_gets_no_more_tries(api: FakeAPI, waits: list[float]) -> None:
    api.faults.add(Status(500), times=None, when=lambda params: params["offset"] == "20")
    run = read(api, concurrency=8)
    expect_one_error(run, "500 Internal Server Error, 4 times in a row")
    assert run.keys("charges") == api.account.keys("charges")[:20]
    assert sum(request.params["offset"] == "20" for request in api.requests) == 4


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("3", [3, 4, 8]),
        ("7", [7, 7, 8]),
        (" 60 ", [60, 60, 60]),
        ("300", [300, 300, 300]),
        *((header, [2, 4, 8]) for header in ("0", "-5", "soon", "", "Wed, 21 Oct 2015 07:28:00 GMT")),
    ],
)
def test_the_wait_is_the_longer_of_backoff_and_retry_after(
    header: str, expected: list[float], status: int, api: FakeAPI, waits: list[float]
) -> None:
    api.faults.add(Status(status, {"Retry-After": header}), times=3)
    with pytest.MonkeyPatch.context() as patch:
        # A 429 holds every request of the run, another status its own.
        patch.delattr(RateLimiter, "wait" if status == 429 else "pause")
        expect_all(read(api), api)
    assert waits == expected


def test_the_backoff_alone_is_up_to_a_tenth_longer(
    api: FakeAPI, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "JITTER", 0.1)
    monkeypatch.setattr("random.uniform", lambda _low, high: high)
    api.faults.add(Status(503, {"Retry-After": "3"}), times=3)
    expect_all(read(api), api)
    assert waits == pytest.approx([3, 4.4, 8.8])


def test_retry_after_may_be_a_date(api: FakeAPI, waits: list[float]) -> None:
    api.faults.add(Status(503, {"Retry-After": formatdate(time.time() + 250, usegmt=True)}), times=1)
    expect_all(read(api), api)
    (wait,) = waits
    assert 100 < wait <= 250


@pytest.mark.parametrize("header", ["301", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
@pytest.mark.parametrize("status", [429, 503])
def test_too_long_a_wait_fails_and_names_the_time_to_run_again(
    status: int, header: str, api: FakeAPI, waits: list[float]
) -> None:
    api.faults.add(Status(status, {"Retry-After": header}), times=None)
    run = read(api)
    expect_one_error(run, f"answered {status} ", "run again after ")
    assert re.search(r"run again after \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", run.errors[0])
    assert len(api.requests) == 1
    assert waits == []


@pytest.mark.parametrize("status", AT_ONCE)
def test_other_statuses_fail_at_once(status: int, api: FakeAPI, waits: list[float]) -> None:
    body = b"" if status in {204, 304} else f'{{"data":[{{"charge_id":"{LEAK_MARKER}"}}]}}'.encode()
    api.faults.add(Status(status, {"Location": api.url, "Retry-After": "1"}, body), times=None)
    run = read(api)
    expect_one_error(run, f"charges: /v1/charges answered {status}", errors.advise(status))
    assert LEAK_MARKER not in run.stderr + run.stdout.decode()
    assert run.records("charges") == []
    assert len(api.requests) == 1
    assert waits == []


def test_a_host_that_refuses_connections(api: FakeAPI, waits: list[float]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        run = read(api, base_url=f"http://{host}/v1/")
    expect_one_error(run, f"refused by {host}, 4 times in a row", errors.UNREACHABLE_ADVICE)
    assert waits == [2, 4, 8]


def test_a_host_that_has_no_address(api: FakeAPI, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_address(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    run = read(api, base_url="https://nowhere.invalid/v1/")
    expect_one_error(run, "unknown host nowhere.invalid:443, 4 times in a row", errors.UNREACHABLE_ADVICE)
    assert waits == [2, 4, 8]


def test_a_slow_answer_is_no_timeout(api: FakeAPI) -> None:
    api.faults.add(Drip(2.0))
    run = read(api, request_timeout=1.5)
    expect_all(run, api)
    assert not run.logged("trying again")
