"""Whole lists by offset and limit, however the server cuts its pages."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.fake_api import Sandbox
from tests.fake_api.faults import Body
from tests.fake_api.providers import STREAMS
from tests.support.minimal_records import plain
from tests.support.tap_runs import TapRun, catalog_with, run_tap, tap_config

LENGTHS = [(0, 1, 499, 500), (501, 1_000, 1_203, 37)]


def account(*lengths: int) -> dict[str, list[dict[str, Any]]]:
    """Give lists of these lengths, in the order of the streams."""
    return {stream: plain(stream, range(length)) for stream, length in zip(STREAMS, lengths, strict=False)}


def offsets(sandbox: Sandbox, stream: str) -> list[int]:
    return [int(request.params["offset"]) for request in sandbox.requests_for(stream)]


def expect_all(run: TapRun, sandbox: Sandbox) -> None:
    """Hold that every record went out once, in the order of its list."""
    run.expect_success()
    for stream in STREAMS:
        assert run.keys(stream) == sandbox.account.keys(stream)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_lists_of_any_length_arrive_in_pages_of_500(lengths: tuple[int, ...]) -> None:
    with Sandbox(account(*lengths)) as sandbox:
        expect_all(run_tap(tap_config(sandbox, requests_per_minute=None)), sandbox)
    for stream, length in zip(STREAMS, lengths, strict=True):
        full = list(range(0, length + 1, 500))
        assert offsets(sandbox, stream) == (full if length % 500 == 0 else [*full, length])
        assert {request.params["limit"] for request in sandbox.requests_for(stream)} == {"500"}


@pytest.mark.parametrize("lengths", LENGTHS)
def test_a_total_ends_no_list(lengths: tuple[int, ...]) -> None:
    with Sandbox(account(*lengths), total_count=True) as sandbox:
        expect_all(run_tap(tap_config(sandbox)), sandbox)
    for stream, length in zip(STREAMS, lengths, strict=True):
        full = list(range(0, length + 1, 500))
        assert offsets(sandbox, stream) == (full if length % 500 == 0 else [*full, length])


@pytest.mark.parametrize("cap", [100, 20])
@pytest.mark.parametrize("provider", ["generic", "chargedesk"])
def test_a_server_may_serve_fewer_than_asked_for(cap: int, provider: str) -> None:
    lengths = (730, cap, 1, cap + 1)
    with Sandbox(account(*lengths), provider=provider, page_cap=cap) as sandbox:
        expect_all(run_tap(tap_config(sandbox)), sandbox)
    overlap = int(provider == "chargedesk")
    for stream, length in zip(STREAMS, lengths, strict=True):
        # A list no longer than the overlap is asked for once more: its only page looks the same in mid-list.
        # With an overlap pages share the last record too, which may not be the only one of its second.
        most = -(-length // (cap - 2 * overlap)) + 1 + (length <= overlap)
        assert len(offsets(sandbox, stream)) <= most


def test_a_page_size_that_is_not_understood_costs_requests_and_no_records() -> None:
    with Sandbox(account(61), provider="chargedesk") as sandbox:
        expect_all(run_tap(tap_config(sandbox, limit_param="limit", page_overlap=0)), sandbox)
    assert offsets(sandbox, "charges") == [0, 20, 40, 60, 61]


@pytest.mark.parametrize("overlap", [0, 1])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_short_page_in_mid_list_is_not_the_end(overlap: int, concurrency: int) -> None:
    with Sandbox(account(2_203)) as sandbox:
        second = 500 - 2 * overlap
        short = sandbox.account.records("charges")[second : second + 300]
        body = msgspec.json.encode({"data": short})
        sandbox.faults.add(Body(body), stream="charges", when=lambda params: params["offset"] == str(second))
        config = tap_config(sandbox, page_overlap=overlap, concurrency=concurrency)
        expect_all(run_tap(config), sandbox)
    assert sandbox.faults.thrown == {"Body": 1}


def test_a_short_list_of_an_api_without_offset_is_one_page_and_a_warning() -> None:
    with Sandbox(account(37, 499), ignore_offset=True) as sandbox:
        run = run_tap(tap_config(sandbox))
        expect_all(run, sandbox)
    assert len(offsets(sandbox, "charges")) == 3
    assert len(run.told("WARNING", "charges", "ignores the offset", "37 records")) == 1
    assert len(run.told("WARNING", "ignores the offset")) == 2


@pytest.mark.parametrize(("length", "settings"), [(700, {}), (700, {"page_overlap": 1}), (37, {"page_overlap": 1})])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_an_api_without_offset_that_has_more_ends_the_run(
    length: int, settings: dict[str, object], concurrency: int
) -> None:
    with Sandbox(account(length), ignore_offset=True) as sandbox:
        config = tap_config(sandbox, concurrency=concurrency, **settings)
        run = run_tap(config, catalog=catalog_with(only=["charges"]))
    run.expect_failure("charges", "/v1/charges", "ignores the offset")
    assert run.keys("charges") == sandbox.account.keys("charges")[:500]
    # A list that moves may bring known records alone for a while; one that is not watched may not.
    assert len(sandbox.requests) <= (102 if "page_overlap" in settings else 3) + concurrency


def test_an_api_without_offset_whose_total_is_larger_than_its_page_ends_the_run() -> None:
    with Sandbox(account(130), ignore_offset=True, page_cap=100, total_count=True) as sandbox:
        run = run_tap(tap_config(sandbox))
    run.expect_failure("charges", "ignores the offset", "100 records")


@pytest.mark.parametrize("provider", ["generic", "chargedesk"])
def test_any_concurrency_gives_the_same_records_in_the_same_order(provider: str) -> None:
    requests: dict[int, int] = {}
    with Sandbox(account(4_100, 0, 0, 730), provider=provider) as sandbox:
        # Such that requests do overlap.
        sandbox.latency = 0.01
        for concurrency in (1, 4, 8, 16):
            sandbox.requests.clear()
            expect_all(run_tap(tap_config(sandbox, concurrency=concurrency)), sandbox)
            requests[concurrency] = len(offsets(sandbox, "charges"))
            assert sandbox.most_in_flight <= concurrency
            assert concurrency == 1 or sandbox.most_in_flight > 1
    # What is in flight when the end comes is fetched in vain: 9 requests at most with 8 pages in flight.
    assert all(count <= requests[1] + concurrency + 1 for concurrency, count in requests.items()), requests
