"""The fake API behaves as the APIs are documented, and its faults happen as ordered."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import requests

from tests.fake_api.data import (
    make_account,
)
from tests.fake_api.providers import STREAMS
from tests.fake_api.server import FakeAPI
from tests.support.waiting import SOON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Client:
    """Asks a fake API for pages over one connection."""

    def __init__(self, api: FakeAPI) -> None:
        self.api = api
        self.session = requests.Session()
        self.session.auth = (api.username, api.password)

    def get(self, stream: str, **params: object) -> requests.Response:
        """Ask once."""
        url = self.api.url + stream
        return self.session.get(url, params=params, timeout=SOON, allow_redirects=False)  # type: ignore[arg-type]

    def keys(self, stream: str, **params: object) -> list[str]:
        """Ask once and return the keys on the page."""
        response = self.get(stream, **params)
        assert response.status_code == 200, response.text
        return [record[STREAMS[stream].key] for record in response.json()["data"]]


@pytest.fixture(scope="module")
def lists() -> dict[str, list[dict[str, Any]]]:
    return make_account(charges=1_200, products=30, customers=90, subscriptions=60, seed=4, php=True)


@pytest.fixture
def api(lists: dict[str, list[dict[str, Any]]]) -> Iterator[FakeAPI]:
    with FakeAPI(lists, provider="chargedesk") as running:
        yield running


@pytest.fixture
def client(api: FakeAPI) -> Iterator[Client]:
    asking = Client(api)
    yield asking
    asking.session.close()


@pytest.mark.parametrize("php", [False, True])
def test_lists_are_newest_first_unique_and_the_same_for_a_seed(*, php: bool) -> None:
    account = make_account(charges=300, products=30, customers=90, subscriptions=60, seed=7, php=php)
    assert account == make_account(charges=300, products=30, customers=90, subscriptions=60, seed=7, php=php)
    for stream, records in account.items():
        times = [int(record[STREAMS[stream].time]) for record in records]
        assert times == sorted(times, reverse=True)
        assert len({record[STREAMS[stream].key] for record in records}) == len(records)
        assert len({frozenset(record) for record in records}) == 1


def test_generic_pages_by_limit_and_offset(lists: dict[str, list[dict[str, Any]]]) -> None:
    with FakeAPI(lists, total_count=True) as api:
        client = Client(api)
        expected = [charge["charge_id"] for charge in lists["charges"]]
        pages = [client.keys("charges", limit=500, offset=offset) for offset in (0, 500, 1_000, 1_500)]
        assert [len(page) for page in pages] == [500, 500, 200, 0]
        assert [key for page in pages for key in page] == expected
        assert len(client.keys("charges", limit=900)) == 500
        assert client.get("charges", limit=1, **{"occurred[min]": 9**10}).json()["total_count"] == 1_200
        api.page_cap = 70
        assert len(client.keys("charges", limit=500)) == 70
        client.session.close()


def test_chargedesk_counts_twenty_and_ignores_limit(client: Client) -> None:
    assert len(client.keys("charges")) == 20
    assert len(client.keys("charges", limit=500)) == 20
    assert len(client.keys("charges", count=500)) == 500
    assert "total_count" not in client.get("charges").json()


@pytest.mark.parametrize(
    ("stream", "filtered"),
    [
        ("charges", "occurred"),
        ("customers", "first_seen"),
        ("subscriptions", "created"),
        ("products", "created"),
    ],
)
def test_filters_include_both_ends(client: Client, api: FakeAPI, stream: str, filtered: str) -> None:
    times = [int(record[STREAMS[stream].time]) for record in api.account.records(stream)]
    low, high = times[20], times[5]
    window = {f"{filtered}[min]": low, f"{filtered}[max]": high, "count": 500}
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


@pytest.mark.parametrize("stream", STREAMS)
def test_too_large_an_offset_is_a_bad_request(client: Client, api: FakeAPI, stream: str) -> None:
    largest = 50_000 if stream in {"charges", "customers"} else 10_000
    assert client.keys(stream, offset=largest) == []
    refused = client.get(stream, offset=largest + 1)
    assert refused.status_code == 400
    assert str(largest) in refused.json()["error"]["message"]
    api.max_offset = {stream: 10}
    assert client.get(stream, offset=11).status_code == 400
    api.max_offset = {stream: None}
    assert client.keys(stream, offset=largest + 1) == []


def test_order_may_turn_and_offset_be_ignored(client: Client, api: FakeAPI) -> None:
    keys = api.account.keys("charges")
    api.ascending = True
    assert client.keys("charges", offset=3) == keys[::-1][3:23]
    api.ascending, api.ignore_offset = False, True
    assert client.keys("charges", offset=3) == keys[:20]


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
