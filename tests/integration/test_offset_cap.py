"""Lists that are longer than the largest offset lets a client read."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from tests.fake_api import FakeAPI
from tests.fake_api.account import Listing, Page, Window
from tests.fake_api.providers import STREAMS, Stream
from tests.support.records import evenly_spaced, minimal_records
from tests.support.tap_runs import JSON, TapRun, catalog_with, run_tap, tap_config

YEAR_2020, YEAR_2025 = 1_577_836_800, 1_735_689_600


def read(api: FakeAPI, **settings: object) -> TapRun:
    return run_tap(tap_config(api, **settings), catalog=catalog_with(only=["subscriptions"]))


def with_ties(count: int, seed: int = 1) -> list[JSON]:
    """Make a list in which days hold many records and many records share a second."""
    draw = Random(seed)
    busy = [draw.randrange(YEAR_2020, YEAR_2025) for _ in range(count // 40)]
    times = [draw.choice(busy) + draw.choice([0, 0, 0, draw.randrange(3)]) for _ in range(count)]
    return minimal_records("subscriptions", times)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_26000_subscriptions_come_past_a_cap_of_10000(concurrency: int) -> None:
    with FakeAPI({"subscriptions": with_ties(26_000)}, provider="chargedesk") as api:
        run = read(api, concurrency=concurrency).expect_success()
        keys = api.account.keys("subscriptions")
    assert set(run.keys("subscriptions")) == set(keys)
    assert len(run.keys("subscriptions")) <= len(keys) * 1.005
    assert {request.status for request in api.requests} == {200}
    assert max(int(request.params["offset"]) for request in api.requests) <= 10_000
    if concurrency == 1:
        assert len(api.requests) <= 90


@pytest.mark.parametrize(
    ("stream", "count", "tied", "most"),
    [("subscriptions", 26_000, 1, 80), ("products", 25_000, 1, 78), ("subscriptions", 19_561, 30, 70)],
)
def test_requests_past_the_largest_offset_are_few(stream: str, count: int, tied: int, most: int) -> None:
    times = [YEAR_2025 - number // tied * tied * (YEAR_2025 - YEAR_2020) // count for number in range(count)]
    with FakeAPI({stream: minimal_records(stream, times)}, provider="chargedesk") as api:
        run = run_tap(tap_config(api), catalog=catalog_with(only=[stream])).expect_success()
        assert set(run.keys(stream)) == set(api.account.keys(stream))
    assert len(api.requests) <= most


@pytest.mark.parametrize("concurrency", [1, 8])
def test_60000_charges_are_walked_past_a_cap_of_50000_by_one_anchor(concurrency: int) -> None:
    times = evenly_spaced(60_000, YEAR_2020, YEAR_2025)
    with FakeAPI({"charges": minimal_records("charges", times)}, provider="chargedesk") as api:
        catalog = catalog_with(only=["charges"])
        run = run_tap(tap_config(api, concurrency=concurrency), catalog=catalog).expect_success()
        assert run.keys("charges") == api.account.keys("charges")
    anchors = {request.params.get("occurred[max]") for request in api.requests}
    assert len(anchors) == 2
    assert concurrency > 1 or len(api.requests) <= 123


@pytest.mark.parametrize("tied", [1, 40, 700])
def test_ties_at_an_anchor_are_sent_once(tied: int) -> None:
    # The last page before the cap ends in the middle of the tied records.
    times = [*evenly_spaced(50_400 - tied // 2, YEAR_2020 + 1, YEAR_2025), *[YEAR_2020] * tied]
    times += evenly_spaced(1_300, YEAR_2020 - 1_000_000, YEAR_2020)
    with FakeAPI({"customers": minimal_records("customers", times)}, provider="chargedesk") as api:
        run = run_tap(tap_config(api), catalog=catalog_with(only=["customers"])).expect_success()
        assert sorted(run.keys("customers")) == sorted(api.account.keys("customers"))
    assert any("first_seen[max]" in request.params for request in api.requests)


def test_a_long_list_is_read_whole_without_an_overlap() -> None:
    with FakeAPI({"subscriptions": with_ties(12_000)}, provider="chargedesk") as api:
        run = read(api, page_overlap=0).expect_success()
        assert set(run.keys("subscriptions")) == set(api.account.keys("subscriptions"))
    assert any("created[min]" in request.params for request in api.requests)


def test_more_records_in_one_second_than_the_cap_are_an_error_that_names_it() -> None:
    times = [
        *evenly_spaced(700, YEAR_2020 + 10, YEAR_2025),
        *[YEAR_2020 + 5] * 51_000,
        *evenly_spaced(50, YEAR_2020 - 9_999, YEAR_2020),
    ]
    with FakeAPI({"customers": minimal_records("customers", times)}, provider="chargedesk") as api:
        run = run_tap(tap_config(api), catalog=catalog_with(only=["customers"]))
    run.expect_failure("customers", str(YEAR_2020 + 5), "50000", "share the second")
    # All that can be read is out, and the table must not be taken for whole.
    assert len(set(run.keys("customers"))) >= 50_500
    assert {request.status for request in api.requests} == {200}


@pytest.mark.parametrize("tied", [9_000, 10_000])
def test_as_many_records_in_one_second_as_the_cap_reaches_come_through(tied: int) -> None:
    times = [
        *evenly_spaced(1_700, YEAR_2020 + 10, YEAR_2025),
        *[YEAR_2020 + 5] * tied,
        *evenly_spaced(50, YEAR_2020 - 9_999, YEAR_2020),
    ]
    with FakeAPI({"subscriptions": minimal_records("subscriptions", times)}, provider="chargedesk") as api:
        run = read(api).expect_success()
        assert sorted(run.keys("subscriptions")) == sorted(api.account.keys("subscriptions"))


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("breach", ["oldest first", "no time shown"])
def test_a_long_list_that_cannot_be_narrowed_is_split_and_read_whole(breach: str, concurrency: int) -> None:
    records = minimal_records("subscriptions", evenly_spaced(26_000, YEAR_2020, YEAR_2025))
    if breach == "no time shown":
        for record in records:
            del record["created"]
    ascending = breach == "oldest first"
    with FakeAPI({"subscriptions": records}, provider="chargedesk", ascending=ascending) as api:
        run = read(api, concurrency=concurrency).expect_success()
    assert set(run.keys("subscriptions")) == set(api.account.keys("subscriptions"))
    assert {request.status for request in api.requests} == {200}
    assert any("created[min]" in request.params for request in api.requests)


def test_more_records_than_the_cap_in_a_span_that_cannot_be_split_are_an_error() -> None:
    records = minimal_records("subscriptions", [YEAR_2020] * 11_000)
    for record in records:
        del record["created"]
    with FakeAPI({"subscriptions": records}, provider="chargedesk") as api:
        read(api).expect_failure("subscriptions", "10000", "between the seconds", str(YEAR_2020))


@pytest.mark.parametrize("breach", ["ignore_filter", "exclusive_max"])
def test_a_filter_that_means_something_else_is_an_error_or_loses_nothing(breach: str) -> None:
    # An exclusive end would lose the records of the last second read that the cap cut off.
    for times in (evenly_spaced(12_000, YEAR_2020, YEAR_2025), [YEAR_2020 + number // 30 for number in range(12_000)]):
        with FakeAPI({"subscriptions": minimal_records("subscriptions", times)}, provider="chargedesk") as api:
            setattr(api, breach, True)
            run = read(api)
            if run.exit_code == 0:
                assert set(run.keys("subscriptions")) == set(api.account.keys("subscriptions"))
                assert breach == "exclusive_max"
            else:
                run.expect_failure("subscriptions", "filter")


# A filter by another time than the one that records show, or than the one that lists come by.

WEEK = 604_800


def by_created(count: int, *, first_seen: str) -> list[JSON]:
    """Make subscriptions that come and are filtered by `created`, and were first seen weeks before or after."""
    draw = Random(5)
    apart = {"weeks before": (-9, 0), "weeks after": (0, 9), "any": (-9, 9)}[first_seen]
    return [
        {"subscription_id": f"r{number}", "first_seen": time + draw.randint(*apart) * WEEK, "created": time}
        for number, time in enumerate(evenly_spaced(count, YEAR_2020, YEAR_2025))
    ]


@pytest.fixture
def filtered_by_created(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STREAMS, "subscriptions", Stream("subscription_id", "created"))


def hide_created(body: JSON, _params: dict[str, str]) -> JSON:
    for record in body["data"]:
        record.pop("created", None)
    return body


@pytest.mark.usefixtures("filtered_by_created")
@pytest.mark.parametrize("incremental", [False, True])
@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("first_seen", ["weeks before", "weeks after", "any"])
def test_a_filter_by_another_time_loses_nothing(first_seen: str, shown: bool, incremental: bool) -> None:  # noqa: FBT001
    records = by_created(16_000, first_seen=first_seen)
    catalog = catalog_with(only=["subscriptions"], incremental=["subscriptions"] if incremental else [])
    with FakeAPI({"subscriptions": records}, provider="chargedesk") as api:
        if not shown:
            api.rewrite = hide_created
        run = run_tap(tap_config(api), catalog=catalog).expect_success()
        assert set(run.keys("subscriptions")) == set(api.account.keys("subscriptions"))
    assert {request.status for request in api.requests} == {200}


@pytest.mark.parametrize("shown", [False, True])
def test_a_list_that_comes_by_another_time_than_its_filter_loses_nothing(shown: bool) -> None:  # noqa: FBT001
    """The list comes by `first_seen`, but is filtered by `created`, which rises along it now and then."""
    records = by_created(13_000, first_seen="any")

    class ByCreated(Listing):
        def page(self, window: Window, offset: int, size: int, *, ascending: bool = False) -> Page:
            del ascending
            rows = [
                row
                for row in self.records()
                if (window.earliest is None or row["created"] >= window.earliest)
                and (window.latest is None or row["created"] <= window.latest)
            ]
            return Page([msgspec.json.encode(row) for row in rows[offset : offset + size]], len(rows))

    with FakeAPI(provider="chargedesk") as api:
        api.account.listings["subscriptions"] = ByCreated("subscriptions", records)
        if not shown:
            api.rewrite = hide_created
        run = read(api).expect_success()
        assert set(run.keys("subscriptions")) == set(api.account.keys("subscriptions"))
