"""Lists that are longer than the largest offset lets a client read; `tests/unit` has odder ones with smaller caps."""

from __future__ import annotations

import pytest

from tests.fake_api import FakeAPI
from tests.support.in_process import read_stream
from tests.support.records import evenly_spaced, minimal_records

YEAR_2020, YEAR_2025 = 1_577_836_800, 1_735_689_600


@pytest.mark.parametrize(
    ("stream", "count", "tied", "most"),
    [
        ("subscriptions", 26_000, 1, 80),
        ("products", 19_561, 30, 70),
        # One more for the anchor below the cap of 50,000.
        ("charges", 60_000, 1, 123),
    ],
)
def test_requests_past_the_largest_offset_are_few(stream: str, count: int, tied: int, most: int) -> None:
    times = [YEAR_2025 - number // tied * tied * (YEAR_2025 - YEAR_2020) // count for number in range(count)]
    with FakeAPI({stream: minimal_records(stream, times)}, provider="chargedesk") as api:
        run = read_stream(api, stream).expect_success()
        assert set(run.keys(stream)) == set(api.account.keys(stream))
    assert len(run.keys(stream)) <= count * 1.005
    assert len(api.requests) <= most
    assert {request.status for request in api.requests} == {200}


def test_more_records_in_one_second_than_the_cap_are_an_error_that_names_it() -> None:
    times = [*evenly_spaced(700, YEAR_2020 + 10, YEAR_2025), *[YEAR_2020 + 5] * 51_000]
    with FakeAPI({"customers": minimal_records("customers", times)}, provider="chargedesk") as api:
        run = read_stream(api, "customers")
    run.expect_failure("customers", str(YEAR_2020 + 5), "50000", "share the second")
    # All that can be read is out, and the table must not be taken for whole.
    assert len(set(run.keys("customers"))) >= 50_500


def test_more_records_than_the_cap_in_a_span_that_cannot_be_split_are_an_error() -> None:
    records = minimal_records("subscriptions", [YEAR_2020] * 11_000)
    for record in records:
        del record["created"]
    with FakeAPI({"subscriptions": records}, provider="chargedesk") as api:
        run = read_stream(api, "subscriptions")
    run.expect_failure("subscriptions", "10000", "between the seconds", str(YEAR_2020))
