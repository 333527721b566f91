"""The whole run keeps the pace that is set, and the pause that the API asks for."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.fake_api import Sandbox
from tests.fake_api.faults import Drop, Status
from tests.support.minimal_records import plain
from tests.support.tap_runs import run_tap, tap_config


@pytest.mark.alone
def test_a_server_that_allows_the_pace_in_any_window_never_refuses() -> None:
    lists = {"charges": plain("charges", range(150)), "customers": plain("customers", range(60))}
    # A tenth less than the window that the pace is for, since a busy machine delays one request more than another.
    with Sandbox(lists, rate_limit=15, rate_window=1.35) as sandbox:
        # Retries count as well: of pages that are waited for, and of pages fetched ahead.
        sandbox.faults.add(Status(500), times=3, stream="charges", after=2)
        sandbox.faults.add(Drop(), times=2, stream="customers", after=1)
        config = tap_config(sandbox, page_size=10, requests_per_minute=600, concurrency=4)
        run = run_tap(config).expect_success()
        assert run.keys("charges") == sandbox.account.keys("charges")
        assert run.keys("customers") == sandbox.account.keys("customers")
    assert len(sandbox.requests) >= 28
    assert 429 not in {request.status for request in sandbox.requests}
    assert sum(sandbox.faults.thrown.values()) == 5


def test_a_429_holds_the_requests_of_all_threads() -> None:
    with Sandbox({"charges": plain("charges", range(400))}) as sandbox:
        sandbox.latency = 0.02
        sandbox.faults.add(Status(429, {"Retry-After": "1"}), stream="charges", after=6)
        run_tap(tap_config(sandbox, page_size=10, concurrency=4)).expect_success()
    charges = sandbox.requests_for("charges")
    times = [request.time for request in charges]
    # What was in flight already may still arrive; then there is silence.
    quiet = max(later - earlier for earlier, later in pairwise(times))
    assert quiet >= 0.9
    refused = next(number for number, request in enumerate(charges) if request.status == 429)
    silent = next(number for number, pair in enumerate(pairwise(times)) if pair[1] - pair[0] == quiet)
    assert refused <= silent <= refused + 4


def test_a_server_that_allows_less_is_obeyed() -> None:
    with Sandbox({"charges": plain("charges", range(120))}, rate_limit=5, rate_window=0.3) as sandbox:
        config = tap_config(sandbox, page_size=10, backoff_factor=0.3, concurrency=2)
        run = run_tap(config).expect_success()
        assert run.keys("charges") == sandbox.account.keys("charges")
        assert 429 in {request.status for request in sandbox.requests}
