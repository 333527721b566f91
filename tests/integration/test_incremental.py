"""Requests and records of an INCREMENTAL run, and its STATE."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from enum import Enum
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import Status
from tests.support.records import DAY, evenly_spaced, minimal_records
from tests.support.states import expect_true_states, part_of
from tests.support.tap_runs import JSON, TapRun, catalog_with, run_tap, tap_config

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
    """Return the span that a request asked for; filters are a second wider, since they may leave their ends out."""
    low, high = request.params.get(f"{field}[min]"), request.params.get(f"{field}[max]")
    return None if low is None else int(low) + 1, None if high is None else int(high) - 1


def spans(api: FakeAPI, field: str = CHARGES) -> list[tuple[int | None, int | None]]:
    """Return the spans asked for, in order, each once."""
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
    assert len(run.logged("INFO", "products", "always FULL_TABLE")) == 1
    assert run.bookmark("products") in {None, JAN_2025}
    assert spans(api, "created") == [(None, None)]


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
        second = read(api, *streams, state=first.state, lookback_days=40, reread_days=0).expect_success()
    for stream, field in zip(streams, ("occurred", "first_seen", "created"), strict=True):
        assert {asked(request, field)[0] for request in api.requests_for(stream)} == {newest[stream] - 40 * DAY}
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
    assert spans(api)[0][0] == second
    assert sorted(run.keys("charges")) == ["r0", "r1"]


def test_a_run_never_begins_before_the_start_date() -> None:
    with chargedesk(minimal_records("charges", evenly_spaced(20, JAN_2024, JAN_2025))) as api:
        read(api, state=bookmarked(str(JAN_2024 + 5 * DAY)), start_date=iso(JAN_2024)).expect_success()
        assert spans(api)[0][0] == JAN_2024
        api.requests.clear()
        read(api, state=bookmarked(str(JAN_2024 + 50 * DAY)), start_date=iso(JAN_2024)).expect_success()
        assert spans(api)[0][0] == JAN_2024 + 20 * DAY


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
    assert spans(api)[0][0] == JAN_2024 - DAY // 2
    assert run.keys("charges") == ["r0"]
    assert run.bookmark("charges") == str(JAN_2024)


@pytest.mark.parametrize("state", [{}, {"bookmarks": {}}, {"bookmarks": {"charges": {}}}, bookmarked(None)])
def test_a_state_without_a_bookmark_begins_at_the_beginning(state: JSON) -> None:
    with chargedesk(minimal_records("charges", [JAN_2024])) as api:
        run = read(api, state=state, start_date="2023-12-31").expect_success()
    assert run.keys("charges") == ["r0"]
    assert run.bookmark("charges") == str(JAN_2024)


# How the spans are read.


def test_a_first_run_is_one_walk_newest_first_and_a_state_follows_each_page() -> None:
    times = [5, JAN_2010 - 1, *evenly_spaced(1_998, JAN_2010, JAN_2025)]
    with chargedesk(minimal_records("charges", times)) as api:
        run = read(api).expect_success()
        expect_true_states(run, api)
        assert run.keys("charges") == api.account.keys("charges")
    assert spans(api) == [(None, None)]
    pages = [sum(1 for _ in group) for kind, group in groupby(run.messages, itemgetter("type")) if kind == "RECORD"]
    assert len(pages) == len([request for request in api.requests if request.records]) - 1
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


@pytest.mark.parametrize(("charges", "most"), [(0, 1), (300, 2), (10_000, 23), (60_000, 124)])
def test_a_first_run_costs_what_full_table_costs(charges: int, most: int) -> None:
    now = int(time.time())
    with chargedesk(minimal_records("charges", evenly_spaced(charges, now - 5 * 365 * DAY, now - DAY))) as api:
        run = read(api).expect_success()
        incremental = len(api.requests)
        assert len(run.keys("charges")) == len(set(run.keys("charges"))) == charges
        if charges <= 10_000:
            run_tap(tap_config(api), catalog=catalog_with(only=["charges"])).expect_success()
            assert incremental <= len(api.requests) - incremental
    assert incremental <= most


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
        run = read(api, start_date="2023-12-01").expect_success()
        ended = int(time.time())
        assert len(run.keys("charges")) == 2
        assert run.bookmark("charges") == str(JAN_2024)
        # Neither does a second run lose what comes until then.
        api.account.insert("charges", {"charge_id": "later", "occurred": str(ended + 1)})
        second = read(api, state=run.state, lookback_days=0, reread_days=0).expect_success()
        assert set(second.keys("charges")) == {"later", "r0", "r1"}


@pytest.mark.parametrize("times", [[], [JAN_2020]])
def test_runs_that_read_nothing_leave_the_bookmark_alone(times: list[int]) -> None:
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
    [IN_90_DAYS, str(IN_90_DAYS), iso(IN_90_DAYS), f"{IN_90_DAYS}.5"],
    ids=["number", "digits", "iso", "fraction"],
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
            assert begun - 30 * DAY <= (spans(api)[0][0] or 0) <= ended - 30 * DAY
        # The next night resumes from there, without a warning, and does not go behind.
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
    assert len(run.logged("WARNING", "later than the start")) == 1


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
    assert api.requests[0].params["occurred[min]"] == "0"
    assert run.keys("charges") == ["r0"]


def with_one_timeless() -> list[JSON]:
    """Make two records with a time, and one without."""
    return [*minimal_records("charges", [JAN_2024, JAN_2024 + 5]), {"charge_id": "timeless", "occurred": None}]


def test_a_record_without_a_time_is_sent_and_moves_no_bookmark() -> None:
    with FakeAPI({"charges": with_one_timeless()}) as api:
        run = read(api).expect_success()
        assert set(run.keys("charges")) == {"r0", "r1", "timeless"}
        assert run.bookmark("charges") == str(JAN_2024 + 5)
        assert not run.logged("without a date")
        # A bookmark keeps nothing back of which it is not known whether it is older.
        again = read(api, state=run.state, lookback_days=0, reread_days=0).expect_success()
        assert set(again.keys("charges")) == {"r0", "timeless"}


def test_records_without_a_time_are_missed_by_a_filter_and_that_is_logged_once() -> None:
    customers = [{"customer_id": "timeless"}, *minimal_records("customers", [JAN_2024])]
    with chargedesk(with_one_timeless(), customers=customers) as api:
        run = read(api, "charges", "customers", start_date="2023-01-01").expect_success()
        whole = run_tap(tap_config(api), catalog=catalog_with(only=["charges", "customers"])).expect_success()
    assert set(run.keys("charges")) == {"r0", "r1"}
    assert run.keys("customers") == ["r0"]
    assert run.bookmark("charges") == str(JAN_2024 + 5)
    assert len(run.logged("INFO", "Records without a date", "FULL_TABLE")) == 1
    assert "timeless" in whole.keys("charges")
    assert "timeless" in whole.keys("customers")
    assert not whole.logged("without a date")


def test_fractions_of_a_second_move_the_bookmark_to_the_second_before() -> None:
    with chargedesk(customers=[{"customer_id": "c", "first_seen": JAN_2024 + 0.75}]) as api:
        run = read(api, "customers").expect_success()
    assert run.keys("customers") == ["c"]
    assert run.bookmark("customers") == JAN_2024


def test_a_run_that_fails_goes_on_where_it_was() -> None:
    with chargedesk(minimal_records("charges", evenly_spaced(3_000, JAN_2024, JAN_2025))) as api:
        api.faults.add(Status(403), after=4)
        run = read(api, start_date=iso(JAN_2024)).expect_failure("charges", "403")
        out = expect_true_states(run, api)
        assert run.bookmark("charges") is None
        api.requests.clear()
        rest = read(api, start_date=iso(JAN_2024), state=run.state).expect_success()
        assert out | set(rest.keys("charges")) == set(api.account.keys("charges"))
    assert len(out) > 1_900
    assert len(rest.keys("charges")) < 1_100


# A provider whose lists cannot be filtered.


def test_without_a_filter_the_whole_list_is_read_and_older_records_are_left_out() -> None:
    with FakeAPI({"charges": minimal_records("charges", evenly_spaced(1_300, JAN_2024, JAN_2025))}) as api:
        state = bookmarked(str(JAN_2025 - 100 * DAY))
        run = read(api, state=state, lookback_days=5).expect_success()
        times = [int(record["occurred"]) for record in run.records("charges")]
        assert min(times) >= JAN_2025 - 105 * DAY
        assert len(times) == len(
            [one for one in evenly_spaced(1_300, JAN_2024, JAN_2025) if one >= JAN_2025 - 105 * DAY]
        )
        assert run.bookmark("charges") == str(max(times))
    assert [request.params["offset"] for request in api.requests] == ["0", "498", "996", "1298"]
    assert not any("[" in name for request in api.requests for name in request.params)
    kinds = [message["type"] for message in run.messages]
    assert "RECORD" not in kinds[kinds.index("STATE", kinds.index("RECORD")) :]


def test_without_a_filter_nothing_is_promoted_before_the_end() -> None:
    with FakeAPI({"charges": minimal_records("charges", evenly_spaced(1_300, JAN_2024, JAN_2025))}) as api:
        api.faults.add(Status(403), after=2)
        run = read(api, state=bookmarked(str(JAN_2024)))
    run.expect_failure("charges", "403")
    assert 900 < len(run.records("charges")) < 1_000
    assert set(run.bookmarks("charges")) <= {str(JAN_2024)}


def test_the_limit_of_incremental_is_logged_once() -> None:
    with chargedesk(minimal_records("charges", [JAN_2024]), customers=minimal_records("customers", [JAN_2024])) as api:
        run = read(api, "charges", "customers").expect_success()
        # Where nothing is read again, the advice is another.
        never = read(api, "charges", "customers", reread_days=0).expect_success()
    assert len(run.logged("`lookback_days`", "within 30 days (`reread_days`)")) == 1
    assert len(never.logged("`lookback_days`", "`reread_days` is 0", "--full-refresh")) == 1
