"""Records deleted or inserted while the list is read cost no other record; `tests/unit` moves many more lists."""

from __future__ import annotations

from random import Random

import pytest

from tests.fake_api import Chaos, FakeAPI
from tests.support.in_process import read_stream, run_in_process
from tests.support.records import minimal_records
from tests.support.tap_runs import tap_config

NOON_2024 = 1_717_243_200
PAGE = 50


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
