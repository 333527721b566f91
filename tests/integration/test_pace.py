"""The whole run keeps the pace that is set, and the pause that the API asks for."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.fake_api import FakeAPI
from tests.fake_api.faults import Drop, Status
from tests.support.records import minimal_records
from tests.support.tap_runs import run_tap, tap_config


@pytest.mark.alone
def test_a_server_that_allows_the_pace_in_any_window_never_refuses() -> None:
    lists = {"charges": minimal_records("charges", range(150)), "customers": minimal_records("customers", range(60))}
    # A tenth less than the window that the pace is for, since a busy machine delays one request more than another.
    with FakeAPI(lists, rate_limit=15, rate_window=1.35) as api:
        # Retries count as well: of pages that are waited for, and of pages fetched ahead.
        api.faults.add(Status(500), times=3, stream="charges", after=2)
        api.faults.add(Drop(), times=2, stream="customers", after=1)
        config = tap_config(api, page_size=10, requests_per_minute=600, concurrency=4)
        run = run_tap(config).expect_success()
        assert run.keys("charges") == api.account.keys("charges")
        assert run.keys("customers") == api.account.keys("customers")
    assert len(api.requests) >= 28
    assert 429 not in {request.status for request in api.requests}
    assert sum(api.faults.thrown.values()) == 5


def test_a_429_pauses_the_requests_of_all_threads() -> None:
    with FakeAPI({"charges": minimal_records("charges", range(400))}) as api:
        api.latency = 0.02
        api.faults.add(Status(429, {"Retry-After": "1"}), stream="charges", after=6)
        run_tap(tap_config(api, page_size=10, concurrency=4)).expect_success()
    charges = api.requests_for("charges")
    times = [request.time for request in charges]
    # What was in flight already may still arrive; then there is silence.
    quiet = max(later - earlier for earlier, later in pairwise(times))
    assert quiet >= 0.9
    refused = next(number for number, request in enumerate(charges) if request.status == 429)
    silent = next(number for number, pair in enumerate(pairwise(times)) if pair[1] - pair[0] == quiet)
    assert refused <= silent <= refused + 4


def test_a_server_that_allows_less_is_obeyed() -> None:
    with FakeAPI({"charges": minimal_records("charges", range(120))}, rate_limit=5, rate_window=0.3) as api:
        config = tap_config(api, page_size=10, backoff_factor=0.3, concurrency=2)
        run = run_tap(config).expect_success()
        assert run.keys("charges") == api.account.keys("charges")
        assert 429 in {request.status for request in api.requests}
