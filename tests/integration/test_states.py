"""A STATE goes out after the last record of every stream, changed or not: many targets forget theirs at each RECORD."""

from __future__ import annotations

import signal
import threading
from itertools import groupby
from typing import TYPE_CHECKING

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.in_process import run_in_process
from tests.support.records import DAY, minimal_records
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


def expect_state_after_each_stream(run: TapRun) -> None:
    """Assert that the last message of each stream is followed by one STATE, and that no two follow each other."""
    kinds = [(message["type"], message.get("stream")) for message in run.messages]
    begins = [place for place, kind in enumerate(kinds) if kind[0] == "SCHEMA"]
    ends = [*begins[1:], len(kinds)]
    assert all(kinds[end - 1][0] == "STATE" for end in ends), kinds
    assert all(len(list(group)) == 1 for kind, group in groupby(kinds) if kind[0] == "STATE"), kinds


def batches_in(folder: Path) -> JSON:
    """Return a `batch_config` that puts its files into a folder."""
    return {
        "encoding": {"format": "jsonl", "compression": "none"},
        "storage": {"root": folder.as_uri()},
        "batch_size": 1000,
    }


def second_run_over_many_windows(**settings: object) -> tuple[str, TapRun]:
    """Read charges twice; return their newest time, and the second run, which reads all windows again."""
    times = [JAN_2024 + day * DAY for day in range(600)]
    with FakeAPI({"charges": minimal_records("charges", times)}, provider="chargedesk") as api:
        config = tap_config(api, window_days=60, lookback_days=1000, reread_days=0, **settings)
        catalog = catalog_with(only=["charges"], incremental=["charges"])
        first = run_in_process(config, catalog=catalog).expect_success()
        return str(times[-1]), run_in_process(config, catalog=catalog, state=first.state).expect_success()


@pytest.mark.parametrize("provider", ["generic", "chargedesk"])
@pytest.mark.parametrize("way", ["unmodified", "each record by itself", "batches"])
@pytest.mark.parametrize("incremental", [(), INCREMENTAL])
def test_quiet_nights_end_with_the_state_that_they_began_with(
    provider: str, way: str, incremental: tuple[str, ...], tmp_path: Path
) -> None:
    catalog = catalog_with(
        incremental=incremental, deselect=["charges.amount", "customers.name"] if way == "each record by itself" else ()
    )
    with FakeAPI(account(php=provider == "chargedesk"), provider=provider) as api:
        config = tap_config(api, reread_days=0, batch_config=batches_in(tmp_path) if way == "batches" else None)
        state: JSON | None = None
        nights = []
        for _ in range(3):
            run = run_in_process(config, catalog=catalog, state=state).expect_success()
            expect_state_after_each_stream(run)
            state = remembered(run)
            assert state is not None
            nights.append(state)
    assert nights[0] == nights[1] == nights[2]
    assert set(nights[0]["bookmarks"]) == set(STREAMS)
    assert {name for name, said in nights[0]["bookmarks"].items() if said} == set(incremental)


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
        assert run.state == {"bookmarks": {name: {} for name in STREAMS}}


def test_a_state_follows_each_window_also_where_it_has_not_changed() -> None:
    bookmark, second = second_run_over_many_windows()
    assert set(second.bookmarks("charges")) == {bookmark}
    kinds = [kind for kind, _ in groupby(message["type"] for message in second.messages)]
    assert kinds.count("RECORD") > 1
    assert kinds.count("STATE") >= kinds.count("RECORD")


def test_a_state_follows_the_batches_of_each_window_and_the_last_batch(tmp_path: Path) -> None:
    bookmark, second = second_run_over_many_windows(batch_config=batches_in(tmp_path))
    assert set(second.bookmarks("charges")) == {bookmark}
    kinds = [kind for kind, _ in groupby(message["type"] for message in second.messages)]
    assert kinds.count("BATCH") > 1
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
    last = remembered(run)
    assert last is not None
    assert state is not None
    assert {name: said for name, said in last["bookmarks"].items() if said} == {
        name: state["bookmarks"][name] for name in INCREMENTAL
    }
