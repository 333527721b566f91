"""A STATE goes out after the last record of every stream, changed or not: many targets forget theirs at each RECORD.

A run that is killed resumes from its last one: what a STATE speaks of is out, and what is not out is read.
"""

from __future__ import annotations

import signal
from dataclasses import replace
from itertools import cycle, groupby, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tap_payments.providers import PROVIDERS, Provider
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.account import Listing, Record
from tests.fake_api.faults import Hang
from tests.fake_api.providers import STREAMS
from tests.support.in_process import run_in_process
from tests.support.records import DAY, evenly_spaced, minimal_records
from tests.support.states import batch_config, batch_files, expect_true_states, part_of, sent_keys
from tests.support.tap_runs import JSON, TapRun, bookmark_in, catalog_with, start_tap, tap_config
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

JAN_2023, JAN_2024 = 1_672_531_200, 1_704_067_200
INCREMENTAL = ("charges", "customers", "subscriptions")
SIGNALS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
PAGE = 100
RECORDS = 1_500
LARGEST_OFFSET = 45
# Four charges share a second, so that pages end between them.
CHARGES = minimal_records("charges", evenly_spaced(RECORDS // 4, JAN_2023, JAN_2024) * 4)
CATALOG = catalog_with(only=["charges"], incremental=["charges"])


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
        first = run_in_process(config, catalog=CATALOG).expect_success()
        second = run_in_process(config, catalog=CATALOG, state=first.state).expect_success()
        expect_true_states(second, api, out=expect_true_states(first, api))
        assert sent_keys(second.messages) == set(api.account.keys("charges"))
    assert set(second.bookmarks("charges")) == {str(times[-1])}
    kinds = [kind for kind, _ in groupby(message["type"] for message in second.messages)]
    assert kinds[kinds.index(kind) :] == [kind, "STATE"] * kinds.count(kind)
    assert kinds.count(kind) >= 600 // (60 if kind == "RECORD" else 120)
    expect_state_after_each_stream(second)
    assert bookmark_in(remembered(second), "charges") == str(times[-1])


@pytest.mark.parametrize("batches", [False, True], ids=["records", "batches"])
def test_a_first_run_that_is_killed_after_every_page_goes_on_where_it_was(tmp_path: Path, *, batches: bool) -> None:
    settings: dict[str, Any] = {"batch_config": batch_config(tmp_path, PAGE // 2, "gzip")} if batches else {}
    out: set[str] = set()
    files: set[Path] = set()
    unnamed: set[Path] = set()
    state: JSON | None = None
    runs = 0
    with FakeAPI({"charges": CHARGES}, provider="chargedesk") as api:
        config = tap_config(api, page_size=PAGE, request_timeout=300, **settings)
        for number in cycle(SIGNALS):
            # The page after so many is awaited when the signal comes: all but the last of them are out then.
            api.faults.clear()
            api.faults.thrown.clear()
            api.faults.add(Hang(None), times=None, after=6)
            with start_tap(config, catalog=CATALOG, state=state) as process:
                wait_until(lambda: not process.running or api.faults.thrown["Hang"])
                process.send(number)
                run = process.finish()
            runs += 1
            out = expect_true_states(run, api, out=out)
            files |= set(batch_files(run.messages))
            if number == signal.SIGKILL:
                # Nobody is left to name or to drop what was closed last; a signal that can be handled leaves nothing.
                unnamed |= set(tmp_path.iterdir()) - files
            state = run.state or state
            if run.exit_code == 0:
                break
            assert run.exit_code == SIGNALS[number], run.stderr
            assert not run.errors
            assert "Traceback" not in run.stderr
            # Not before the first run's end is all that is no newer out.
            assert run.bookmark("charges") is None
            # Three requests at the top, where nothing is new, and at least two below.
            assert runs <= RECORDS // PAGE // 2 + 1
        assert out == set(api.account.keys("charges"))
    assert runs > 3
    assert part_of(state)["unread"] == []
    # Each run looks at the top for what is new, and sends again what the one before had sent behind its last STATE.
    assert sum(request.records > 0 for request in api.requests) <= RECORDS // (PAGE - 5) + 4 * runs
    assert set(tmp_path.iterdir()) - unnamed == files


class Apart(Listing):
    """A list that is filtered by `created`, and shows another time."""

    def _time_of(self, record: Record) -> float:
        return float(record["created"])


@pytest.mark.parametrize(
    ("provider", "stream", "start_date"),
    [
        ("chargedesk", "charges", None),
        ("chargedesk", "charges", "2023-03-01"),
        ("chargedesk", "subscriptions", None),
        ("generic", "charges", "2023-03-01"),
    ],
)
def test_a_run_that_is_killed_at_any_state_loses_nothing(
    provider: str, stream: str, start_date: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    capped = {"subscriptions": LARGEST_OFFSET}
    lists = {name: replace(PROVIDERS[provider].listing(name), max_offset=cap) for name, cap in capped.items()}
    listing = Provider.listing
    monkeypatch.setattr(Provider, "listing", lambda self, name: lists.get(name) or listing(self, name))
    catalog = catalog_with(only=[stream], incremental=[stream])
    with FakeAPI({"charges": CHARGES[:600]}, provider=provider, max_offset=capped) as api:
        # First seen up to weeks away from when they were created.
        subscriptions = [
            {"subscription_id": f"s{number}", "first_seen": time + (number * 7 % 41 - 20) * DAY, "created": time}
            for number, time in enumerate(evenly_spaced(120, JAN_2023, JAN_2024))
        ]
        api.account.listings["subscriptions"] = Apart("subscriptions", subscriptions)
        config = tap_config(
            api, page_size=PAGE if stream == "charges" else 20, lookback_days=3, reread_days=2, start_date=start_date
        )
        first = run_in_process(config, catalog=catalog).expect_success()
        due = set(first.keys(stream))
        assert start_date or due == set(api.account.keys(stream))
        # The night after, all that is older is read again; two runs were missed.
        assert first.state is not None
        first.state["bookmarks"][stream]["reread_time"] -= 3 * DAY
        again = run_in_process(config, catalog=catalog, state=first.state).expect_success()
        if stream == "subscriptions":
            assert max(int(request.params["offset"]) for request in api.requests) <= LARGEST_OFFSET
        for whole, before, kept in ((first, None, set()), (again, first.state, due)):
            owed = due if before is None else set(whole.keys(stream))
            expect_true_states(whole, api, stream, out=kept)
            ends = [index for index, message in enumerate(whole.messages, 1) if message["type"] == "STATE"]
            for end, state in zip([0, *ends], [before, *whole.states], strict=True):
                sent = sent_keys(whole.messages[:end], stream)
                rest = run_in_process(config, catalog=catalog, state=state).expect_success()
                assert not rest.logged("WARNING", "STATE")
                expect_true_states(rest, api, stream, out=kept | sent)
                if whole is first or end:
                    assert owed <= sent | set(rest.keys(stream))
