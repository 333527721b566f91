"""The fake API behaves as the APIs are documented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from tap_payments.records.schema import SCHEMAS
from tap_payments.streams import STREAMS as DECLARED
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import PROVIDERS, STREAMS
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


class Client:
    """Asks a fake API for pages."""

    def __init__(self, api: FakeAPI) -> None:
        self.api = api

    def get(self, stream: str, **params: object) -> requests.Response:
        """Ask once."""
        credentials = self.api.username, self.api.password
        return requests.get(self.api.url + stream, params=params, auth=credentials, timeout=SOON)  # type: ignore[arg-type]

    def keys(self, stream: str, **params: object) -> list[str]:
        """Ask once and return the keys on the page."""
        response = self.get(stream, **params)
        assert response.status_code == 200, response.text
        return [record[STREAMS[stream].key] for record in response.json()["data"]]


@pytest.fixture
def api() -> Iterator[FakeAPI]:
    with FakeAPI(make_account(**SIZES, seed=4, php=True), provider="chargedesk") as running:
        yield running


@pytest.fixture
def client(api: FakeAPI) -> Client:
    return Client(api)


@pytest.mark.parametrize("php", [False, True])
def test_lists_are_newest_first_and_have_every_field(*, php: bool) -> None:
    account: dict[str, list[dict[str, Any]]] = make_account(**SIZES, seed=7, php=php)
    assert account.keys() == DECLARED.keys()
    for stream, records in account.items():
        times = [int(record[STREAMS[stream].time]) for record in records]
        assert times == sorted(times, reverse=True)
        assert len({record[STREAMS[stream].key] for record in records}) == len(records) == SIZES[stream]
        assert all(record.keys() == SCHEMAS.get_schema(stream)["properties"].keys() for record in records)


def test_chargedesk_is_as_documented() -> None:
    provider = PROVIDERS["chargedesk"]
    assert {name: (provider.filters[name], provider.max_offset[name]) for name in DOCUMENTED} == DOCUMENTED
    assert (provider.page_param, provider.page_default) == ("count", 20)


def test_pages_are_cut_by_size_and_offset(client: Client, api: FakeAPI) -> None:
    expected, api.total_count = api.account.keys("charges"), True
    pages = [client.keys("charges", count=900, offset=offset) for offset in (0, 500, 1_000, 1_500)]
    assert [len(page) for page in pages] == [500, 500, 200, 0]
    assert [key for page in pages for key in page] == expected
    assert client.keys("charges", limit=500) == expected[:20]
    assert client.get("charges", count=1).json()["total_count"] == 1_200
    api.page_cap = 70
    assert len(client.keys("charges", count=500)) == 70


@pytest.mark.parametrize("stream", DOCUMENTED)
def test_filters_include_both_ends(client: Client, api: FakeAPI, stream: str) -> None:
    name, _ = DOCUMENTED[stream]
    times = [int(record[STREAMS[stream].time]) for record in api.account.records(stream)]
    window = {f"{name}[min]": times[20], f"{name}[max]": times[5], "count": 500}
    assert client.keys(stream, **window) == api.account.keys(stream)[5:21]
    api.total_count = True
    assert client.get(stream, **window).json()["total_count"] == 16
    api.exclusive_max = True
    assert client.keys(stream, **window) == api.account.keys(stream)[6:21]
    api.ignore_filter = True
    assert len(client.keys(stream, **window)) == min(500, len(times))


def test_a_record_without_a_time_is_the_oldest_and_in_no_range(client: Client, api: FakeAPI) -> None:
    api.account.insert("customers", {"customer_id": "timeless", "first_seen": None})
    assert client.keys("customers", count=500)[-1] == "timeless"
    for bound, second in (("min", -(10**11)), ("max", 10**11)):
        assert (
            client.keys("customers", count=500, **{f"first_seen[{bound}]": second})
            == api.account.keys("customers")[:-1]
        )


@pytest.mark.parametrize("stream", DOCUMENTED)
def test_too_large_an_offset_is_a_bad_request(client: Client, api: FakeAPI, stream: str) -> None:
    _, largest = DOCUMENTED[stream]
    assert client.keys(stream, offset=largest) == []
    refused = client.get(stream, offset=largest + 1)
    assert refused.status_code == 400
    assert str(largest) in refused.json()["error"]["message"]
    api.max_offset = {stream: 10}
    assert client.get(stream, offset=11).status_code == 400
