"""Older records are read again night after night, over real HTTP, whenever runs are killed.

A night later is a STATE whose re-reading is paid for up to a day earlier: nothing else of it depends on the clock.
"""

from __future__ import annotations

import copy
import json
import re
import signal
import time
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest

from tests.fake_api import FakeAPI
from tests.fake_api.faults import Status
from tests.support.records import DAY, evenly_spaced, minimal_records
from tests.support.tap_runs import JSON, TapProcess, TapRun, catalog_with, run_tap, start_tap, tap_config

PROVIDERS = ("chargedesk", "generic")
YEAR = 365 * DAY
# Newest record of each account, so that it is within the look-back of every run.
NEWEST = int(time.time()) - 5 * DAY
OLDEST = NEWEST - 3 * YEAR
RECORDS = 1_500
REREAD_DAYS = 5
CATALOG = catalog_with(only=["charges"], incremental=["charges"])
SECONDS_TO_WAIT = 60


def account(provider: str, **lists: list[JSON]) -> FakeAPI:
    charges = minimal_records("charges", evenly_spaced(RECORDS, OLDEST, NEWEST))
    return FakeAPI({"charges": charges, **lists}, provider=provider)


def later(state: JSON | None, *, days: float = 1) -> JSON:
    """Return a STATE as it will look some days later."""
    assert state is not None
    state = copy.deepcopy(state)
    for bookmark in state["bookmarks"].values():
        if "reread_paid_until" in bookmark:
            bookmark["reread_paid_until"] -= int(days * DAY)
    return state


def config_of(api: FakeAPI, **settings: object) -> JSON:
    return tap_config(api, **{"reread_days": REREAD_DAYS, "window_days": 60, **settings})


def read(api: FakeAPI, state: JSON | None = None, **settings: object) -> TapRun:
    return run_tap(config_of(api, **settings), catalog=CATALOG, state=state)


def said(run: TapRun) -> JSON:
    """Return what the last STATE says of charges."""
    assert run.state is not None
    bookmark: JSON = run.state["bookmarks"]["charges"]
    return bookmark


def times(run: TapRun) -> list[int]:
    return [int(record["occurred"]) for record in run.records("charges")]


def older(run: TapRun) -> list[int]:
    """Return the times of the charges that a run sent and that are older than the look-back."""
    return [moment for moment in times(run) if moment < NEWEST - 31 * DAY]


def older_times() -> list[int]:
    return [moment for moment in evenly_spaced(RECORDS, OLDEST, NEWEST) if moment < NEWEST - 31 * DAY]


def covered(messages: list[JSON]) -> dict[str, JSON]:
    """Return the records that a STATE follows, by their keys: those that a target keeps whenever it is killed."""
    states = [place for place, message in enumerate(messages) if message["type"] == "STATE"]
    records = [message["record"] for message in messages[: states[-1] if states else 0] if message["type"] == "RECORD"]
    return {record["charge_id"]: record for record in records}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_all_that_is_older_is_read_in_even_parts_and_the_bookmark_stays(provider: str) -> None:
    with account(provider) as api:
        first = read(api).expect_success()
        assert sorted(times(first)) == evenly_spaced(RECORDS, OLDEST, NEWEST)
        state = first.state
        seen: list[int] = []
        for night in range(REREAD_DAYS):
            api.requests.clear()
            run = read(api, later(state)).expect_success()
            part = older(run)
            assert len(part) == pytest.approx(RECORDS / REREAD_DAYS, rel=0.05)
            # The oldest ones come first, and again at the end of the round.
            assert night in {0, REREAD_DAYS - 1} or min(part) >= max(seen)
            seen += part
            assert set(run.bookmarks("charges")) == {first.bookmark("charges")}
            assert provider != "chargedesk" or len(api.requests) < 12
            state = run.state
        assert set(seen) == set(older(first))


def test_the_part_of_a_night_is_all_that_is_asked_for() -> None:
    with account("chargedesk") as api:
        state = read(api).expect_success().state
        for _ in range(2):
            api.requests.clear()
            run = read(api, later(state)).expect_success()
            before, state = state, run.state
        lookback = int(run.bookmark("charges")) - 30 * DAY
        bounds = {
            (request.params.get("occurred[min]"), request.params.get("occurred[max]")) for request in api.requests
        }
        assert (str(lookback), None) in bounds
        begin, end = (one["bookmarks"]["charges"]["reread_position"] for one in (before, state) if one)
        again = bounds - {(str(lookback), None)}
        assert min(int(since or 0) for since, _ in again) == begin
        assert max(int(until or 0) for _, until in again) == end


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "state", [None, {"bookmarks": {"charges": {"replication_key": "occurred", "replication_key_value": str(NEWEST)}}}]
)
def test_a_first_run_and_one_with_an_older_state_read_nothing_again(provider: str, state: JSON | None) -> None:
    with account(provider) as api:
        begun = int(time.time())
        run = read(api, state).expect_success()
    assert len(run.keys("charges")) == len(set(run.keys("charges")))
    assert len(older(run)) == (0 if state else len(older_times()))
    assert not run.logged("re-read")
    assert begun <= said(run)["reread_paid_until"] <= time.time()
    assert said(run)["reread_position"] <= OLDEST


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("seed", range(2))
def test_a_change_of_any_record_arrives_in_time_though_runs_are_killed(provider: str, seed: int) -> None:
    draw = Random(f"{provider} {seed}")
    with account(provider) as api:
        config = config_of(api, page_size=100)
        state = run_tap(config, catalog=CATALOG).expect_success().state
        waiting: dict[str, int] = {}
        arrived = 0
        for night in range(1, 3 * REREAD_DAYS):
            for key in draw.sample(api.account.keys("charges"), 40):
                # What was changed before and has not arrived waits since then.
                waiting.setdefault(key, night - 1)
                api.account.update("charges", key, {"status": f"refunded on night {night}"})
            requests = len(api.requests)
            api.latency = 0.01
            with start_tap(config, catalog=CATALOG, state=later(state)) as process:
                if draw.random() < 0.5:
                    kill_after(api, process, draw.choice(list(signals())), requests + draw.randint(1, 12))
                run = process.finish()
            api.latency = 0
            state = run.state or later(state)
            complete = run.exit_code == 0
            for key, record in covered(run.messages).items():
                assert record.get("status") in {None, api.account["charges"].record(key).get("status")}
                arrived += waiting.pop(key, None) is not None
            late = {key for key, changed in waiting.items() if complete and night - changed >= REREAD_DAYS}
            assert not late
        assert arrived > 200


def signals() -> dict[signal.Signals, int]:
    """Return the signals that end a run, and its exit code then."""
    return {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


def kill_after(api: FakeAPI, process: TapProcess, number: signal.Signals, requests: int) -> None:
    """Send the signal once so many requests have come, if the run gets that far."""
    end = time.monotonic() + SECONDS_TO_WAIT
    while process.running and len(api.requests) < requests:
        assert time.monotonic() < end, "it sends no requests"
        time.sleep(0.001)
    process.send(number)


def test_a_run_that_fails_while_it_reads_again_owes_the_rest() -> None:
    with account("chargedesk") as api:
        state = later(read(api).expect_success().state, days=REREAD_DAYS)
        refused = OLDEST + YEAR
        api.faults.add(
            Status(403),
            times=None,
            when=lambda params: "occurred[max]" in params and int(params.get("occurred[min]", 0)) > refused,
        )
        failed = read(api, state)
        failed.expect_failure("charges", "403")
        reached, owed = said(failed)["reread_position"], said(failed)["reread_paid_until"]
        assert refused < reached < refused + YEAR
        share = (reached - OLDEST) / (NEWEST - OLDEST)
        assert time.time() - owed == pytest.approx((1 - share) * REREAD_DAYS * DAY, rel=0.05)
        assert set(failed.bookmarks("charges")) == {state["bookmarks"]["charges"]["replication_key_value"]}
        api.faults.clear()
        rest = read(api, failed.state).expect_success()
    assert set(older(failed)) | set(older(rest)) == set(older_times())
    assert len(older(rest)) < 0.7 * RECORDS


def test_batches_of_older_records_are_closed_before_a_state_covers_them(tmp_path: Path) -> None:
    batches = {
        "encoding": {"format": "jsonl", "compression": "none"},
        "storage": {"root": tmp_path.as_uri()},
        "batch_size": 200,
    }
    with account("chargedesk") as api:
        first = read(api).expect_success()
        run = read(api, later(first.state), page_size=100, batch_config=batches).expect_success()
    positions = [state["bookmarks"]["charges"]["reread_position"] for state in run.states]
    assert len(set(positions)) > 2
    assert positions == sorted(positions)
    batched = 0
    for message in run.messages:
        if message["type"] == "BATCH":
            for url in message["manifest"]:
                lines = Path(urlsplit(url).path).read_text(encoding="utf-8").splitlines()
                batched += sum(int(json.loads(line)["occurred"]) < NEWEST - 31 * DAY for line in lines)
        elif message["type"] == "STATE":
            position = message["value"]["bookmarks"]["charges"]["reread_position"]
            assert batched >= len([one for one in older_times() if one <= position])


def test_the_metric_of_a_batched_stream_counts_what_is_read_again(tmp_path: Path) -> None:
    with account("chargedesk") as api:
        first = read(api).expect_success()
        batches = {
            "encoding": {"format": "jsonl", "compression": "none"},
            "storage": {"root": tmp_path.as_uri()},
            "batch_size": 200,
        }
        run = read(api, later(first.state), batch_config=batches).expect_success()
    written = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in tmp_path.iterdir())
    counted = re.findall(r'"metric":"record_count","value":(\d+)', "\n".join(run.lines))
    assert sum(map(int, counted)) == written > RECORDS / REREAD_DAYS


# What a run tells.


def test_the_log_tells_what_is_read_again_apart() -> None:
    with account("chargedesk") as api:
        first = read(api).expect_success()
        api.requests.clear()
        run = read(api, later(first.state)).expect_success()
        served = len(api.requests)
    assert f"charges: {RECORDS} records, " in first.lines[-1]
    summary = re.search(r"charges: (\d+) records, (\d+) of them re-read, (\d+) requests", run.lines[-1])
    assert summary is not None
    sent, again, requests = map(int, summary.groups())
    assert again == pytest.approx(RECORDS / REREAD_DAYS, rel=0.05)
    assert sent == len(run.keys("charges"))
    assert requests == served
    assert len(run.logged("INFO", "older than lookback_days", "within 5 days (reread_days)")) == 1


def test_a_list_that_cannot_be_filtered_tells_what_is_read_again_too() -> None:
    with account("generic") as api:
        run = read(api, later(read(api).expect_success().state)).expect_success()
    assert re.search(r"charges: \d+ records, 29\d of them re-read, \d+ requests", run.lines[-1])


# A STATE that is not as it should be.


def test_a_bookmark_in_the_future_is_an_error_where_nothing_is_read_again() -> None:
    ahead = {"replication_key": "occurred", "replication_key_value": str(int(time.time()) + 90 * DAY)}
    with account("chargedesk") as api:
        run = read(api, {"bookmarks": {"charges": ahead}}, reread_days=0)
    run.expect_failure("charges", "STATE", "`lookback_days`", "`reread_days`", "--full-refresh")
    assert not api.requests


def test_what_a_bookmark_in_the_future_has_hidden_comes_by_reading_again() -> None:
    with account("chargedesk") as api:
        first = read(api).expect_success()
        state = first.state
        assert state is not None
        # Made while a machine whose clock was wrong had set the bookmark 90 days ahead.
        state["bookmarks"]["charges"]["replication_key_value"] = str(int(time.time()) + 90 * DAY)
        missed = int(time.time()) - 200 * DAY
        api.account.insert("charges", {"charge_id": "missed", "occurred": str(missed)})
        arrived = []
        for _ in range(REREAD_DAYS):
            run = read(api, later(state)).expect_success()
            state = run.state
            arrived += run.keys("charges")
    assert "missed" in arrived


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("key", ["reread_position", "reread_paid_until"])
@pytest.mark.parametrize("value", [None, "never", -1, 1e300, 10**40, "2031-01-01T00:00:00Z"])
def test_strange_values_in_a_state_leave_no_gap(provider: str, key: str, value: object) -> None:
    with account(provider) as api:
        state = later(read(api, reread_days=2).expect_success().state)
        state["bookmarks"]["charges"][key] = value
        seen: set[int] = set()
        for _ in range(3):
            run = read(api, state, reread_days=2).expect_success()
            seen |= set(older(run))
            state = later(run.state)
    assert seen == set(older_times())


@pytest.mark.parametrize("key", ["reread_oldest", "reread_position", "reread_paid_until"])
def test_a_value_that_is_no_time_is_named_in_one_line(key: str) -> None:
    with account("chargedesk") as api:
        run = read(api, {"bookmarks": {"charges": {key: [1]}}})
    run.expect_failure("the state", f"`bookmarks.charges.{key}`", "time")
    assert not api.requests
