"""The fake API behaves as the APIs are documented, and its faults happen as ordered."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import requests

from tests.fake_api.account import Account, Window
from tests.fake_api.chaos import Chaos
from tests.fake_api.data import (
    make_account,
    make_charges,
    make_customers,
    make_products,
    make_subscriptions,
    tie,
)
from tests.fake_api.faults import (
    LEAK_MARKER,
    Body,
    Drip,
    Drop,
    DropMidBody,
    Hang,
    Redirect,
    Status,
    Truncate,
)
from tests.fake_api.providers import STREAMS
from tests.fake_api.server import FakeAPI
from tests.support.waiting import SOON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fake_api.log import LoggedRequest

MAKERS: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "charges": make_charges,
    "products": make_products,
    "customers": make_customers,
    "subscriptions": make_subscriptions,
}


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


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("php", [False, True])
def test_lists_are_newest_first_unique_and_the_same_for_a_seed(stream: str, *, php: bool) -> None:
    records = MAKERS[stream](300, seed=7, php=php)
    times = [int(record[STREAMS[stream].time]) for record in records]
    assert times == sorted(times, reverse=True)
    assert len({record[STREAMS[stream].key] for record in records}) == 300
    assert records == MAKERS[stream](300, seed=7, php=php)
    assert records != MAKERS[stream](300, seed=8, php=php)
    assert len({frozenset(record) for record in records}) == 1


def test_records_refer_to_records_of_the_account() -> None:
    account = make_account(charges=500, products=9, customers=40, subscriptions=12)
    keys = {stream: {record[STREAMS[stream].key] for record in account[stream]} for stream in STREAMS}
    for charge in account["charges"]:
        assert charge["customer_id"] in keys["customers"]
        assert charge["product_id"] in keys["products"]
        assert charge["subscription_id"] in keys["subscriptions"] | {None}
    owner = {charge["charge_id"]: charge["customer_id"] for charge in account["charges"]}
    for customer in account["customers"]:
        assert owner[customer["last_charge_id"]] == customer["customer_id"]
        assert all(one["customer_id"] == customer["customer_id"] for one in customer["subscriptions"])
    nested = [one["subscription_id"] for customer in account["customers"] for one in customer["subscriptions"]]
    assert sorted(nested) == sorted(keys["subscriptions"])


def test_php_sends_types_as_it_likes() -> None:
    charges = make_charges(100, php=True)
    assert {type(charge["occurred"]) for charge in charges} == {int, str}
    assert {type(charge["amount"]) for charge in charges} >= {float, str}
    assert {type(charge["methods_supported"]) for charge in charges} == {dict, list}
    assert {type(charge["is_paid"]) for charge in charges} == {str}
    assert {} not in [charge["metadata"] for charge in charges]
    assert [] in [charge["metadata"] for charge in charges]


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


def test_credentials_and_paths_are_checked(client: Client, api: FakeAPI) -> None:
    assert client.get("refunds").status_code == 404
    client.session.auth = ("sk_wrong", "")
    assert client.get("charges").status_code == 401
    api.credentials_required = False
    assert client.get("charges").status_code == 200
    assert [request.authorization_ok for request in api.requests] == [True, False, False]
    assert [request.records for request in api.requests] == [0, 0, 20]


def test_order_may_turn_and_offset_be_ignored(client: Client, api: FakeAPI) -> None:
    keys = api.account.keys("charges")
    api.ascending = True
    assert client.keys("charges", offset=3) == keys[::-1][3:23]
    api.ascending, api.ignore_offset = False, True
    assert client.keys("charges", offset=3) == keys[:20]


def test_rate_limit_slides(client: Client, api: FakeAPI) -> None:
    api.rate_limit, api.rate_window, api.retry_after = 2, 0.3, 7
    refused = [client.get("charges") for _ in range(3)][-1]
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "7")
    api.retry_after = None
    assert "Retry-After" not in client.get("charges").headers
    time.sleep(0.35)
    assert client.get("charges").status_code == 200


def test_lists_change_while_they_are_read(client: Client, api: FakeAPI) -> None:
    keys = api.account.keys("charges")

    def delete_newest(running: FakeAPI, request: LoggedRequest, params: dict[str, str]) -> None:
        if request.stream == "charges" and params["offset"] == "20":
            running.account.delete("charges", keys[0])

    api.before_each(delete_newest)
    assert client.keys("charges", offset=0) == keys[:20]
    # What was at place 20 moved up to 19, where this client has already been.
    assert client.keys("charges", offset=20) == keys[21:41]

    record = api.account["charges"].at(0)
    api.account.insert("charges", {**record, "charge_id": "ch_new"})
    assert client.keys("charges", offset=0, count=2) == ["ch_new", keys[1]]
    api.account.update("charges", "ch_new", {"status": "refunded", "occurred": "1"})
    assert api.account.keys("charges")[-1] == "ch_new"
    assert api.account["charges"].record("ch_new")["status"] == "refunded"
    with pytest.raises(KeyError):
        api.account.delete("charges", keys[0])


def test_a_second_may_be_crowded(client: Client, api: FakeAPI) -> None:
    charges = tie(make_charges(100), 60, first=10)
    second = charges[10]["occurred"]
    api.account = Account({"charges": charges})
    found = client.keys("charges", count=500, **{"occurred[min]": second, "occurred[max]": second})
    assert found == [charge["charge_id"] for charge in charges[10:70]]


def test_values_are_sent_as_spelled() -> None:
    charge = {"charge_id": "ch_1", "occurred": "5", "amount": msgspec.Raw(b"34.10")}
    assert b'"amount":34.10' in Account({"charges": [charge]})["charges"].page(Window(), 0, 1).records[0]


def test_wrong_answers_come_as_ordered(client: Client, api: FakeAPI) -> None:
    api.faults.add(Status(503, {"Retry-After": "1"}), times=2, stream="charges", after=1)
    api.faults.add(Body(b"<html>", content_type="text/html"), when=lambda params: "offset" in params)
    api.faults.add(Redirect("http://127.0.0.1:9/"), stream="products")
    api.faults.add(Truncate(), stream="customers")
    assert [client.get("charges").status_code for _ in range(4)] == [200, 503, 503, 200]
    assert client.get("charges", offset=1).headers["Content-Type"] == "text/html"
    assert client.get("charges", offset=1).json()["object"] == "list"
    assert client.get("products").headers["Location"] == "http://127.0.0.1:9/"
    with pytest.raises(requests.JSONDecodeError):
        client.get("customers").json()
    assert api.faults.thrown == {"Status 503": 2, "Body": 1, "Redirect": 1, "Truncate": 1}
    api.faults.add(Status(500), times=None)
    assert LEAK_MARKER in client.get("subscriptions").text
    api.faults.clear()
    assert client.get("subscriptions").status_code == 200


def test_connections_break_as_ordered(client: Client, api: FakeAPI) -> None:
    for fault in (Drop(), DropMidBody(), DropMidBody(reset=True)):
        api.faults.add(fault)
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            client.get("charges")
        assert len(client.keys("charges")) == 20
    assert [request.records for request in api.requests] == [0, 20, 0, 20, 0, 20]


def test_answers_may_be_late_slow_or_never(client: Client, api: FakeAPI) -> None:
    api.faults.add(Hang(0.2))
    api.faults.add(Drip(0.2))
    for _ in range(2):
        started = time.monotonic()
        assert len(client.keys("charges")) == 20
        assert time.monotonic() - started >= 0.2
    api.faults.add(Hang())
    with pytest.raises(requests.ReadTimeout):
        client.session.get(api.url + "charges", timeout=0.2)
    # What hangs does not keep it from stopping.
    api.stop()


def test_requests_served_at_once_are_counted(api: FakeAPI) -> None:
    api.latency = 0.2

    def ask(_: int) -> int:
        with requests.get(api.url + "charges", auth=(api.username, ""), timeout=SOON) as response:
            return response.status_code

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(ask, range(3))) == [200] * 3
    assert api.max_in_flight == 3
    assert ask(0) == 200
    assert api.requests[-1].in_flight == 1


def test_random_faults_are_the_same_for_a_seed_and_end(lists: dict[str, list[dict[str, Any]]]) -> None:
    def run_with_faults() -> tuple[Chaos, list[str], list[int]]:
        with FakeAPI(lists, provider="chargedesk") as api:
            api.chaos = chaos = Chaos(seed=5, rate=0.7, moves=0.5)
            client = Client(api)
            for offset in range(0, 600, 20):
                assert any(read(client, offset) for _ in range(4))
            client.session.close()
            return chaos, api.account.keys("charges"), [request.status for request in api.requests]

    def read(client: Client, offset: int) -> bool:
        try:
            return "data" in client.get("charges", offset=offset).json()
        except requests.RequestException:
            return False

    first, keys, statuses = run_with_faults()
    again, keys_again, statuses_again = run_with_faults()
    assert sum(first.thrown.values()) > 20
    assert (first.thrown, keys, statuses) == (again.thrown, keys_again, statuses_again)
    before = {charge["charge_id"] for charge in lists["charges"]}
    assert first.deleted["charges"]
    assert first.inserted["charges"]
    assert set(keys) == (before | set(first.inserted["charges"])) - set(first.deleted["charges"])


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
