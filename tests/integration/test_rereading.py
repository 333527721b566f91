"""Older records are read again night after night, over real HTTP, whenever runs are killed.

A night later is a STATE whose last re-reading was planned a day earlier: nothing else of it depends on the clock.
"""

from __future__ import annotations

import copy
import re
import signal
import time
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.fake_api import FakeAPI
from tests.fake_api.faults import Status
from tests.support.records import DAY, evenly_spaced, minimal_records
from tests.support.states import batch_config, batch_files, expect_true_states, part_of, records_of
from tests.support.tap_runs import JSON, TapProcess, TapRun, catalog_with, run_tap, start_tap, tap_config

if TYPE_CHECKING:
    from pathlib import Path

PROVIDERS = ("chargedesk", "generic")
YEAR = 365 * DAY
# Newest record of each account, so that it is within the look-back of every run.
NEWEST = int(time.time()) - 5 * DAY
OLDEST = NEWEST - 3 * YEAR
RECORDS = 1_500
NEWEST_OUT = evenly_spaced(RECORDS, OLDEST, NEWEST)[-1]
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
        if bookmark.get("reread_time") is not None:
            bookmark["reread_time"] -= int(days * DAY)
    return state


def config_of(api: FakeAPI, **settings: object) -> JSON:
    return tap_config(api, **{"reread_days": REREAD_DAYS, **settings})


def read(api: FakeAPI, state: JSON | None = None, **settings: object) -> TapRun:
    return run_tap(config_of(api, **settings), catalog=CATALOG, state=state)


def times(run: TapRun) -> list[int]:
    return [int(record["occurred"]) for record in run.records("charges")]


def older(run: TapRun) -> list[int]:
    """Return the times of the charges that a run sent and that are older than the look-back."""
    return [moment for moment in times(run) if moment < NEWEST - 31 * DAY]


def older_times() -> list[int]:
    return [moment for moment in evenly_spaced(RECORDS, OLDEST, NEWEST) if moment < NEWEST - 31 * DAY]


def is_owed(moment: int, unread: list[list[int | None]]) -> bool:
    return any((since or 0) <= moment and (until is None or moment <= until) for since, until in unread)


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
        assert part_of(state)["reread_position"] is None
        for _ in range(2):
            api.requests.clear()
            before = later(state)
            run = read(api, before).expect_success()
            state = run.state
            begin, end = (part_of(one)["reread_position"] for one in (before, state))
            # What the night owes is in its first STATE; each page takes its part off.
            first = part_of(run.states[1])
            assert first["unread"] == [[NEWEST_OUT - 30 * DAY, None], [begin, end]]
            assert {asked["reread_position"] for asked in map(part_of, run.states[1:])} == {end}
            bounds = [
                tuple(request.params.get(f"occurred[{one}]") for one in ("min", "max")) for request in api.requests
            ]
            # Filters are a second wider, since they may leave their ends out.
            lookback = (str(NEWEST_OUT - 30 * DAY - 1), None)
            assert bounds[0] == lookback
            again = {bound for bound in bounds if bound != lookback}
            assert {since for since, _ in again} == {None if begin is None else str(begin - 1)}
            assert max(int(until or 0) for _, until in again) == end + 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_first_run_reads_nothing_again(provider: str) -> None:
    with account(provider) as api:
        begun = int(time.time())
        run = read(api).expect_success()
    assert len(run.keys("charges")) == len(set(run.keys("charges"))) == RECORDS
    assert not run.logged("re-read,")
    assert begun <= part_of(run.state)["reread_time"] <= time.time()
    assert part_of(run.state)["oldest"] == OLDEST


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
        api.faults.add(Status(403), after=2)
        failed = read(api, state).expect_failure("charges", "403")
        api.faults.clear()
        # All is owed now, and nothing more: the time and the position have moved on.
        owed = part_of(failed.state)["unread"]
        assert len(owed) == 1
        assert owed[0][0] is None
        assert OLDEST < owed[0][1] < NEWEST - YEAR
        assert set(failed.bookmarks("charges")) == {part_of(state)["replication_key_value"]}
        rest = read(api, failed.state).expect_success()
        out = expect_true_states(rest, api, out=expect_true_states(failed, api, out=api.account.keys("charges")))
    assert out == set(api.account.keys("charges"))
    assert set(older(failed)) | set(older(rest)) == set(older_times())
    assert len(older(rest)) < 0.7 * RECORDS


def test_batches_of_older_records_are_closed_before_a_state_covers_them(tmp_path: Path) -> None:
    with account("chargedesk") as api:
        first = read(api).expect_success()
        run = read(api, later(first.state), page_size=100, batch_config=batch_config(tmp_path, 200)).expect_success()
    due = [moment for moment in older_times() if moment <= part_of(run.state)["reread_position"]]
    assert len(due) == pytest.approx(RECORDS / REREAD_DAYS, rel=0.05)
    batched: set[int] = set()
    counts = set()
    # The first STATE is the one that the run was given, as the SDK writes it.
    for message in run.messages[1:]:
        batched |= {int(record["occurred"]) for record in records_of(message)}
        if message["type"] == "STATE":
            unread = part_of(message["value"])["unread"]
            out = {moment for moment in due if not is_owed(moment, unread)}
            assert out <= batched
            counts.add(len(out))
    assert len(counts) > 1
    # The metric counts what is read again, too.
    written = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in batch_files(run.messages))
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
    assert len(run.logged("INFO", "`lookback_days`", "within 5 days (`reread_days`)")) == 1


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


BOOKMARK: JSON = {"replication_key": "occurred", "replication_key_value": str(NEWEST_OUT)}
FORMER = {"reread_oldest": OLDEST, "reread_position": OLDEST + YEAR, "reread_paid_until": NEWEST}
OTHER_FORMS: dict[str, tuple[JSON, bool]] = {
    # What is in a STATE, and whether it tells what is out.
    "another tap": (BOOKMARK, True),
    "another tap, with what the SDK adds": (
        {**BOOKMARK, "starting_replication_value": "1577836800", "replication_key_signpost": "2031-01-01"},
        True,
    ),
    "development version": ({**BOOKMARK, **FORMER}, True),
    "development version in its first run": ({"replication_key": "occurred", **FORMER}, False),
    "another replication key": ({**BOOKMARK, "replication_key": "updated"}, False),
    "words": ({**BOOKMARK, "replication_key_value": "soon"}, False),
    "milliseconds": ({**BOOKMARK, "replication_key_value": NEWEST * 1000}, False),
    "out of range": ({**BOOKMARK, "replication_key_value": 10**40}, False),
    "negative": ({**BOOKMARK, **FORMER, "reread_position": -1}, True),
    "from the future": ({**BOOKMARK, **FORMER, "reread_paid_until": "2099-01-01T00:00:00Z"}, True),
    "spans in words": ({**BOOKMARK, "newest": NEWEST_OUT, "unread": [["soon", None]], "reread_time": NEWEST}, False),
    "no pairs": ({**BOOKMARK, "newest": NEWEST_OUT, "unread": [[1]], "reread_position": NEWEST - YEAR}, False),
    "a pair upside down": ({**BOOKMARK, "newest": NEWEST_OUT, "unread": [[NEWEST_OUT, OLDEST]]}, False),
    "lists, objects and booleans": (
        {**BOOKMARK, "newest": [], "oldest": {}, "unread": [], "reread_position": [NEWEST], "reread_time": True},
        True,
    ),
    "a bookmark that is an object": ({**BOOKMARK, "replication_key_value": {"second": NEWEST_OUT}}, False),
    "no newest time": ({**BOOKMARK, "newest": "soon", "unread": [[None, OLDEST + YEAR]]}, True),
    "no times": ({**BOOKMARK, "unread": [], "reread_position": 1e300, "reread_time": "never"}, True),
}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(("part", "tells"), OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_a_state_of_another_form_is_read_as_far_as_it_makes_sense(part: JSON, provider: str, *, tells: bool) -> None:
    with account(provider) as api:
        run = read(api, {"bookmarks": {"charges": part}}, reread_days=2).expect_success()
        assert len(run.logged("WARNING", "charges: the STATE is of another version")) == 1
        assert NEWEST_OUT in times(run)
        # What it does not tell is read at once, and what may have changed within `reread_days`.
        assert tells or set(older(run)) == set(older_times())
        seen = set(older(run)) if tells else set()
        for _ in range(2):
            run = read(api, later(run.state), reread_days=2).expect_success()
            assert not run.logged("WARNING", "STATE")
            seen |= set(older(run))
    assert seen == set(older_times())
