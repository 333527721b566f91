"""A STATE goes out after the last record of every stream, changed or not: many targets forget theirs at each RECORD."""

from __future__ import annotations

import signal
import threading
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.in_process import run_in_process
from tests.support.records import DAY, minimal_records
from tests.support.states import batch_config, expect_true_states, part_of, sent_keys
from tests.support.tap_runs import JSON, TapRun, bookmark_in, catalog_with, start_tap, tap_config
from tests.support.waiting import SOON

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_api.log import LoggedRequest

JAN_2024 = 1_704_067_200
INCREMENTAL = ("charges", "customers", "subscriptions")


def account(*, php: bool = False) -> dict[str, list[JSON]]:
    return make_account(charges=30, products=6, customers=9, subscriptions=5, php=php)


def remembered(run: TapRun) -> JSON | None:
    """Return the state of a target that forgets it at each message but STATE and SCHEMA, as target-jsonl does."""
    state: JSON | None = None
    for message in run.messages:
        if message["type"] == "STATE":
            state = message["value"]
        elif message["type"] != "SCHEMA":
            state = None
    return state


def known(part: JSON) -> JSON:
    return {key: value for key, value in part.items() if value is not None}


def expect_state_after_each_stream(run: TapRun) -> None:
    """Assert that the last message of each stream is followed by a STATE, and that none repeats the one before it."""
    kinds = [(message["type"], message.get("stream")) for message in run.messages]
    begins = [place for place, kind in enumerate(kinds) if kind[0] == "SCHEMA"]
    ends = [*begins[1:], len(kinds)]
    assert all(kinds[end - 1][0] == "STATE" for end in ends), kinds
    assert not any(one == next_one for one, next_one in pairwise(run.messages) if one["type"] == "STATE"), kinds


def second_run(**settings: object) -> tuple[str, TapRun]:
    """Read charges twice; return their newest time, and the second run, which reads all of them again."""
    times = [JAN_2024 + day * DAY for day in range(600)]
    with FakeAPI({"charges": minimal_records("charges", times)}, provider="chargedesk") as api:
        config = tap_config(api, page_size=60, lookback_days=1000, reread_days=0, **settings)
        catalog = catalog_with(only=["charges"], incremental=["charges"])
        first = run_in_process(config, catalog=catalog).expect_success()
        second = run_in_process(config, catalog=catalog, state=first.state).expect_success()
        expect_true_states(second, api, out=expect_true_states(first, api))
        assert sent_keys(second.messages) == set(api.account.keys("charges"))
    return str(times[-1]), second


@pytest.mark.parametrize("provider", ["generic", "chargedesk"])
@pytest.mark.parametrize("way", ["unmodified", "each record by itself", "batches"])
@pytest.mark.parametrize("incremental", [(), INCREMENTAL])
def test_quiet_nights_end_with_the_state_that_they_began_with(
    provider: str, way: str, incremental: tuple[str, ...], tmp_path: Path
) -> None:
    catalog = catalog_with(incremental=incremental)
    maps = {"charges": {"amount": "__NULL__"}, "customers": {"name": "__NULL__"}}
    settings: JSON = {
        "unmodified": {},
        "each record by itself": {"stream_maps": maps},
        "batches": {"batch_config": batch_config(tmp_path)},
    }[way]
    with FakeAPI(account(php=provider == "chargedesk"), provider=provider) as api:
        config = tap_config(api, reread_days=0, **settings)
        state: JSON | None = None
        nights = []
        for _ in range(3):
            run = run_in_process(config, catalog=catalog, state=state).expect_success()
            expect_state_after_each_stream(run)
            state = remembered(run)
            assert state is not None
            # Subscriptions of ChargeDesk do not show the filter's time: their bookmark follows the clock.
            clocked = {"subscriptions"} if provider == "chargedesk" and incremental else set()
            nights.append({name: part for name, part in state["bookmarks"].items() if name not in clocked})
    assert nights[0] == nights[1] == nights[2]
    assert set(nights[0]) == set(STREAMS) - clocked
    assert {name for name, part in nights[0].items() if part} == set(incremental) - clocked


def test_a_full_table_stream_keeps_what_incremental_runs_left() -> None:
    left = {"bookmarks": {"products": {"replication_key": "first_seen", "replication_key_value": JAN_2024}}}
    with FakeAPI(account()) as api:
        run = run_in_process(tap_config(api), catalog=catalog_with(only=["products"]), state=left).expect_success()
    expect_state_after_each_stream(run)
    assert remembered(run) == left


def test_a_stream_without_records_ends_with_a_state_too() -> None:
    with FakeAPI({"products": make_account(products=3)["products"]}, provider="chargedesk") as api:
        catalog = catalog_with(incremental=INCREMENTAL)
        first = run_in_process(tap_config(api), catalog=catalog).expect_success()
        second = run_in_process(tap_config(api), catalog=catalog, state=first.state).expect_success()
    for run in (first, second):
        expect_state_after_each_stream(run)
        assert part_of(run.state, "products") == {}
        for name in ("charges", "customers"):
            assert (part_of(run.state, name)["newest"], part_of(run.state, name)["unread"]) == (None, [])


def test_a_state_follows_each_page_though_the_bookmark_has_not_changed() -> None:
    bookmark, second = second_run()
    assert set(second.bookmarks("charges")) == {bookmark}
    kinds = [kind for kind, _ in groupby(message["type"] for message in second.messages)]
    assert kinds[kinds.index("RECORD") :] == ["RECORD", "STATE"] * kinds.count("RECORD")
    assert kinds.count("RECORD") > 600 // 60


def test_a_state_follows_the_batches_that_it_covers_and_the_last_batch(tmp_path: Path) -> None:
    bookmark, second = second_run(batch_config=batch_config(tmp_path, 100))
    assert set(second.bookmarks("charges")) == {bookmark}
    kinds = [kind for kind, _ in groupby(message["type"] for message in second.messages)]
    assert kinds.count("BATCH") >= 600 // 120
    assert kinds[kinds.index("BATCH") :] == ["BATCH", "STATE"] * kinds.count("BATCH")
    expect_state_after_each_stream(second)
    assert bookmark_in(remembered(second), "charges") == bookmark


def test_a_run_that_is_stopped_on_a_quiet_night_ends_with_its_state() -> None:
    reached = threading.Event()
    with FakeAPI(account(php=True), provider="chargedesk") as api:
        config = tap_config(api, page_size=2, reread_days=0)
        catalog = catalog_with(incremental=INCREMENTAL)
        state = remembered(run_in_process(config, catalog=catalog).expect_success())

        def hold(_: FakeAPI, request: LoggedRequest, params: dict[str, str]) -> None:
            if request.stream == "products" and params["offset"] == "3":
                reached.set()
                api.stopping.wait(1)

        api.before_each(hold)
        with start_tap(config, catalog=catalog, state=state) as process:
            assert reached.wait(SOON)
            process.send(signal.SIGTERM)
            run = process.finish()
    assert run.exit_code == 143
    assert run.records("products")
    # The SDK's state of a stream that was not reached has no null in it.
    before, after = ({name: known(part_of(one, name)) for name in INCREMENTAL} for one in (state, remembered(run)))
    assert before == after
