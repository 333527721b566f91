"""Personal data stays out of PostgreSQL, whose tables still join; a field that `schema` declares is loaded."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING

import pytest

from tests.fake_api.data import make_account
from tests.fake_api.server import FakeAPI
from tests.support.loading import pipe
from tests.support.tap_runs import catalog_with, tap_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import Postgres
    from tests.support.warehouse import Warehouse

pytestmark = pytest.mark.meltano

KEY = "a key: wörd $HOME"


@pytest.fixture(scope="module")
def api() -> Iterator[FakeAPI]:
    account = make_account(charges=120, customers=30, products=7, subscriptions=40, php=True)
    for charge in account["charges"]:
        charge["risk_score"] = 0.5
        charge["customer_ip"] = "192.0.2.1"
    with FakeAPI(account) as running:
        yield running


def contents(warehouse: Warehouse) -> str:
    return json.dumps([warehouse.rows(name) for name in ("charges", "customers", "subscriptions")], default=str)


def personal_data(api: FakeAPI) -> set[str]:
    """Return what tells of people: names, addresses and numbers of each customer."""
    fields = ("name", "email", "phone", "billing_address", "tax_number", "customer_id")
    return {person[field] for person in api.account.records("customers") for field in fields} | {"192.0.2.1"}


def test_hashed_tables_join(api: FakeAPI, postgres: Postgres) -> None:
    log, warehouse = pipe(tap_config(api, personal_data="hash", hash_key=KEY), postgres, "hashed")
    assert KEY not in log
    joined = "SELECT count(*) FROM {0}.charges JOIN {0}.customers USING (customer_id)"
    with warehouse.postgres.connect() as connection:
        assert connection.execute(joined.format(warehouse.schema)).fetchone() == (120,)
    loaded = contents(warehouse)
    assert {word for word in personal_data(api) if word in loaded or json.dumps(word)[1:-1] in loaded} == set()
    person = api.account.records("customers")[0]
    row = warehouse.rows("customers")[
        hmac.new(KEY.encode(), person["customer_id"].encode(), hashlib.sha256).hexdigest()
    ]
    assert row["email"] == hmac.new(KEY.encode(), person["email"].encode(), hashlib.sha256).hexdigest()
    assert warehouse.types("customers")["metadata"] in {"character varying", "text"}


def test_dropped_fields_have_no_columns(api: FakeAPI, postgres: Postgres) -> None:
    _, warehouse = pipe(tap_config(api, personal_data="drop", amounts="text"), postgres, "dropped")
    assert not {"customer_id", "customer_name", "metadata", "description"} & set(warehouse.types("charges"))
    assert {"customer_id", "country"} <= set(warehouse.types("customers"))
    loaded = contents(warehouse)
    words = personal_data(api) - {person["customer_id"] for person in api.account.records("customers")}
    assert {word for word in words if word in loaded or json.dumps(word)[1:-1] in loaded} == set()
    assert warehouse.types("charges")["amount"] in {"character varying", "text"}


def test_a_field_that_schema_declares_is_loaded(api: FakeAPI, postgres: Postgres) -> None:
    catalog = catalog_with()
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] == "charges":
            entry["schema"]["properties"]["risk_score"] = {"type": ["number", "null"]}
    log, warehouse = pipe(tap_config(api), postgres, "declared", catalog=catalog)
    assert {float(row["risk_score"]) for row in warehouse.rows("charges").values()} == {0.5}
    assert "customer_ip" not in warehouse.types("charges")
    assert log.count("does not declare") == 1
    assert "(`customer_ip`)" in log


def test_tables_are_dropped_before_personal_data_changes(api: FakeAPI, postgres: Postgres) -> None:
    pipe(tap_config(api), postgres, "changed_setting")
    hashed = tap_config(api, personal_data="hash", hash_key=KEY)
    names = ", ".join(f"changed_setting.{name}" for name in ("charges", "customers", "subscriptions", "products"))
    with postgres.connect() as connection:
        connection.execute(f"TRUNCATE {names}".encode())
        with pytest.raises(AssertionError, match="Altering columns is not supported"):
            pipe(hashed, postgres, "changed_setting")
        connection.execute(f"DROP TABLE {names}".encode())
    _, warehouse = pipe(hashed, postgres, "changed_setting")
    assert len(warehouse.rows("charges")) == 120
    assert warehouse.types("charges")["metadata"] == "text"
