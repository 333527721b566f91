"""The documented stream maps keep every name, address and phone number of an account from leaving the tap."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.fake_api import FakeAPI, make_account
from tests.support.in_process import InProcessRun, run_in_process
from tests.support.tap_runs import tap_config

if TYPE_CHECKING:
    from collections.abc import Iterable

JSON = dict[str, Any]

PAGE = (Path(__file__).parents[2] / "docs" / "personal-data.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Names and e-mail addresses\n", 1)[1].split("\n## ", 1)[0]
EXAMPLE, HASHED = (yaml.safe_load(text)["config"] for text in re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL))
SEED = "a secret of this test"
# Fields in which the fake API says less than an API may: people write into them what they like.
FREE_TEXT = {
    "charges": ("description", "payment_method_describe", "name_email", "name_send_email"),
    "customers": ("description", "customer_company", "fax", "website", "invoice_details", "tickets"),
    "subscriptions": ("last_email",),
}


def account(*, php: bool = False) -> dict[str, list[JSON]]:
    """Make an account that names its customers wherever it can."""
    lists = make_account(charges=60, customers=20, subscriptions=30, products=3, php=php)
    people = {person["customer_id"]: person for person in lists["customers"]}
    for stream, records in lists.items():
        for record in records if stream in FREE_TEXT else ():
            for part in (record, *record.get("subscriptions", ())):
                _tell(part, stream if part is record else "subscriptions", people[record["customer_id"]])
    return lists


def _tell(record: JSON, stream: str, person: JSON) -> None:
    contact = f"{person['name']} <{person['email']}>, {person['phone']}"
    record["metadata"] = {"contact": contact, "deep": [{"who": person["username"]}]}
    record["logs"] = [{"text": f"Sent to {person['email']}"}]
    for name in FREE_TEXT[stream]:
        record[name] = contact


def personal(customers: Iterable[JSON]) -> set[str]:
    """Return the names, addresses, numbers and user names of customers."""
    found = set()
    for person in customers:
        found |= {person[name] for name in ("name", "first_name", "username", "email", "phone", "tax_number")}
        found |= {person["billing_address"], person["name"].removeprefix(person["first_name"]).strip()}
    return found


def leaked(run: InProcessRun, customers: Iterable[JSON]) -> set[str]:
    """Return what standard output reveals of customers."""
    output = run.expect_success().stdout.decode()
    return {text for text in personal(customers) if re.search(rf"(?<!\w){re.escape(text)}(?!\w)", output)}


def test_without_stream_maps_all_of_it_goes_out() -> None:
    lists = account()
    with FakeAPI(lists) as api:
        run = run_in_process(tap_config(api))
    assert leaked(run, lists["customers"]) == personal(lists["customers"])


@pytest.mark.parametrize("php", [False, True], ids=["typed", "as PHP sends it"])
def test_the_example_of_the_readme_lets_none_of_it_out(*, php: bool) -> None:
    lists = account(php=php)
    with FakeAPI(lists) as api:
        run = run_in_process(tap_config(api, **EXAMPLE))
    assert leaked(run, lists["customers"]) == set()
    for stream, records in lists.items():
        assert len(run.records(stream)) == len(records)
    assert run.records("charges")[0]["amount"]
    assert {"customer_id", "country"} <= set(run.records("customers")[0])


def test_the_example_of_the_readme_takes_records_without_these_fields() -> None:
    with FakeAPI({"customers": [{"customer_id": "a"}], "charges": [{"charge_id": "b"}]}) as api:
        run = run_in_process(tap_config(api, **EXAMPLE)).expect_success()
    assert run.records("customers") == [{"customer_id": "a"}]


def test_the_readmes_hash_has_a_seed_and_takes_records_without_an_address() -> None:
    maps = {"customers": EXAMPLE["stream_maps"]["customers"] | HASHED["stream_maps"]["customers"]}
    people = account()["customers"]
    with FakeAPI({"customers": [*people, {"customer_id": "a"}, {"customer_id": "b", "email": None}]}) as api:
        run = run_in_process(tap_config(api, stream_maps=maps, stream_map_config={"hash_seed": SEED}))
    assert leaked(run, people) == set()
    digests = [hashlib.sha256((SEED + person["email"]).encode()).hexdigest() for person in people]
    assert [record["email"] for record in run.records("customers")] == [*digests, None, None]
    assert set(HASHED["stream_map_config"]) == {"hash_seed"}


def test_the_readmes_hash_fails_without_its_seed() -> None:
    with FakeAPI({"customers": account()["customers"]}) as api:
        # What Meltano hands on where the variable is not set.
        run = run_in_process(tap_config(api, stream_maps=HASHED["stream_maps"], stream_map_config={"hash_seed": None}))
    run.expect_failure("customers", "`stream_maps` cannot be applied")
