"""Records deleted or inserted while the list is read cost no other record."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.fake_api import Chaos, FakeAPI
from tests.support.records import evenly_spaced, minimal_records
from tests.support.tap_runs import JSON, catalog_with, run_tap, tap_config

if TYPE_CHECKING:
    from tests.fake_api.log import LoggedRequest

NOON_2024 = 1_717_243_200
PAGE = 50


def numbered(times: list[int]) -> list[JSON]:
    return minimal_records("charges", times)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("concurrency", [1, 4])
def test_random_changes_lose_nothing_that_was_there_all_the_time(seed: int, concurrency: int) -> None:
    draw = Random(seed)
    streams = ("charges", "customers", "subscriptions")
    # So many that no list is empty in the end, which ends a run.
    count = (900, 900, 4_000)[seed]
    lists = {
        stream: minimal_records(stream, [draw.randrange(600) + NOON_2024 for _ in range(count)]) for stream in streams
    }
    with FakeAPI(lists, provider="chargedesk") as api:
        before = {stream: set(api.account.keys(stream)) for stream in streams}
        # Each page that is fetched ahead moves the list too, which must move more slowly than it is read.
        moves = 0.6 / concurrency
        api.chaos = chaos = Chaos(seed, rate=0, moves=moves, moved_at_once=(1, 20, 2 * PAGE)[seed])
        run = run_tap(tap_config(api, page_size=PAGE, concurrency=concurrency)).expect_success()
    for stream in streams:
        there_all_the_time = before[stream] - set(chaos.deleted[stream])
        assert there_all_the_time <= set(run.keys(stream))
        assert chaos.deleted[stream] or chaos.inserted[stream]


@pytest.mark.parametrize("count", [1, PAGE, 9 * PAGE])
@pytest.mark.parametrize("place", ["newest", "read last", "not read yet", "everything read"])
def test_deletes_anywhere_cost_no_other_record(count: int, place: str) -> None:
    with FakeAPI(
        {"charges": numbered(evenly_spaced(1_000, NOON_2024, NOON_2024 + 9_000))}, provider="chargedesk"
    ) as api:
        keys = api.account.keys("charges")
        # Two neighbouring pages share the last record, and a newer one.
        read = 10 * (PAGE - 2)
        first = {"newest": 0, "read last": max(0, read - count), "not read yet": read + 5, "everything read": 0}[place]
        gone = keys[first : read if place == "everything read" else first + count]

        def delete(running: FakeAPI, request: LoggedRequest, params: dict[str, str]) -> None:
            if params["offset"] == str(read) and gone[0] in running.account["charges"]:
                for key in gone:
                    running.account.delete("charges", key)

        api.before_each(delete)
        catalog = catalog_with(only=["charges"])
        run = run_tap(tap_config(api, page_size=PAGE), catalog=catalog).expect_success()
        assert len(api.account.keys("charges")) == 1_000 - len(gone)
    assert set(keys) - set(gone) <= set(run.keys("charges"))


@pytest.mark.parametrize("count", [PAGE, 4 * PAGE])
def test_inserts_on_top_are_no_end_and_push_nothing_out(count: int) -> None:
    with FakeAPI({"charges": numbered(evenly_spaced(500, NOON_2024, NOON_2024 + 9_000))}, provider="chargedesk") as api:
        keys = api.account.keys("charges")
        new = minimal_records("charges", [NOON_2024 + 10_000] * count, prefix="new")

        def insert(running: FakeAPI, request: LoggedRequest, params: dict[str, str]) -> None:
            if int(params["offset"]) >= 200 and new:
                for record in new:
                    running.account.insert("charges", record)
                new.clear()

        api.before_each(insert)
        run = run_tap(tap_config(api, page_size=PAGE), catalog=catalog_with(only=["charges"])).expect_success()
    assert not new
    assert set(keys) <= set(run.keys("charges"))


def test_a_list_that_moves_behind_the_cap_of_the_offset_loses_nothing() -> None:
    draw = Random(3)
    times = [NOON_2024 + draw.randrange(4_000) for _ in range(13_000)]
    with FakeAPI({"subscriptions": minimal_records("subscriptions", times)}, provider="chargedesk") as api:
        before = set(api.account.keys("subscriptions"))
        api.chaos = chaos = Chaos(3, rate=0, moves=0.8, moved_at_once=700)
        catalog = catalog_with(only=["subscriptions"])
        run = run_tap(tap_config(api, concurrency=2), catalog=catalog).expect_success()
    assert before - set(chaos.deleted["subscriptions"]) <= set(run.keys("subscriptions"))
    assert chaos.deleted["subscriptions"]
    assert any("created[max]" in request.params for request in api.requests)


def test_a_run_without_overlap_logs_that_it_cannot_notice_moves() -> None:
    with FakeAPI({"charges": numbered([1, 2, 3])}) as api:
        without = run_tap(tap_config(api, page_overlap=0)).expect_success()
        assert len(without.logged("WARNING", "page_overlap is 0")) == 1
        assert not run_tap(tap_config(api)).expect_success().logged("page_overlap is 0")


@pytest.mark.parametrize("concurrency", [1, 4])
def test_deletes_cost_no_other_record_with_the_generic_provider(concurrency: int) -> None:
    with FakeAPI({"charges": numbered(evenly_spaced(2_003, NOON_2024, NOON_2024 + 9_000))}) as api:
        gone = api.account.keys("charges")[:10]
        kept = api.account.keys("charges")[10:]

        def delete(running: FakeAPI, _request: LoggedRequest, params: dict[str, str]) -> None:
            while gone and params["offset"] != "0":
                running.account.delete("charges", gone.pop())

        api.before_each(delete)
        run = run_tap(tap_config(api, concurrency=concurrency), catalog=catalog_with(only=["charges"])).expect_success()
    assert not gone
    assert set(kept) <= set(run.keys("charges"))
