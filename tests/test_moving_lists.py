"""Records deleted or inserted while the list is read cost no other record."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.lists import plain, spread
from tests.sandbox import Sandbox, Storm
from tests.tapping import JSON, catalog_with, run_tap, tap_config

if TYPE_CHECKING:
    from tests.sandbox.log import LoggedRequest

NOON_2024 = 1_717_243_200
PAGE = 50


def numbered(times: list[int]) -> list[JSON]:
    return plain("charges", times)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_storm_of_changes_loses_nothing_that_was_there_all_the_time(seed: int, concurrency: int) -> None:
    draw = Random(seed)
    streams = ("charges", "customers", "subscriptions")
    # So many that no list is empty in the end, which ends a run.
    count = (900, 900, 4_000)[seed]
    lists = {stream: plain(stream, [draw.randrange(600) + NOON_2024 for _ in range(count)]) for stream in streams}
    with Sandbox(lists, provider="chargedesk") as sandbox:
        before = {stream: set(sandbox.account.keys(stream)) for stream in streams}
        # Each page that is fetched ahead moves the list too, which must not move faster than it can be read.
        moves = 0.6 / concurrency
        sandbox.storm = storm = Storm(seed, rate=0, moves=moves, moved_at_once=(1, 20, 3 * PAGE)[seed])
        run = run_tap(tap_config(sandbox, page_size=PAGE, concurrency=concurrency)).expect_success()
    for stream in streams:
        there_all_the_time = before[stream] - set(storm.deleted[stream])
        assert there_all_the_time <= set(run.keys(stream))
        assert storm.deleted[stream] or storm.inserted[stream]


@pytest.mark.parametrize("count", [1, PAGE, 9 * PAGE])
@pytest.mark.parametrize("place", ["newest", "read last", "not read yet", "everything read"])
def test_deletes_anywhere_cost_no_other_record(count: int, place: str) -> None:
    with Sandbox({"charges": numbered(spread(1_000, NOON_2024, NOON_2024 + 9_000))}, provider="chargedesk") as sandbox:
        keys = sandbox.account.keys("charges")
        # Two neighbouring pages share the last record, and a newer one.
        read = 10 * (PAGE - 2)
        first = {"newest": 0, "read last": max(0, read - count), "not read yet": read + 5, "everything read": 0}[place]
        gone = keys[first : read if place == "everything read" else first + count]

        def delete(running: Sandbox, request: LoggedRequest, params: dict[str, str]) -> None:
            if params["offset"] == str(read) and gone[0] in running.account["charges"]:
                for key in gone:
                    running.account.delete("charges", key)

        sandbox.before_each(delete)
        catalog = catalog_with(only=["charges"])
        run = run_tap(tap_config(sandbox, page_size=PAGE), catalog=catalog).expect_success()
        assert len(sandbox.account.keys("charges")) == 1_000 - len(gone)
    assert set(keys) - set(gone) <= set(run.keys("charges"))


@pytest.mark.parametrize("count", [PAGE, 4 * PAGE])
def test_inserts_on_top_are_no_end_and_push_nothing_out(count: int) -> None:
    with Sandbox({"charges": numbered(spread(500, NOON_2024, NOON_2024 + 9_000))}, provider="chargedesk") as sandbox:
        keys = sandbox.account.keys("charges")
        new = plain("charges", [NOON_2024 + 10_000] * count, prefix="new")

        def insert(running: Sandbox, request: LoggedRequest, params: dict[str, str]) -> None:
            if int(params["offset"]) >= 200 and new:
                for record in new:
                    running.account.insert("charges", record)
                new.clear()

        sandbox.before_each(insert)
        run = run_tap(tap_config(sandbox, page_size=PAGE), catalog=catalog_with(only=["charges"])).expect_success()
    assert not new
    assert set(keys) <= set(run.keys("charges"))


def test_a_list_that_moves_behind_the_cap_of_the_offset_loses_nothing() -> None:
    draw = Random(3)
    times = [NOON_2024 + draw.randrange(4_000) for _ in range(13_000)]
    with Sandbox({"subscriptions": plain("subscriptions", times)}, provider="chargedesk") as sandbox:
        before = set(sandbox.account.keys("subscriptions"))
        sandbox.storm = storm = Storm(3, rate=0, moves=0.8, moved_at_once=700)
        catalog = catalog_with(only=["subscriptions"])
        run = run_tap(tap_config(sandbox, concurrency=2), catalog=catalog).expect_success()
    assert before - set(storm.deleted["subscriptions"]) <= set(run.keys("subscriptions"))
    assert storm.deleted["subscriptions"]
    assert any("created[max]" in request.params for request in sandbox.requests)


def test_a_run_without_overlap_says_that_it_cannot_notice() -> None:
    with Sandbox({"charges": numbered([1, 2, 3])}) as sandbox:
        without = run_tap(tap_config(sandbox)).expect_success()
        assert len(without.told("page_overlap is 0")) == 1
        assert not run_tap(tap_config(sandbox, page_overlap=1)).expect_success().told("page_overlap is 0")
