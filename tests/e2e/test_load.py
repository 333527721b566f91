"""A whole account through Meltano into PostgreSQL, and once more."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tap_payments.records.schema import MONEY_FORMAT, SCHEMAS
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.loaders import Warehouse, pipe
from tests.support.meltano import ROOT
from tests.support.tap_runs import tap_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import ProjectMaker
    from tests.support.meltano import Project
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano

SIZES = {**dict.fromkeys(STREAMS, 37), "charges": 1203, "products": 500, "customers": 501}
NUL = "before\0after"
# PostgreSQL's text cannot hold it; the target puts this in its place.
REPLACEMENT = "before\N{REPLACEMENT CHARACTER}after"
AMOUNTS = ("34.00", "0.10", "-1250.55", "999999999999.99", "12345678901234567890.1230", "0.000000001", "0")


@pytest.fixture(scope="module")
def api() -> Iterator[FakeAPI]:
    account = make_account(**SIZES, php=False)
    for charge, amount in zip(account["charges"], AMOUNTS, strict=False):
        charge["amount"] = amount
    account["charges"][10]["description"] = NUL
    with FakeAPI(account, password="pass: wörd") as api:
        yield api


@pytest.fixture(scope="module")
def project(make_project: ProjectMaker, api: FakeAPI) -> Project:
    return make_project("load", api)


@pytest.fixture(scope="module")
def output(project: Project) -> str:
    """Load all once and return the output."""
    return project.run("run", "tap-payments", "target-postgres")


@pytest.fixture(scope="module")
def warehouse(postgres: Postgres, output: str) -> Warehouse:
    return Warehouse(postgres, "load")


def served(api: FakeAPI, stream: str) -> dict[str, dict[str, Any]]:
    """Return what the API serves, as PostgreSQL is to hold it: money as numbers, without NUL."""
    declared, records = SCHEMAS.get_schema(stream)["properties"], {}
    for record in api.account.records(stream):
        for name, value in record.items():
            if declared[name].get("format") == MONEY_FORMAT and value is not None:
                record[name] = Decimal(value)
            elif value == NUL:
                record[name] = REPLACEMENT
        records[record[STREAMS[stream].key]] = record
    return records


def test_every_record_is_there_once(warehouse: Warehouse) -> None:
    assert warehouse.counts() == SIZES


@pytest.mark.parametrize("stream", STREAMS)
def test_every_field_has_the_value_that_the_api_served(api: FakeAPI, warehouse: Warehouse, stream: str) -> None:
    assert warehouse.rows(stream) == served(api, stream)


def test_amounts_keep_every_digit(api: FakeAPI, warehouse: Warehouse) -> None:
    rows = warehouse.rows("charges")
    newest = api.account.keys("charges")
    assert [format(rows[key]["amount"], "f") for key in newest[: len(AMOUNTS)]] == list(AMOUNTS)


def test_columns_have_the_declared_types(warehouse: Warehouse) -> None:
    wanted = {"charge_id": "text", "amount": "numeric", "occurred": "text", "is_paid": "boolean", "metadata": "jsonb"}
    wanted["methods_active"] = "ARRAY"
    assert wanted.items() <= warehouse.types("charges").items()
    for table in ("customers", "products", "subscriptions"):
        assert warehouse.types(table)["first_seen"] == "numeric"


def test_no_secret_is_in_what_meltano_writes(output: str, api: FakeAPI) -> None:
    assert "Run complete" in output
    assert api.username not in output
    assert api.password not in output


def test_a_second_run_updates_and_does_not_duplicate(api: FakeAPI, postgres: Postgres, warehouse: Warehouse) -> None:
    keys = api.account.keys("charges")
    for key in keys[100:110]:
        amount = api.account["charges"].record(key)["amount"]
        api.account.update("charges", key, {"status": "refunded", "amount_refunded": amount})
    customer = api.account.keys("customers")[7]
    api.account.update("customers", customer, {"name": 'Łucja "Lu" Ångström', "metadata": {"moved": [1, "2"]}})
    api.account.insert("charges", make_account(charges=1, seed=1)["charges"][0])
    pipe(tap_config(api), postgres, warehouse.schema)
    assert warehouse.counts() == {**SIZES, "charges": SIZES["charges"] + 1}
    for stream in STREAMS:
        assert warehouse.rows(stream) == served(api, stream)


def test_meltano_leaves_the_project_as_it_is(project: Project, output: str) -> None:
    assert project.file.read_bytes() == (ROOT / "meltano.yml").read_bytes()
