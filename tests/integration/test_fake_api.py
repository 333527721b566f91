"""The fake API behaves as the APIs are documented."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from tap_payments.records.schema import SCHEMAS
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.waiting import SOON

if TYPE_CHECKING:
    from collections.abc import Iterator

# What ChargeDesk documents of its lists: the name of the filter, and the largest offset.
DOCUMENTED = {
    "charges": ("occurred", 50_000),
    "customers": ("first_seen", 50_000),
    "subscriptions": ("created", 10_000),
    "products": ("created", 10_000),
}
SIZES = {"charges": 1_200, "products": 30, "customers": 90, "subscriptions": 60}


@pytest.fixture
def api() -> Iterator[FakeAPI]:
    with FakeAPI(make_account(**SIZES, seed=4, php=True), provider="chargedesk") as running:
        yield running


def get(api: FakeAPI, stream: str, **params: object) -> requests.Response:
    """Ask for a page."""
    credentials = api.username, api.password
    return requests.get(api.url + stream, params=params, auth=credentials, timeout=SOON)  # type: ignore[arg-type]


def keys(api: FakeAPI, stream: str, **params: object) -> list[str]:
    """Ask for a page and return the keys on it."""
    return [record[STREAMS[stream].key] for record in get(api, stream, **params).json()["data"]]


def test_records_have_every_field_of_the_schemas(api: FakeAPI) -> None:
    for stream in STREAMS:
        declared = SCHEMAS.get_schema(stream)["properties"].keys()
        assert all(record.keys() == declared for record in api.account.records(stream))


def test_pages_are_cut_by_size_and_offset(api: FakeAPI) -> None:
    expected, api.total_count = api.account.keys("charges"), True
    # By `count`, and 20 without it.
    pages = [keys(api, "charges", count=900, offset=offset) for offset in (0, 500, 1_000, 1_500)]
    assert [len(page) for page in pages] == [500, 500, 200, 0]
    assert [key for page in pages for key in page] == expected
    assert keys(api, "charges", limit=500) == expected[:20]
    assert get(api, "charges", count=1).json()["total_count"] == 1_200


@pytest.mark.parametrize("stream", DOCUMENTED)
def test_filters_include_both_ends_and_the_largest_offset_is_refused(api: FakeAPI, stream: str) -> None:
    name, largest = DOCUMENTED[stream]
    times = [int(record[STREAMS[stream].time]) for record in api.account.records(stream)]
    assert times == sorted(times, reverse=True)
    window = {f"{name}[min]": times[20], f"{name}[max]": times[5], "count": 500}
    assert keys(api, stream, **window) == api.account.keys(stream)[5:21]
    assert keys(api, stream, offset=largest) == []
    refused = get(api, stream, offset=largest + 1)
    assert refused.status_code == 400
    assert str(largest) in refused.json()["error"]["message"]


def test_a_record_without_a_time_is_the_oldest_and_in_no_range(api: FakeAPI) -> None:
    api.account.insert("customers", {"customer_id": "timeless", "first_seen": None})
    every = keys(api, "customers", count=500)
    assert every[-1] == "timeless"
    for bound, second in (("min", -(10**11)), ("max", 10**11)):
        assert keys(api, "customers", count=500, **{f"first_seen[{bound}]": second}) == every[:-1]
