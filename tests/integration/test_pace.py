"""The whole run keeps the pace that is set, and the pause that the API asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_payments.api.rate_limiter import RateLimiter
from tests.fake_api import FakeAPI
from tests.fake_api.faults import Drop, Status
from tests.support.in_process import run_in_process
from tests.support.records import minimal_records
from tests.support.tap_runs import tap_config

if TYPE_CHECKING:
    import pytest


def test_every_request_of_a_run_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = []
    acquire = RateLimiter.acquire

    def count(self: RateLimiter) -> float:
        turns.append(self)
        return acquire(self)

    monkeypatch.setattr(RateLimiter, "acquire", count)
    lists = {"charges": minimal_records("charges", range(150)), "customers": minimal_records("customers", range(60))}
    with FakeAPI(lists) as api:
        # Retries count as well: of pages that are waited for, and of pages fetched ahead.
        api.faults.add(Status(500), times=3, stream="charges", after=2)
        api.faults.add(Drop(), times=2, stream="customers", after=1)
        run = run_in_process(tap_config(api, page_size=10, concurrency=4)).expect_success()
        assert run.keys("charges") == api.account.keys("charges")
        assert run.keys("customers") == api.account.keys("customers")
    assert len(turns) >= len(api.requests) >= 28
    assert len(set(turns)) == 1, "streams of a run share one pace"
    assert sum(api.faults.thrown.values()) == 5


def test_a_429_pauses_the_requests_of_all_threads() -> None:
    with FakeAPI({"charges": minimal_records("charges", range(400))}) as api:
        api.latency = 0.02
        api.faults.add(Status(429, {"Retry-After": "1"}), stream="charges", after=6)
        run_in_process(tap_config(api, page_size=10, concurrency=4)).expect_success()
    charges = api.requests_for("charges")
    times = [request.time for request in charges]
    refused = next(number for number, request in enumerate(charges) if request.status == 429)
    # What was in flight already may still arrive; then there is silence.
    assert times[refused + 5] - times[refused] >= 0.9
