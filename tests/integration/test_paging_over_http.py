"""Whole lists by offset and limit, however the server cuts its pages, and though the list moves."""

from __future__ import annotations

from math import ceil
from random import Random
from threading import Event
from typing import Any

import pytest

from tests.fake_api import Chaos, FakeAPI
from tests.fake_api.providers import STREAMS
from tests.support.in_process import read_stream, run_in_process
from tests.support.records import minimal_records
from tests.support.tap_runs import tap_config
from tests.support.waiting import SOON

LENGTHS = [dict(zip(STREAMS, lengths, strict=True)) for lengths in ((0, 1, 499, 500), (501, 1_000, 1_203, 37))]


def account(**lengths: int) -> dict[str, list[dict[str, Any]]]:
    """Return lists of these lengths."""
    return {stream: minimal_records(stream, range(length)) for stream, length in lengths.items()}


def offsets(api: FakeAPI, stream: str) -> list[int]:
    return [int(request.params["offset"]) for request in api.requests_for(stream)]


def expect_all(api: FakeAPI, **settings: Any) -> None:
    """Assert that every record goes out once, in the order of its list."""
    run = run_in_process(tap_config(api, **settings)).expect_success()
    for stream in STREAMS:
        assert run.keys(stream) == api.account.keys(stream)


@pytest.mark.parametrize("total_count", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_lists_of_any_length_arrive_in_pages_of_500_and_a_total_ends_none(
    lengths: dict[str, int], *, total_count: bool
) -> None:
    with FakeAPI(account(**lengths), total_count=total_count) as api:
        expect_all(api, requests_per_minute=None, page_overlap=0)
    for stream, length in lengths.items():
        full = list(range(0, length + 1, 500))
        assert offsets(api, stream) == (full if length % 500 == 0 else [*full, length])
        assert {request.params["limit"] for request in api.requests_for(stream)} == {"500"}


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


# Records are deleted and inserted while the list is read; `tests/unit` moves many more lists.

NOON_2024 = 1_717_243_200


@pytest.mark.parametrize(
    ("provider", "concurrency", "at_once"),
    [("chargedesk", 1, 20), ("chargedesk", 4, 2 * PAGE), ("generic", 1, 1), ("generic", 4, 20)],
)
def test_random_changes_lose_nothing_that_was_there_all_the_time(provider: str, concurrency: int, at_once: int) -> None:
    draw = Random(at_once)
    # So many that no list is empty in the end, which ends a run.
    count = 60 * at_once + 300
    lists = {
        stream: minimal_records(stream, [draw.randrange(600) + NOON_2024 for _ in range(count)])
        for stream in ("charges", "subscriptions")
    }
    with FakeAPI(lists, provider=provider) as api:
        before = {stream: set(api.account.keys(stream)) for stream in lists}
        # Each page that is fetched ahead moves the list too, which must move more slowly than it is read.
        api.chaos = chaos = Chaos(at_once, rate=0, moves=0.6 / concurrency, moved_at_once=at_once)
        run = run_in_process(tap_config(api, page_size=PAGE, concurrency=concurrency)).expect_success()
    for stream in lists:
        assert before[stream] - set(chaos.deleted[stream]) <= set(run.keys(stream))
        assert chaos.deleted[stream]
        assert chaos.inserted[stream]


def test_a_run_without_overlap_logs_that_it_cannot_notice_moves() -> None:
    with FakeAPI({"charges": minimal_records("charges", range(3))}) as api:
        without = read_stream(api, page_overlap=0).expect_success()
        assert len(without.logged("WARNING", "page_overlap is 0")) == 1
        assert not read_stream(api).expect_success().logged("page_overlap is 0")
