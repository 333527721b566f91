"""A STATE goes out after the last record of every stream, changed or not: many targets forget theirs at each RECORD."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.in_process import run_in_process
from tests.support.records import DAY, minimal_records
from tests.support.states import batch_config, expect_true_states, part_of, sent_keys
from tests.support.tap_runs import JSON, TapRun, bookmark_in, catalog_with, tap_config

if TYPE_CHECKING:
    from pathlib import Path

JAN_2024 = 1_704_067_200
INCREMENTAL = ("charges", "customers", "subscriptions")


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
    """Assert that the last message of each stream is followed by a STATE, and that none repeats the one before it."""
    kinds = [(message["type"], message.get("stream")) for message in run.messages]
    begins = [index for index, kind in enumerate(kinds) if kind[0] == "SCHEMA"]
    assert all(kinds[end - 1][0] == "STATE" for end in (*begins[1:], len(kinds))), kinds
    assert not any(one == next_one for one, next_one in pairwise(run.messages) if one["type"] == "STATE"), kinds


@pytest.mark.parametrize("provider", ["generic", "chargedesk"])
@pytest.mark.parametrize("way", ["unmodified", "each record by itself", "batches"])
@pytest.mark.parametrize("incremental", [(), INCREMENTAL])
def test_quiet_nights_end_with_the_state_that_they_began_with(
    provider: str, way: str, incremental: tuple[str, ...], tmp_path: Path
) -> None:
    catalog = catalog_with(incremental=incremental)
    maps = {name: {"customer_id": "__NULL__"} for name in ("charges", "subscriptions")}
    settings: JSON = {
        "unmodified": {},
        "each record by itself": {"stream_maps": maps},
        "batches": {"batch_config": batch_config(tmp_path)},
    }[way]
    # No customers: a list without records ends with a STATE too.
    account = make_account(charges=30, products=6, subscriptions=5, php=provider == "chargedesk")
    with FakeAPI(account, provider=provider) as api:
        config = tap_config(api, reread_days=0, **settings)
        first = run_in_process(config, catalog=catalog).expect_success()
        second = run_in_process(config, catalog=catalog, state=first.state).expect_success()
    # Subscriptions of ChargeDesk do not show the filter's time: their bookmark follows the clock.
    clocked = {"customers", "subscriptions"} if provider == "chargedesk" else {"customers"}
    steady = set(STREAMS) - clocked
    nights = []
    for run in (first, second):
        expect_state_after_each_stream(run)
        nights.append({name: part_of(remembered(run), name) for name in steady})
        assert part_of(remembered(run), "customers").get("newest") is None
    assert nights[0] == nights[1]
    assert {name for name in steady if nights[0][name]} == set(incremental) & steady


def test_a_full_table_stream_keeps_what_incremental_runs_left() -> None:
    left = {"bookmarks": {"products": {"replication_key": "first_seen", "replication_key_value": JAN_2024}}}
    with FakeAPI(make_account(products=6)) as api:
        run = run_in_process(tap_config(api), catalog=catalog_with(only=["products"]), state=left).expect_success()
    expect_state_after_each_stream(run)
    assert remembered(run) == left


@pytest.mark.parametrize("kind", ["RECORD", "BATCH"])
def test_a_state_follows_each_page_or_batch_though_the_bookmark_has_not_changed(kind: str, tmp_path: Path) -> None:
    times = [JAN_2024 + day * DAY for day in range(600)]
    settings: JSON = {"batch_config": batch_config(tmp_path, 100)} if kind == "BATCH" else {}
    with FakeAPI({"charges": minimal_records("charges", times)}, provider="chargedesk") as api:
        config = tap_config(api, page_size=60, lookback_days=1000, reread_days=0, **settings)
        catalog = catalog_with(only=["charges"], incremental=["charges"])
        first = run_in_process(config, catalog=catalog).expect_success()
        second = run_in_process(config, catalog=catalog, state=first.state).expect_success()
        expect_true_states(second, api, out=expect_true_states(first, api))
        assert sent_keys(second.messages) == set(api.account.keys("charges"))
    assert set(second.bookmarks("charges")) == {str(times[-1])}
    kinds = [kind for kind, _ in groupby(message["type"] for message in second.messages)]
    assert kinds[kinds.index(kind) :] == [kind, "STATE"] * kinds.count(kind)
    assert kinds.count(kind) >= 600 // (60 if kind == "RECORD" else 120)
    expect_state_after_each_stream(second)
    assert bookmark_in(remembered(second), "charges") == str(times[-1])
