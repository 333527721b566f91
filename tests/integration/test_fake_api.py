"""The fake API behaves as the APIs are documented."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import requests

from tap_payments.records.schema import SCHEMAS
from tap_payments.streams import STREAMS as DECLARED
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import PROVIDERS, STREAMS
from tests.support.waiting import SOON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What ChargeDesk documents of its lists: the name of the filter, and the largest offset.
DOCUMENTED = {
    "charges": ("occurred", 50_000),
    "customers": ("first_seen", 50_000),
    "subscriptions": ("created", 10_000),
    "products": ("created", 10_000),
}
SIZES = {"charges": 1_200, "products": 30, "customers": 90, "subscriptions": 60}


class Client:
    """Asks a fake API for pages over one connection."""

    def __init__(self, api: FakeAPI) -> None:
        self.api = api
        self.session = requests.Session()
        self.session.auth = (api.username, api.password)

    def get(self, stream: str, **params: object) -> requests.Response:
        """Ask once."""
        return self.session.get(self.api.url + stream, params=params, timeout=SOON)  # type: ignore[arg-type]

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
def client(api: FakeAPI) -> Iterator[Client]:
    asking = Client(api)
    with closing(asking.session):
        yield asking


@pytest.mark.parametrize("php", [False, True])
def test_lists_are_newest_first_unique_whole_and_the_same_for_a_seed(*, php: bool) -> None:
    account: dict[str, list[dict[str, Any]]] = make_account(**dict.fromkeys(STREAMS, 90), seed=7, php=php)
    assert account == make_account(**dict.fromkeys(STREAMS, 90), seed=7, php=php)
    assert account.keys() == DECLARED.keys()
    for stream, records in account.items():
        times = [int(record[STREAMS[stream].time]) for record in records]
        assert times == sorted(times, reverse=True)
        assert len({record[STREAMS[stream].key] for record in records}) == len(records) == 90
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
    every = api.account.keys("customers")
    assert client.keys("customers", count=500) == every
    assert every[-1] == "timeless"
    far = 10**11
    for window in (
        {"first_seen[min]": -far},
        {"first_seen[max]": far},
        {"first_seen[min]": -far, "first_seen[max]": far},
    ):
        assert client.keys("customers", count=500, **window) == every[:-1]
    api.ignore_filter = True
    assert client.keys("customers", count=500, **{"first_seen[max]": far}) == every


@pytest.mark.parametrize("stream", DOCUMENTED)
def test_too_large_an_offset_is_a_bad_request(client: Client, api: FakeAPI, stream: str) -> None:
    _, largest = DOCUMENTED[stream]
    assert client.keys(stream, offset=largest) == []
    refused = client.get(stream, offset=largest + 1)
    assert refused.status_code == 400
    assert str(largest) in refused.json()["error"]["message"]
    api.max_offset = {stream: 10}
    assert client.get(stream, offset=11).status_code == 400
    api.max_offset = {stream: None}
    assert client.keys(stream, offset=largest + 1) == []


def test_the_command_serves_until_it_is_stopped(tmp_path: Path) -> None:
    url_file, log = tmp_path / "url", tmp_path / "log.json"
    command = [sys.executable, "-m", "tests.fake_api", "--provider", "chargedesk", "--charges", "50"]
    files = ["--url-file", str(url_file), "--log-requests", str(log)]
    with subprocess.Popen([*command, *files], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            credentials, params = ("sk_test_sandbox", ""), {"count": 50}
            charges = requests.get(url + "charges", auth=credentials, params=params, timeout=SOON)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=SOON) == ("", "")
        assert process.returncode == 0
    assert url == url_file.read_text(encoding="utf-8").strip()
    assert len(charges.json()["data"]) == 50
    assert msgspec.json.decode(log.read_bytes()) == {
        "requests": {"charges": 1},
        "records": {"charges": 50},
        "statuses": {"200": 1},
        "max_in_flight": 1,
    }
