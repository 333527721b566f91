"""What a run asks for again, what it leaves out, and what its STATE says of it."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import Status
from tests.support.records import DAY, evenly_spaced, minimal_records
from tests.support.tap_runs import JSON, TapRun, bookmark_in, catalog_with, run_tap, tap_config

if TYPE_CHECKING:
    from tests.fake_api.log import LoggedRequest

JAN_2020, JAN_2024, JAN_2025 = 1_577_836_800, 1_704_067_200, 1_735_689_600
JAN_2010 = 1_262_304_000
CHARGES = "occurred"


def chargedesk(charges: list[JSON] | None = None, **lists: list[JSON]) -> FakeAPI:
    return FakeAPI({"charges": charges or [], **lists}, provider="chargedesk")


def read(
    api: FakeAPI, *streams: str, state: JSON | None = None, catalog: JSON | None = None, **settings: object
) -> TapRun:
    """Read these streams, charges without any, INCREMENTAL."""
    streams = streams or ("charges",)
    catalog = catalog or catalog_with(only=streams, incremental=streams)
    return run_tap(tap_config(api, **settings), catalog=catalog, state=state)


def bookmarked(bookmark: object, stream: str = "charges") -> JSON:
    key = "occurred" if stream == "charges" else "first_seen"
    return {"bookmarks": {stream: {"replication_key": key, "replication_key_value": bookmark}}}


def asked(request: LoggedRequest, field: str = CHARGES) -> tuple[int | None, int | None]:
    """Return the range that a request asked for."""
    low, high = request.params.get(f"{field}[min]"), request.params.get(f"{field}[max]")
    return None if low is None else int(low), None if high is None else int(high)


def windows(api: FakeAPI, field: str = CHARGES) -> list[tuple[int | None, int | None]]:
    """Return the ranges asked for, in order, each once."""
    return list(dict.fromkeys(asked(request, field) for request in api.requests))


def iso(second: int) -> str:
    return datetime.fromtimestamp(second, tz=timezone.utc).isoformat()


def without_metadata_but(method: str, stream: str = "charges") -> JSON:
    """Return a catalog whose entry for a stream says the method itself, and that selects nothing else."""
    catalog = catalog_with(only=[stream])
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] == stream:
            entry["replication_method"] = method
    return catalog


# What is asked for in the catalog.


def test_full_table_is_the_default_and_asks_for_no_range() -> None:
    with FakeAPI(make_account(charges=30, products=2, customers=9, subscriptions=5), provider="chargedesk") as api:
        run = run_tap(tap_config(api, start_date="2023-06-01")).expect_success()
        for stream in api.account.listings:
            assert run.keys(stream) == api.account.keys(stream)
            assert run.bookmark(stream) is None
        assert not any("[" in name for request in api.requests for name in request.params)
    assert len(run.logged("INFO", "start_date", "FULL_TABLE")) == 1


@pytest.mark.parametrize(
    "catalog",
    [
        lambda: catalog_with(only=["charges"], incremental=["charges"]),
        lambda: catalog_with(only=["charges"], incremental=["charges"], deselect=["charges.occurred"]),
        lambda: without_metadata_but("INCREMENTAL"),
    ],
)
def test_incremental_by_one_word_keeps_a_bookmark_and_its_field(catalog: Any) -> None:
    with chargedesk(minimal_records("charges", [JAN_2024, JAN_2025])) as api:
        run = read(api, catalog=catalog()).expect_success()
    assert {record["occurred"] for record in run.records("charges")} == {str(JAN_2024), str(JAN_2025)}
    assert run.bookmark("charges") == str(JAN_2025)
    assert run.schemas["charges"]["bookmark_properties"] == ["occurred"]


def test_another_key_or_method_is_refused_in_one_line_before_any_request() -> None:
    with chargedesk() as api:
        for word, metadata in (
            ("`occurred`", {"replication-method": "INCREMENTAL", "replication-key": "amount"}),
            ("INCREMENTAL or FULL_TABLE", {"replication-method": "LOG_BASED"}),
        ):
            catalog = catalog_with(only=["charges"])
            entry = next(entry for entry in catalog["streams"] if entry["tap_stream_id"] == "charges")
            next(item for item in entry["metadata"] if not item["breadcrumb"])["metadata"].update(metadata)
            run = read(api, catalog=catalog)
            run.expect_failure("charges", "catalog", word)
            assert not run.messages
        assert not api.requests


def test_products_stay_full_table_with_a_log_line() -> None:
    with chargedesk(products=minimal_records("products", [JAN_2020, JAN_2025])) as api:
        run = read(api, "products", state=bookmarked(JAN_2025, "products"), lookback_days=0).expect_success()
    assert len(run.records("products")) == 2
    assert len(run.logged("INFO", "products", "whole")) == 1
    assert run.bookmark("products") in {None, JAN_2025}
    assert windows(api, "created") == [(None, None)]


# Where a run begins and ends.


def test_the_second_run_asks_only_for_its_window() -> None:
    lists = make_account(charges=900, customers=150, subscriptions=80, start=JAN_2024, end=JAN_2025, php=True)
    with FakeAPI(lists, provider="chargedesk") as api:
        streams = ("charges", "customers", "subscriptions")
        first = read(api, *streams).expect_success()
        for stream in streams:
            assert set(first.keys(stream)) == set(api.account.keys(stream))
        newest = {
            stream: int(api.account[stream].at(0)["occurred" if stream == "charges" else "first_seen"])
            for stream in streams
        }
        # As digits for `occurred`, as an integer for `first_seen`: the types that the fields are declared to have.
        assert first.bookmark("charges") == str(newest["charges"])
        assert first.bookmark("customers") == newest["customers"]
        assert first.bookmark("subscriptions") == newest["subscriptions"]
        api.requests.clear()
        new = {**lists["charges"][0], "charge_id": "ch_new", "occurred": newest["charges"] + 100}
        api.account.insert("charges", new)
        second = read(api, *streams, state=first.state, lookback_days=10, reread_days=0).expect_success()
    for stream, field in zip(streams, ("occurred", "first_seen", "created"), strict=True):
        requests = api.requests_for(stream)
        assert {asked(request, field)[0] for request in requests[:1]} == {newest[stream] - 10 * DAY}
        assert all((asked(request, field)[0] or 0) >= newest[stream] - 10 * DAY for request in requests)
        assert 0 < len(second.keys(stream)) < len(first.keys(stream))
    assert "ch_new" in second.keys("charges")
    assert second.bookmark("charges") == str(newest["charges"] + 100)
    assert second.bookmark("customers") == first.bookmark("customers")


@pytest.mark.parametrize(
    ("start_date", "second"),
    [("2024-03-01", 1_709_251_200), ("2024-03-01T12:00:00.9+02:00", 1_709_287_200), ("20240301", 1_709_251_200)],
)
def test_a_first_run_begins_at_the_start_date(start_date: str, second: int) -> None:
    with chargedesk(minimal_records("charges", [second - 1, second, second + 1])) as api:
        run = read(api, start_date=start_date).expect_success()
    assert windows(api)[0][0] == second
    assert sorted(run.keys("charges")) == ["r0", "r1"]


def test_a_run_never_begins_before_the_start_date() -> None:
    with chargedesk(minimal_records("charges", evenly_spaced(20, JAN_2024, JAN_2025))) as api:
        read(api, state=bookmarked(str(JAN_2024 + 5 * DAY)), start_date=iso(JAN_2024)).expect_success()
        assert windows(api)[0][0] == JAN_2024
        api.requests.clear()
        read(api, state=bookmarked(str(JAN_2024 + 50 * DAY)), start_date=iso(JAN_2024)).expect_success()
        assert windows(api)[0][0] == JAN_2024 + 20 * DAY


def test_without_a_start_date_records_before_the_earliest_come_in_one_window() -> None:
    with chargedesk(minimal_records("charges", [5, JAN_2010 - 1, JAN_2010, JAN_2010 + 1, JAN_2025])) as api:
        run = read(api).expect_success()
    assert len(run.keys("charges")) == 5
    assert windows(api)[:2] == [(None, JAN_2010), (JAN_2010, JAN_2010 + 30 * DAY)]


class Written(Enum):
    """Times by what is sent of them; the fake API sorts and filters by their seconds."""

    DIGITS = "1704067205"
    NUMBER = 1_704_067_204
    ISO = "2024-01-01T00:00:03+00:00"
    ISO_WITHOUT_ZONE = "2024-01-01T00:00:02"
    ISO_FROM_ELSEWHERE = "2024-01-01 02:00:01+02:00"

    def __int__(self) -> int:
        return JAN_2024 + 5 - list(Written).index(self)


def test_times_may_come_in_any_form() -> None:
    charges = [{"charge_id": str(int(time)), "occurred": time} for time in Written]
    with chargedesk(charges) as api:
        run = read(api, start_date=iso(JAN_2024)).expect_success()
        assert run.keys("charges") == [str(JAN_2024 + second) for second in (5, 4, 3, 2, 1)]
        assert run.bookmark("charges") == str(JAN_2024 + 5)
        assert {record["occurred"] for record in run.records("charges")} == {str(time.value) for time in Written}
        for place, form in enumerate(Written):
            # Each of them can be the newest, and thus the bookmark.
            if place:
                api.account.delete("charges", str(JAN_2024 + 6 - place))
                run = read(api, start_date=iso(JAN_2024)).expect_success()
                assert run.bookmark("charges") == str(int(form))


@pytest.mark.parametrize(
    "bookmark", [JAN_2024, str(JAN_2024), float(JAN_2024), f"{JAN_2024}.7", iso(JAN_2024), "2024-01-01T00:00:00.5Z"]
)
def test_bookmarks_may_come_in_any_form(bookmark: object) -> None:
    with chargedesk(minimal_records("charges", [JAN_2024 - DAY, JAN_2024])) as api:
        run = read(api, state=bookmarked(bookmark), lookback_days=0.5).expect_success()
    assert windows(api)[0][0] == JAN_2024 - DAY // 2
    assert run.keys("charges") == ["r0"]
    assert run.bookmark("charges") == str(JAN_2024)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"bookmarks": {}},
        {"bookmarks": {"charges": {}}},
        bookmarked(None),
        bookmarked("soon"),
        {"bookmarks": {"charges": {"replication_key": "updated", "replication_key_value": JAN_2025}}},
    ],
)
def test_a_state_without_a_bookmark_begins_at_the_beginning(state: JSON) -> None:
    with chargedesk(minimal_records("charges", [JAN_2024])) as api:
        run = read(api, state=state, start_date="2023-12-31").expect_success()
    assert run.keys("charges") == ["r0"]
    assert run.bookmark("charges") == str(JAN_2024)


@pytest.mark.parametrize(
    "extra",
    [
        {"progress_markers": {"replication_key": "occurred", "replication_key_value": str(JAN_2025), "Note": "late"}},
        {"replication_key_signpost": iso(JAN_2025)},
        {"starting_replication_value": str(JAN_2020)},
        {"partitions": []},
    ],
)
def test_states_of_other_taps_of_the_sdk_are_taken(extra: JSON) -> None:
    state = bookmarked(str(JAN_2024))
    state["bookmarks"]["charges"].update(extra)
    with chargedesk(minimal_records("charges", [JAN_2024 - DAY, JAN_2024, JAN_2024 + DAY])) as api:
        run = read(api, state=state, lookback_days=0).expect_success()
    assert windows(api)[0][0] == JAN_2024
    assert sorted(run.keys("charges")) == ["r0", "r1"]
    assert run.bookmark("charges") == str(JAN_2024 + DAY)


# How the windows go.


def test_windows_are_read_oldest_first_and_a_state_follows_each() -> None:
    times = evenly_spaced(2_000, JAN_2024, JAN_2024 + 100 * DAY)
    with chargedesk(minimal_records("charges", times)) as api:
        run = read(api, start_date=iso(JAN_2024), window_days=10).expect_success()
    ranges = windows(api)
    assert ranges[0] == (JAN_2024, JAN_2024 + 10 * DAY)
    assert ranges[-1][1] is None
    marks = [int(mark) for mark in run.bookmarks("charges")]
    assert marks == sorted(marks)
    assert len(set(marks)) >= 5
    expect_true_states(run)
    # What lies on a seam goes out once.
    assert len(run.keys("charges")) == len(set(run.keys("charges"))) == 2_000


def expect_true_states(run: TapRun, stream: str = "charges", field: str = "occurred") -> None:
    """Assert that no STATE speaks of a record that is not out before it, and that every one is as new as it may be."""
    every = sorted(int(record[field]) for record in run.records(stream))
    out: list[int] = []
    for message in run.messages:
        if message["type"] == "RECORD":
            out.append(int(message["record"][field]))
        elif message["type"] == "STATE" and (mark := bookmark_in(message["value"], stream)) is not None:
            assert sorted(out)[: len([one for one in every if one <= int(mark)])] == [
                one for one in every if one <= int(mark)
            ]


def test_a_quiet_account_costs_a_handful_of_requests() -> None:
    start = 1_420_070_400  # 2015-01-01
    times = evenly_spaced(300, start + 2_000 * DAY, start + 2_030 * DAY)
    with chargedesk(minimal_records("charges", times)) as api:
        run = read(api, start_date=iso(start)).expect_success()
    assert len(run.keys("charges")) == 300
    assert len(api.requests) <= 14 + extra_requests_since(start)


def extra_requests_since(start: int) -> int:
    """Return the requests that the years since 2026 add: one at each doubling, at most."""
    return max(0, (int(time.time()) - start) // (15 * 365 * DAY))


def test_a_dense_year_after_empty_ones_is_read_in_short_windows() -> None:
    start = int(time.time()) - 6 * 365 * DAY
    dense = start + 5 * 365 * DAY
    times = evenly_spaced(30_000, dense, dense + 364 * DAY)
    with chargedesk(minimal_records("charges", times)) as api:
        run = read(api, start_date=iso(start), window_days=30).expect_success()
    keys = run.keys("charges")
    assert len(keys) == len(set(keys)) == 30_000
    read_windows: dict[tuple[int | None, int | None], int] = {}
    for request in api.requests:
        read_windows[asked(request)] = read_windows.get(asked(request), 0) + request.records
    # Windows that were given up cost one page each; the others are about as long as asked for.
    long = [
        (low, high)
        for (low, high), records in read_windows.items()
        if records > 500 and high is not None and low is not None and high - low > 62 * DAY
    ]
    assert not long
    assert len(api.requests) <= 30_000 // 499 + 40
    marks = [int(mark) for mark in run.bookmarks("charges")]
    assert max(later - earlier for earlier, later in pairwise(marks) if earlier > dense) <= 62 * DAY
    expect_true_states(run)


def test_a_filter_that_is_not_honoured_is_an_error() -> None:
    with chargedesk(minimal_records("charges", evenly_spaced(700, JAN_2024, JAN_2025))) as api:
        api.ignore_filter = True
        run = read(api, state=bookmarked(str(JAN_2025)), lookback_days=0)
    run.expect_failure("charges", "filter by time")
    assert run.bookmark("charges") in {None, str(JAN_2025)}


# The bookmark.


def test_the_bookmark_never_runs_ahead_of_now_though_a_record_does() -> None:
    future = int(time.time()) + 400 * DAY
    with chargedesk(minimal_records("charges", [JAN_2024, future])) as api:
        begun = int(time.time())
        run = read(api, start_date="2023-12-01").expect_success()
        ended = int(time.time())
        assert len(run.keys("charges")) == 2
        assert begun <= int(run.bookmark("charges")) <= ended
        # Neither does a second run lose what comes until then.
        api.account.insert("charges", {"charge_id": "later", "occurred": str(ended + 1)})
        second = read(api, state=run.state, lookback_days=0, reread_days=0).expect_success()
        assert set(second.keys("charges")) == {"later", "r0"}


@pytest.mark.parametrize("times", [[], [JAN_2020]])
def test_empty_windows_leave_the_bookmark_alone(times: list[int]) -> None:
    with chargedesk(minimal_records("charges", times)) as api:
        run = read(api, state=bookmarked(str(JAN_2024)), lookback_days=1).expect_success()
    assert set(run.bookmarks("charges")) == {str(JAN_2024)}
    assert not run.records("charges")


def test_an_account_without_records_has_no_bookmark() -> None:
    with chargedesk() as api:
        run = read(api, start_date="2024-01-01").expect_success()
        assert not run.bookmarks("charges")
        api.account.insert("charges", {"charge_id": "old", "occurred": str(JAN_2024 + 5)})
        again = read(api, state=run.state, start_date="2024-01-01").expect_success()
    assert again.keys("charges") == ["old"]


def test_the_bookmark_never_goes_back() -> None:
    with chargedesk(minimal_records("charges", evenly_spaced(10, JAN_2024, JAN_2025))) as api:
        run = read(api, state=bookmarked(str(JAN_2025 - 5)), lookback_days=300).expect_success()
    assert set(run.bookmarks("charges")) == {str(JAN_2025 - 5)}


IN_90_DAYS = int(time.time()) + 90 * DAY


@pytest.mark.parametrize(
    "bookmark",
    [
        IN_90_DAYS,
        str(IN_90_DAYS),
        iso(IN_90_DAYS),
        f"{IN_90_DAYS}.5",
        IN_90_DAYS * 1000,
        str(IN_90_DAYS * 1000),
        10**40,
    ],
    ids=["number", "digits", "iso", "fraction", "milliseconds", "digits of milliseconds", "out of range"],
)
@pytest.mark.parametrize("provider", ["chargedesk", "generic"])
def test_a_bookmark_in_the_future_counts_as_the_start_of_the_run(bookmark: object, provider: str) -> None:
    recent = int(time.time()) - 5 * DAY
    with FakeAPI({"charges": minimal_records("charges", [JAN_2024, recent])}, provider=provider) as api:
        begun = int(time.time())
        run = read(api, state=bookmarked(bookmark)).expect_success()
        ended = int(time.time())
        assert run.keys("charges") == ["r0"]
        (warning,) = run.logged("WARNING", "charges", "STATE", "`lookback_days`", "`reread_days`", "--full-refresh")
        assert str(bookmark) not in warning
        clamped = run.bookmark("charges")
        assert begun <= int(clamped) <= ended
        if provider == "chargedesk":
            assert begun - 30 * DAY <= (windows(api)[0][0] or 0) <= ended - 30 * DAY
        # The next night goes on from there, without a warning, and does not go behind.
        api.account.insert("charges", {"charge_id": "new", "occurred": str(ended - 1)})
        again = read(api, state=run.state).expect_success()
    assert again.keys("charges") == ["new", "r0"]
    assert not again.logged("WARNING", "STATE")
    assert again.bookmark("charges") == clamped


def test_a_bookmark_in_the_future_is_clamped_though_nothing_comes() -> None:
    state = bookmarked(IN_90_DAYS, "customers")
    with chargedesk() as api:
        begun = int(time.time())
        run = read(api, "charges", "customers", state=state).expect_success()
    assert begun <= run.bookmark("customers") <= int(time.time())
    assert run.bookmark("charges") is None
    assert len(run.logged("WARNING", "STATE")) == 1


def test_full_table_has_no_use_for_a_bookmark_in_the_future() -> None:
    with chargedesk(minimal_records("charges", [JAN_2024])) as api:
        catalog = catalog_with(only=["charges"])
        run = run_tap(tap_config(api), catalog=catalog, state=bookmarked(IN_90_DAYS)).expect_success()
    assert run.keys("charges") == ["r0"]
    assert not run.logged("WARNING")


@pytest.mark.parametrize(
    ("state", "settings"),
    [(bookmarked("86400"), {}), (bookmarked(-5), {"lookback_days": 0}), ({}, {"start_date": "1960-01-01"})],
)
def test_no_range_begins_before_1970(state: JSON, settings: JSON) -> None:
    with chargedesk(minimal_records("charges", [100_000])) as api:
        run = read(api, state=state, **settings).expect_success()
    assert windows(api)[0][0] == 0
    assert run.keys("charges") == ["r0"]


def with_one_timeless() -> list[JSON]:
    """Make two records with a time, and one without."""
    return [*minimal_records("charges", [JAN_2024, JAN_2024 + 5]), {"charge_id": "timeless", "occurred": None}]


def test_a_record_without_a_time_is_sent_and_moves_no_bookmark() -> None:
    with FakeAPI({"charges": with_one_timeless()}) as api:
        run = read(api).expect_success()
        assert set(run.keys("charges")) == {"r0", "r1", "timeless"}
        assert run.bookmark("charges") == str(JAN_2024 + 5)
        assert not run.logged("without a time")
        # A bookmark keeps nothing back of which it is not known whether it is older.
        again = read(api, state=run.state, lookback_days=0, reread_days=0).expect_success()
        assert set(again.keys("charges")) == {"r0", "timeless"}


def test_records_without_a_time_are_missed_by_a_filter_and_that_is_logged_once() -> None:
    customers = [{"customer_id": "timeless"}, *minimal_records("customers", [JAN_2024])]
    with chargedesk(with_one_timeless(), customers=customers) as api:
        run = read(api, "charges", "customers").expect_success()
        whole = run_tap(tap_config(api), catalog=catalog_with(only=["charges", "customers"])).expect_success()
    assert set(run.keys("charges")) == {"r0", "r1"}
    assert run.keys("customers") == ["r0"]
    assert run.bookmark("charges") == str(JAN_2024 + 5)
    assert len(run.logged("INFO", "without a time", "FULL_TABLE")) == 1
    assert "timeless" in whole.keys("charges")
    assert "timeless" in whole.keys("customers")
    assert not whole.logged("without a time")


def test_fractions_of_a_second_move_the_bookmark_to_the_second_before() -> None:
    with chargedesk(customers=[{"customer_id": "c", "first_seen": JAN_2024 + 0.75}]) as api:
        run = read(api, "customers").expect_success()
    assert run.keys("customers") == ["c"]
    assert run.bookmark("customers") == JAN_2024


def test_a_failure_in_a_later_window_keeps_what_the_state_said_before() -> None:
    with chargedesk(minimal_records("charges", evenly_spaced(1_200, JAN_2024, JAN_2024 + 60 * DAY))) as api:
        second = JAN_2024 + 30 * DAY
        api.faults.add(Status(403), times=None, when=lambda params: params.get("occurred[min]") == str(second))
        run = read(api, start_date=iso(JAN_2024))
    run.expect_failure("charges", "403")
    assert int(run.bookmark("charges")) <= second
    assert int(run.bookmark("charges")) > second - DAY
    expect_true_states(run)


# A provider whose lists cannot be filtered.


def test_without_a_filter_the_whole_list_is_read_and_older_records_are_left_out() -> None:
    with FakeAPI({"charges": minimal_records("charges", evenly_spaced(1_300, JAN_2024, JAN_2025))}) as api:
        state = bookmarked(str(JAN_2025 - 100 * DAY))
        run = read(api, state=state, lookback_days=5, page_overlap=0).expect_success()
        times = [int(record["occurred"]) for record in run.records("charges")]
        assert min(times) >= JAN_2025 - 105 * DAY
        assert len(times) == len(
            [one for one in evenly_spaced(1_300, JAN_2024, JAN_2025) if one >= JAN_2025 - 105 * DAY]
        )
        assert run.bookmark("charges") == str(max(times))
    assert [request.params["offset"] for request in api.requests] == ["0", "500", "1000", "1300"]
    assert not any("[" in name for request in api.requests for name in request.params)
    kinds = [message["type"] for message in run.messages]
    assert "RECORD" not in kinds[kinds.index("STATE", kinds.index("RECORD")) :]


def test_without_a_filter_nothing_is_promoted_before_the_end() -> None:
    with FakeAPI({"charges": minimal_records("charges", evenly_spaced(1_300, JAN_2024, JAN_2025))}) as api:
        api.faults.add(Status(403), when=lambda params: params["offset"] == "1000")
        run = read(api, state=bookmarked(str(JAN_2024)), page_overlap=0)
    run.expect_failure("charges", "403")
    assert len(run.records("charges")) == 1_000
    assert set(run.bookmarks("charges")) <= {str(JAN_2024)}


def test_the_limit_of_incremental_is_logged_once() -> None:
    with chargedesk(minimal_records("charges", [JAN_2024]), customers=minimal_records("customers", [JAN_2024])) as api:
        run = read(api, "charges", "customers").expect_success()
        # Where nothing is read again, the advice is another.
        never = read(api, "charges", "customers", reread_days=0).expect_success()
    assert len(run.logged("lookback_days", "within 30 days (reread_days)")) == 1
    assert len(never.logged("lookback_days", "reread_days is 0", "--full-refresh")) == 1
