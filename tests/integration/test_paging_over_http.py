"""Whole lists by offset and limit, page by page and fetched ahead; `tests/unit` and the chaos test move them."""

from __future__ import annotations

from math import ceil
from threading import Event

import pytest

from tests.fake_api import FakeAPI
from tests.fake_api.providers import STREAMS
from tests.support.in_process import read_stream, run_in_process
from tests.support.records import minimal_records
from tests.support.tap_runs import tap_config
from tests.support.waiting import SOON

LENGTHS = [dict(zip(STREAMS, lengths, strict=True)) for lengths in ((0, 1, 499, 500), (501, 1_000, 1_203, 37))]


@pytest.mark.parametrize("total_count", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_lists_of_any_length_arrive_in_pages_of_500_and_a_total_ends_none(
    lengths: dict[str, int], *, total_count: bool
) -> None:
    lists = {stream: minimal_records(stream, range(length)) for stream, length in lengths.items()}
    with FakeAPI(lists, total_count=total_count) as api:
        run = run_in_process(tap_config(api, requests_per_minute=None, page_overlap=0)).expect_success()
    for stream, length in lengths.items():
        assert run.keys(stream) == api.account.keys(stream)
        full = list(range(0, length + 1, 500))
        pages = [(request.params["offset"], request.params["limit"]) for request in api.requests_for(stream)]
        assert pages == [(str(offset), "500") for offset in (full if length % 500 == 0 else [*full, length])]


AHEAD, PAGE = 1_200, 50


@pytest.mark.parametrize(
    ("provider", "second", "overlap"),
    [("generic", 1, 0), ("generic", 1, 1), pytest.param("chargedesk", 3, 1, id="some share a second, so steps vary")],
)
def test_pages_are_fetched_ahead_and_change_nothing(provider: str, second: int, overlap: int) -> None:
    gathered, requests = Event(), {}

    def hold(api: FakeAPI, _request: object, params: dict[str, str]) -> None:
        """Hold each response in mid-list until as many requests have come together as may."""
        if int(params["offset"]) > 2 * PAGE:
            if api.max_in_flight >= concurrency:
                gathered.set()
            gathered.wait(SOON)

    for concurrency in (1, 8):
        gathered.clear()
        records = minimal_records("charges", (number // second for number in range(AHEAD)))
        with FakeAPI({"charges": records}, provider=provider) as api:
            api.before_each(hold)
            run = read_stream(api, page_size=PAGE, page_overlap=overlap, concurrency=concurrency).expect_success()
            assert run.keys("charges") == api.account.keys("charges")
        assert api.max_in_flight == concurrency
        requests[concurrency] = len(api.requests)
    assert requests[1] <= ceil(AHEAD / (PAGE - 1 - second)) + 2
    # Where the distance between pages changes, some guesses are wrong.
    assert requests[8] <= (1 if second == 1 else 1.5) * requests[1] + 8 + 1


def test_a_run_without_overlap_logs_that_it_cannot_notice_moves() -> None:
    with FakeAPI({"charges": minimal_records("charges", range(3))}) as api:
        without = read_stream(api, page_overlap=0).expect_success()
        assert len(without.logged("WARNING", "page_overlap is 0")) == 1
        assert not read_stream(api).expect_success().logged("page_overlap is 0")
