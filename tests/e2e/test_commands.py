"""Meltano's other commands, and the target that writes files."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_api.data import make_account
from tests.fake_api.providers import STREAMS
from tests.fake_api.server import FakeAPI

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import ProjectMaker
    from tests.support.meltano import Project

pytestmark = pytest.mark.meltano

LOOKBACK = 30 * 86_400
STATE_ID = "prod:tap-payments--chargedesk-incremental-to-target-jsonl"
SIZES = {"charges": 60, "products": 5, "customers": 12, "subscriptions": 3}


@pytest.fixture(scope="module")
def api() -> Iterator[FakeAPI]:
    with FakeAPI(make_account(**SIZES, php=False), username="right", password="secret-of-mine") as api:
        yield api


@pytest.fixture(scope="module")
def project(make_project: ProjectMaker, api: FakeAPI) -> Project:
    return make_project("commands", api)


def test_config_test_distinguishes_a_wrong_password_from_a_wrong_url(project: Project, api: FakeAPI) -> None:
    words = ("config", "test", "tap-payments")
    assert "valid" in project.run(*words)
    password = project.run(*words, settings={"TAP_PAYMENTS_PASSWORD": "wrong-one"}, fails=True)
    assert "401" in password
    assert "check `username` and `password`" in password
    assert "wrong-one" not in password
    url = project.run(*words, settings={"TAP_PAYMENTS_BASE_URL": f"{api.url}v2/"}, fails=True)
    assert "404" in url
    assert "`base_url`" in url


def test_discovery_needs_no_settings(project: Project) -> None:
    output = project.run(
        "--log-level",
        "critical",
        "invoke",
        "tap-payments",
        "--discover",
        settings={"TAP_PAYMENTS_USERNAME": "", "TAP_PAYMENTS_PASSWORD": ""},
    )
    catalog = json.loads(output[output.index("{\n") : output.rindex("}") + 1])
    assert {entry["tap_stream_id"] for entry in catalog["streams"]} == set(STREAMS)


def test_chargedesk_needs_a_user_name_alone(project: Project) -> None:
    settings = {"TAP_PAYMENTS_BASE_URL": "https://api.chargedesk.com/v1/", "TAP_PAYMENTS_PASSWORD": ""}
    output = project.run(
        "config", "print", "tap-payments--chargedesk-incremental", "--format", "json", settings=settings
    )
    assert '"provider": "chargedesk"' in output
    # A secret is masked only where its setting says that it is one.
    assert "right" not in output


def test_selection_and_stream_maps_reach_the_files(project: Project, api: FakeAPI) -> None:
    project.run("select", "tap-payments", "charges", "amount")
    project.run("select", "tap-payments", "customers", "*")
    project.run("select", "--exclude", "tap-payments", "customers", "logs")
    maps = {"customers": {"email": "sha256(config['hash_seed'] + email)", "name": "__NULL__"}}
    settings = {
        "TAP_PAYMENTS_STREAM_MAPS": json.dumps(maps),
        "TAP_PAYMENTS_STREAM_MAP_CONFIG": json.dumps({"hash_seed": "salt"}),
    }
    project.run("run", "tap-payments", "target-jsonl", settings=settings)
    folder = project.folder / "output"
    assert {file.name for file in folder.iterdir()} == {"charges.jsonl", "customers.jsonl"}

    charges = read_lines((folder / "charges.jsonl").read_text(encoding="utf-8"))
    assert charges == [
        {"charge_id": charge["charge_id"], "amount": charge["amount"]} for charge in api.account.records("charges")
    ]
    customers = read_lines((folder / "customers.jsonl").read_text(encoding="utf-8"))
    for customer, served in zip(customers, api.account.records("customers"), strict=True):
        assert customer["email"] == hashlib.sha256(f"salt{served['email']}".encode()).hexdigest()
        assert "name" not in customer
        assert "logs" not in customer
        assert customer["country"] == served["country"]


def test_meltano_keeps_the_bookmarks_on_quiet_nights(make_project: ProjectMaker) -> None:
    lists = make_account(**SIZES, php=True)
    newest = max(int(charge["occurred"]) for charge in lists["charges"])
    with FakeAPI(lists, provider="chargedesk", username="sk_live_example", password="") as quiet:
        project = make_project("nights", quiet)
        project.environment["TAP_PAYMENTS_REQUESTS_PER_MINUTE"] = "1000000"
        # Reading again moves on with each night.
        project.environment["TAP_PAYMENTS_REREAD_DAYS"] = "0"
        states = []
        for night in range(3):
            quiet.requests.clear()
            project.run("run", "tap-payments--chargedesk-incremental", "target-jsonl")
            begins = [request.params.get("occurred[min]") for request in quiet.requests_for("charges")]
            assert begins[0] == (str(newest - LOOKBACK) if night else None)
            output = project.run("--log-level", "critical", "state", "get", STATE_ID)
            states.append(json.loads(output[output.index("{") : output.rindex("}") + 1]))
    assert states[0] == states[1] == states[2]
    assert states[0]["singer_state"]["bookmarks"]["charges"]["replication_key_value"] == str(newest)


def read_lines(text: str) -> list[Any]:
    """Read JSON lines."""
    return [json.loads(line) for line in text.splitlines()]
