"""Requests and records of an INCREMENTAL run, and its STATE."""

from __future__ import annotations

import time
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.support.in_process import read_served_field, run_in_process
from tests.support.records import DAY, evenly_spaced, minimal_records
from tests.support.states import expect_true_states, part_of
from tests.support.tap_runs import JSON, TapRun, catalog_with, tap_config

if TYPE_CHECKING:
    from tests.fake_api.log import LoggedRequest

JAN_2010, JAN_2024, JAN_2025 = 1_262_304_000, 1_704_067_200, 1_735_689_600
ONE_TIMELESS = [*minimal_records("charges", [JAN_2024, JAN_2024 + 5]), {"charge_id": "timeless", "occurred": None}]
CATALOG = catalog_with(only=["charges"], incremental=["charges"])


def chargedesk(charges: list[JSON] | None = None, **lists: list[JSON]) -> FakeAPI:
    return FakeAPI({"charges": charges or [], **lists}, provider="chargedesk")


def read(api: FakeAPI, *streams: str, state: JSON | None = None, **settings: object) -> TapRun:
    """Read these streams, charges without any, INCREMENTAL."""
    catalog = catalog_with(only=streams, incremental=streams) if streams else CATALOG
    return run_in_process(tap_config(api, **settings), catalog=catalog, state=state)


def bookmarked(bookmark: int) -> JSON:
    return {"bookmarks": {"charges": {"replication_key": "occurred", "replication_key_value": str(bookmark)}}}


def asked(request: LoggedRequest, field: str = "occurred") -> tuple[int | None, int | None]:
    """Return the span that a request asked for; filters are a second wider, since they may leave their ends out."""
    low, high = request.params.get(f"{field}[min]"), request.params.get(f"{field}[max]")
    return None if low is None else int(low) + 1, None if high is None else int(high) - 1


def spans(api: FakeAPI) -> list[tuple[int | None, int | None]]:
    """Return the spans asked for, in order, each once."""
    return list(dict.fromkeys(asked(request) for request in api.requests))


# What is asked for in the catalog.


def test_full_table_is_the_default_and_asks_for_no_range() -> None:
    with FakeAPI(make_account(charges=30, products=2, customers=9, subscriptions=5), provider="chargedesk") as api:
        run = run_in_process(tap_config(api, start_date="2023-06-01")).expect_success()
        for stream in api.account.listings:
            assert run.keys(stream) == api.account.keys(stream)
            assert run.bookmark(stream) is None
        assert not any("[" in name for request in api.requests for name in request.params)
    assert len(run.logged("INFO", "start_date", "FULL_TABLE")) == 1


# Where a run begins and ends.


def test_the_second_run_asks_only_for_what_is_new_and_the_look_back() -> None:
    begun = int(time.time())
    lists = make_account(charges=900, customers=150, subscriptions=80, start=JAN_2024, end=begun - 2 * DAY, php=True)
    with FakeAPI(lists, provider="chargedesk") as api:
        streams = ("charges", "customers", "subscriptions")
        first = read(api, *streams).expect_success()
        for stream in streams:
            assert sorted(first.keys(stream)) == sorted(api.account.keys(stream))
        newest = {
            "charges": int(api.account["charges"].at(0)["occurred"]),
            "customers": api.account["customers"].at(0)["first_seen"],
            # Subscriptions do not show the filter's time, so the tap's clock says how far they are out.
            "subscriptions": first.bookmark("subscriptions"),
        }
        # As digits for `occurred`, as an integer for `first_seen`: the types that the fields are declared to have.
        assert first.bookmark("charges") == str(newest["charges"])
        assert first.bookmark("customers") == newest["customers"]
        assert begun - DAY <= newest["subscriptions"] <= time.time() - DAY
        api.requests.clear()
        api.account.insert("charges", {"charge_id": "ch_new", "occurred": str(newest["charges"] + 100)})
        second = read(api, *streams, state=first.state, lookback_days=40.5, reread_days=0).expect_success()
    for stream, field in zip(streams, ("occurred", "first_seen", "created"), strict=True):
        assert {asked(request, field)[0] for request in api.requests_for(stream)} == {newest[stream] - 81 * DAY // 2}
        assert 0 < len(second.keys(stream)) < len(first.keys(stream))
    assert "ch_new" in second.keys("charges")
    assert second.bookmark("charges") == str(newest["charges"] + 100)
    assert second.bookmark("customers") == first.bookmark("customers")


@pytest.mark.parametrize(
    ("start_date", "second"), [("2024-03-01", 1_709_251_200), ("2024-03-01T12:00:00.9+02:00", 1_709_287_200)]
)
def test_a_first_run_begins_at_the_start_date(start_date: str, second: int) -> None:
    with chargedesk(minimal_records("charges", [second - 1, second, second + 1])) as api:
        run = read(api, start_date=start_date).expect_success()
    assert spans(api)[0][0] == second
    assert sorted(run.keys("charges")) == ["r0", "r1"]


@pytest.mark.parametrize("written", [f'"{JAN_2024}"', f"{JAN_2024}.75", '"2024-01-01"', '"2024-01-01 02:00:00+02:00"'])
def test_a_bookmark_is_made_of_a_time_in_any_form_though_its_field_is_deselected(written: str) -> None:
    catalog = catalog_with(only=["charges"], incremental=["charges"], deselect=["charges.occurred"])
    run = read_served_field("occurred", written, catalog=catalog).expect_success()
    assert run.bookmark("charges") == str(JAN_2024)
    assert run.records("charges") == [{"charge_id": "key-1", "occurred": written.strip('"')}]
    assert run.schemas["charges"]["bookmark_properties"] == ["occurred"]


# How the spans are read.


def test_a_first_run_is_one_walk_newest_first_and_a_state_follows_each_page() -> None:
    times = [5, JAN_2010 - 1, *evenly_spaced(1_998, JAN_2010, JAN_2025)]
    with chargedesk(minimal_records("charges", times)) as api:
        run = read(api).expect_success()
        expect_true_states(run, api)
        assert run.keys("charges") == api.account.keys("charges")
        assert spans(api) == [(None, None)]
        requests = len(api.requests)
        run_in_process(tap_config(api), catalog=catalog_with(only=["charges"])).expect_success()
        assert requests <= len(api.requests) - requests == 6
    pages = [sum(1 for _ in group) for kind, group in groupby(run.messages, itemgetter("type")) if kind == "RECORD"]
    assert len(pages) == requests - 1
    parts = [part_of(state) for state in run.states]
    assert parts[0]["unread"] == [[None, None]]
    ends = [part["unread"][0][1] for part in parts[1:-1]]
    assert ends == sorted(set(ends), reverse=True)
    assert len(ends) >= len(pages) - 1
    # Not before the end is all that is no newer out.
    assert {part["replication_key_value"] for part in parts[:-1]} == {None}
    assert parts[-1]["unread"] == []
    assert (parts[-1]["newest"], parts[-1]["oldest"]) == (max(times), min(times))
    assert run.bookmark("charges") == str(max(times))


def test_a_filter_that_is_not_honoured_is_an_error() -> None:
    with chargedesk(minimal_records("charges", evenly_spaced(700, JAN_2024, JAN_2025))) as api:
        api.ignore_filter = True
        run = read(api, state=bookmarked(JAN_2025), lookback_days=0)
    run.expect_failure("charges", "filter by time")
    assert run.bookmark("charges") in {None, str(JAN_2025)}


# The bookmark.


@pytest.mark.parametrize("provider", ["chargedesk", "generic"])
def test_a_bookmark_in_the_future_counts_as_the_start_of_the_run(provider: str) -> None:
    begun = int(time.time())
    recent, bookmark = begun - 5 * DAY, begun + 90 * DAY
    with FakeAPI({"charges": minimal_records("charges", [JAN_2024, recent])}, provider=provider) as api:
        run = read(api, state=bookmarked(bookmark)).expect_success()
        ended = int(time.time())
        assert run.keys("charges") == ["r0"]
        advice = ("charges", "STATE", "`lookback_days`", "`reread_days`", "--full-refresh")
        (warning,) = run.logged("WARNING", *advice)
        assert str(bookmark) not in warning
        clamped = run.bookmark("charges")
        assert begun <= int(clamped) <= ended
        if provider == "chargedesk":
            assert begun - 30 * DAY <= (spans(api)[0][0] or 0) <= ended - 30 * DAY
        # Where nothing is read again, what it hides would be missed.
        requests = len(api.requests)
        read(api, state=bookmarked(bookmark), reread_days=0).expect_failure(*advice)
        assert len(api.requests) == requests
        # The next night resumes from there, without a warning, and does not go behind.
        api.account.insert("charges", {"charge_id": "new", "occurred": str(ended - 1)})
        again = read(api, state=run.state).expect_success()
    assert again.keys("charges") == ["new", "r0"]
    assert not again.logged("WARNING", "STATE")
    assert again.bookmark("charges") == clamped


def test_a_record_without_a_time_or_from_the_future_is_sent_and_moves_no_bookmark() -> None:
    future = minimal_records("charges", [int(time.time()) + DAY], prefix="future")
    with FakeAPI({"charges": [*future, *ONE_TIMELESS]}) as api:
        run = read(api).expect_success()
        assert set(run.keys("charges")) == {"future0", "r0", "r1", "timeless"}
        assert run.bookmark("charges") == str(JAN_2024 + 5)
        assert not run.logged("without a date")
        # A bookmark keeps nothing back of which it is not known whether it is older.
        again = read(api, state=run.state, lookback_days=0, reread_days=0).expect_success()
        assert set(again.keys("charges")) == {"future0", "r0", "timeless"}


def test_records_without_a_time_are_missed_by_a_filter_and_that_is_logged_once() -> None:
    customers = [{"customer_id": "timeless"}, *minimal_records("customers", [JAN_2024])]
    with chargedesk(ONE_TIMELESS, customers=customers) as api:
        run = read(api, "charges", "customers", start_date="2023-01-01").expect_success()
        whole = run_in_process(tap_config(api), catalog=catalog_with(only=["charges", "customers"])).expect_success()
    assert set(run.keys("charges")) == {"r0", "r1"}
    assert run.keys("customers") == ["r0"]
    assert run.bookmark("charges") == str(JAN_2024 + 5)
    assert len(run.logged("INFO", "Records without a date", "FULL_TABLE")) == 1
    assert "timeless" in whole.keys("charges")
    assert "timeless" in whole.keys("customers")
    assert not whole.logged("without a date")


# A provider whose lists cannot be filtered.


def test_without_a_filter_the_whole_list_is_read_and_older_records_are_left_out() -> None:
    # They come on two pages of three.
    due = JAN_2025 - 255 * DAY
    with FakeAPI({"charges": minimal_records("charges", evenly_spaced(1_300, JAN_2024, JAN_2025))}) as api:
        run = read(api, state=bookmarked(JAN_2025 - 250 * DAY), lookback_days=5).expect_success()
        times = [int(record["occurred"]) for record in run.records("charges")]
        assert sorted(times) == [time for time in evenly_spaced(1_300, JAN_2024, JAN_2025) if time >= due]
        assert run.bookmark("charges") == str(max(times))
    assert [request.params["offset"] for request in api.requests] == ["0", "498", "996", "1298"]
    assert not any("[" in name for request in api.requests for name in request.params)
    # Nothing is promoted before the end.
    kinds = [message["type"] for message in run.messages]
    assert "RECORD" not in kinds[kinds.index("STATE", kinds.index("RECORD")) :]


def test_the_limit_of_incremental_is_logged_once() -> None:
    with chargedesk(minimal_records("charges", [JAN_2024]), customers=minimal_records("customers", [JAN_2024])) as api:
        run = read(api, "charges", "customers").expect_success()
        # Where nothing is read again, the advice is another.
        never = read(api, "charges", "customers", reread_days=0).expect_success()
    assert len(run.logged("`lookback_days`", "within 30 days (`reread_days`)")) == 1
    assert len(never.logged("`lookback_days`", "`reread_days` is 0", "--full-refresh")) == 1
