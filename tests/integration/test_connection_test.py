"""`--test` tries once and waits ten seconds at most; where it passes, nothing in its log speaks of a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tap_payments import client, errors
from tap_payments.api import transport
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import Drop, Fault, Hang, Status, Trickle
from tests.fake_api.providers import STREAMS
from tests.support.in_process import InProcessRun, expect_one_error, run_in_process
from tests.support.states import batch_config, records_of
from tests.support.tap_runs import JSON, tap_config

if TYPE_CHECKING:
    from pathlib import Path


def run_test(api: FakeAPI, **settings: object) -> InProcessRun:
    """Test the connection with the waits that are the default."""
    return run_in_process(tap_config(api, **{"backoff_factor": None, **settings}), "--test")


@pytest.mark.parametrize("batch", [False, True], ids=["records", "batches"])
def test_a_connection_test_that_passes_reads_one_record_and_logs_no_failure(tmp_path: Path, *, batch: bool) -> None:
    settings = {"batch_config": batch_config(tmp_path)} if batch else {"emit_activate_version_messages": True}
    with FakeAPI(make_account(charges=40, customers=3, products=1)) as api:
        run = run_test(api, page_size=10, **settings).expect_success()
    assert len(api.requests_for("charges")) == 1
    for word in ("fail", "abort", "error"):
        assert word not in run.stderr.lower()
    assert run.stderr.count('"status":"succeeded"') == len(STREAMS)
    assert run.logged("Run complete")
    read = [message["stream"] for message in run.messages for _ in records_of(message)]
    assert read == ["charges", "customers", "products"]
    # It would make a target delete all other records.
    assert not [message for message in run.messages if message["type"] == "ACTIVATE_VERSION"]


@pytest.mark.parametrize(
    ("fault", "settings", "words"),
    [
        (Hang(None), {}, ["did not answer within 0.5 s, ", errors.TIMEOUT_ADVICE]),
        (Hang(None), {"request_timeout": 0.25}, ["did not answer within 0.25 s, ", errors.TIMEOUT_ADVICE]),
        (Trickle(0.02), {"request_timeout": 0.25}, ["did not finish its response within 0.25 s, "]),
        (Status(503), {}, ["answered 503 Service Unavailable, "]),
        (Status(429, {"Retry-After": "5"}), {}, ["answered 429 Too Many Requests, "]),
        (Drop(), {}, []),
    ],
    ids=["a silent host", "a shorter timeout", "trickle", "503", "429", "drop"],
)
def test_a_test_tries_once_and_waits_ten_seconds_at_most(
    fault: Fault, settings: JSON, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.TEST_TIMEOUT == 10
    monkeypatch.setattr(client, "TEST_TIMEOUT", 0.5)
    monkeypatch.setattr(transport, "TIMEOUTS_PER_RESPONSE", 1)
    with FakeAPI(make_account(charges=40)) as api:
        api.faults.add(fault, times=None)
        run = run_test(api, concurrency=4, **settings)
    expect_one_error(run, "and --test tries once", *words)
    assert len(api.requests) == len(STREAMS), "once for each stream"
    assert not run.logged("trying again")
