"""A backfill that is killed goes on: the two runs together have every record."""

from __future__ import annotations

import gzip
import json
import signal
import time
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest

from tests.fake_api import FakeAPI
from tests.support.records import DAY, minimal_records
from tests.support.tap_runs import JSON, TapProcess, TapRun, bookmark_in, catalog_with, run_tap, start_tap, tap_config
from tests.support.waiting import SOON

JAN_2023, JAN_2024 = 1_672_531_200, 1_704_067_200
RECORDS = 6_000
LOOKBACK = 3
SIGNALS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


@pytest.fixture
def api() -> FakeAPI:
    draw = Random(7)
    charges = minimal_records("charges", [draw.randrange(JAN_2023, JAN_2024) for _ in range(RECORDS)])
    return FakeAPI({"charges": charges}, provider="chargedesk")


def sent(run: TapRun) -> set[str]:
    """Return the keys of the charges that a target has by now, batches included."""
    keys = set(run.keys("charges"))
    for message in run.messages:
        if message["type"] == "BATCH":
            for url in message["manifest"]:
                lines = gzip.decompress(Path(urlsplit(url).path).read_bytes()).splitlines()
                keys |= {json.loads(line)["charge_id"] for line in lines}
    return keys


def kill_at(api: FakeAPI, process: TapProcess, number: signal.Signals, pages: int, delay: float) -> None:
    """Send the signal a moment after this many pages with records were served."""
    end = time.monotonic() + SOON
    while process.running and sum(served.records > 0 for served in api.requests) < pages:
        assert time.monotonic() < end, "it reads no pages"
        time.sleep(0.002)
    time.sleep(delay)
    process.send(number)


def expect_true_last_state(run: TapRun, api: FakeAPI) -> int | None:
    """Assert that all the last STATE speaks of is out; return its bookmark."""
    bookmark = run.bookmark("charges")
    if bookmark is None:
        return None
    told = {
        str(record["charge_id"])
        for record in api.account.records("charges")
        if int(record["occurred"]) <= int(bookmark)
    }
    assert told <= sent(run)
    return int(bookmark)


@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("number", SIGNALS)
def test_two_runs_have_every_record_whenever_the_first_was_killed(
    api: FakeAPI, tmp_path: Path, number: signal.Signals, *, batches: bool
) -> None:
    draw = Random(f"{number} {batches}")
    storage = {"root": tmp_path.as_uri()}
    encoding = {"format": "jsonl", "compression": "gzip"}
    batch_config = {"encoding": encoding, "storage": storage, "batch_size": 700} if batches else None
    catalog = catalog_with(only=["charges"], incremental=["charges"])
    with api:
        config = tap_config(
            api, start_date="2023-01-01", lookback_days=LOOKBACK, window_days=20, batch_config=batch_config
        )
        api.latency = 0.02
        with start_tap(config, catalog=catalog) as process:
            # Slow enough that the moment falls into the run: its requests alone take longer.
            kill_at(api, process, number, draw.randrange(8, 26), draw.random() * 0.05)
            first = process.finish()
        assert first.exit_code == SIGNALS[number], first.stderr
        assert not first.errors
        assert "Traceback" not in first.stderr
        bookmark = expect_true_last_state(first, api)
        assert bookmark is not None
        api.requests.clear()
        api.latency = 0
        second = run_tap(config, catalog=catalog, state=first.state).expect_success()
        assert sent(first) | sent(second) == set(api.account.keys("charges"))
    begin = bookmark - LOOKBACK * DAY
    assert api.requests[0].params["occurred[min]"] == str(max(begin, JAN_2023))
    assert bookmark > JAN_2023 + LOOKBACK * DAY
    assert len(sent(first)) < RECORDS
    assert len(sent(second)) < RECORDS
    if batches:
        # What a signal left open is dropped; after a kill nobody is left to do so.
        files = {Path(urlsplit(url).path).name for run in (first, second) for url in manifests(run)}
        left = {file.name for file in tmp_path.iterdir()} - files
        assert not left or number == signal.SIGKILL


def manifests(run: TapRun) -> list[str]:
    return [url for message in run.messages if message["type"] == "BATCH" for url in message["manifest"]]


def test_any_number_of_kills_end_with_every_record_and_bookmarks_that_only_grow(api: FakeAPI) -> None:
    draw = Random(11)
    state: JSON | None = None
    keys: set[str] = set()
    marks = [0]
    catalog = catalog_with(only=["charges"], incremental=["charges"])
    with api:
        config = tap_config(api, start_date="2023-01-01", lookback_days=1, window_days=15, concurrency=4)
        for _ in range(4):
            api.requests.clear()
            api.latency = 0.02
            with start_tap(config, catalog=catalog, state=state) as process:
                kill_at(api, process, signal.SIGKILL, draw.randrange(1, 12), draw.random() * 0.03)
                run = process.finish()
            keys |= sent(run)
            state = run.state or state
            marks += [int(bookmark_in(state, "charges") or 0)]
        api.latency = 0
        last = run_tap(config, catalog=catalog, state=state).expect_success()
        assert keys | sent(last) == set(api.account.keys("charges"))
        assert marks == sorted(marks)
        assert int(last.bookmark("charges")) >= marks[-1]


def test_a_full_table_run_that_is_killed_begins_anew(api: FakeAPI) -> None:
    catalog = catalog_with(only=["charges"])
    with api:
        api.latency = 0.05
        with start_tap(tap_config(api), catalog=catalog) as process:
            kill_at(api, process, signal.SIGTERM, 4, 0)
            first = process.finish()
        api.requests.clear()
        api.latency = 0
        second = run_tap(tap_config(api), catalog=catalog, state=first.state).expect_success()
    assert first.exit_code == 143
    assert 0 < len(sent(first)) < RECORDS
    assert set(api.requests[0].params) == {"count", "offset"}
    assert sent(second) == set(api.account.keys("charges"))
