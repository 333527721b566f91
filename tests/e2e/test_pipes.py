"""The tap without Meltano: into the loader, what the documented queries find there, and past a checker of messages."""

from __future__ import annotations

import subprocess
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from demo import report
from scripts.columns import STREAM_MAPS
from tap_payments.records.schema import MONEY_FORMAT, SCHEMAS
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.in_process import run_in_process
from tests.support.loaders import pipe
from tests.support.meltano import ROOT
from tests.support.tap_runs import catalog_with, tap_config

if TYPE_CHECKING:
    from tests.support.loaders import Warehouse
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano

CHECKER = ROOT / ".venvs" / "singer-tools" / "bin" / "singer-check-tap"
SIZES = {**dict.fromkeys(STREAMS, 30), "charges": 600}
ACCOUNT = make_account(**{**dict.fromkeys(STREAMS, 40), "charges": 120})
NUL = "before\0after"
# PostgreSQL's text cannot hold it; the target puts this in its place.
REPLACEMENT = "before\N{REPLACEMENT CHARACTER}after"
AMOUNTS = ("34.00", "0.10", "-1250.55", "999999999999.99", "12345678901234567890.1230", "0.000000001", "0")


@pytest.mark.parametrize("incremental", [(), ("charges", "customers", "subscriptions")])
@pytest.mark.parametrize("provider", ["generic", "chargedesk"])
def test_a_foreign_checker_finds_nothing_wrong(provider: str, incremental: tuple[str, ...]) -> None:
    with FakeAPI(make_account(**SIZES, php=provider == "chargedesk"), provider=provider) as api:
        run = run_in_process(tap_config(api), catalog=catalog_with(incremental=incremental)).expect_success()
    checked = subprocess.run([CHECKER], input=run.stdout, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr
    for stream, size in SIZES.items():
        assert stream in checked.stdout.decode()
        assert str(size) in checked.stdout.decode()


def test_a_run_that_came_to_its_end_deletes(postgres: Postgres) -> None:
    with FakeAPI(make_account(**SIZES)) as api:
        config = tap_config(api, emit_activate_version_messages=True)
        _, warehouse = pipe(config, postgres, "deletions", hard_delete=True)
        assert warehouse.counts() == SIZES
        gone = api.account.keys("charges")[100:140]
        for key in gone:
            api.account.delete("charges", key)
        pipe(config, postgres, "deletions", hard_delete=True)
    assert warehouse.counts() == {**SIZES, "charges": 560}
    assert not set(gone) & set(warehouse.rows("charges"))


def test_hashed_tables_join_and_are_dropped_before_personal_data_changes(postgres: Postgres) -> None:
    with FakeAPI(make_account(**SIZES)) as api:
        pipe(tap_config(api), postgres, "hashed")
        config = tap_config(api, personal_data="hash", hash_key="a key: wörd $HOME")
        with pytest.raises(AssertionError, match="Altering columns is not supported"):
            pipe(config, postgres, "hashed")
        with postgres.connect() as connection:
            connection.execute(f"DROP TABLE {', '.join(f'hashed.{name}' for name in STREAMS)}".encode())
        _, warehouse = pipe(config, postgres, "hashed")
        joined = "SELECT count(*) FROM hashed.charges JOIN hashed.customers USING (customer_id)"
        with postgres.connect() as connection:
            assert connection.execute(joined).fetchone() == (SIZES["charges"],)
    assert warehouse.counts() == SIZES
    assert warehouse.types("charges")["metadata"] == "text"


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


def test_every_field_has_its_value_and_type_and_a_second_run_updates_it(postgres: Postgres) -> None:
    account = make_account(**SIZES, php=False)
    for charge, amount in zip(account["charges"], AMOUNTS, strict=False):
        charge["amount"] = amount
    account["charges"][10]["description"] = NUL
    with FakeAPI(account) as api:
        _, warehouse = pipe(tap_config(api), postgres, "load")
        for stream in STREAMS:
            assert warehouse.rows(stream) == served(api, stream)
        # Zeros at the end make no difference to Python.
        rows, keys = warehouse.rows("charges"), api.account.keys("charges")
        assert [format(rows[key]["amount"], "f") for key in keys[: len(AMOUNTS)]] == list(AMOUNTS)

        for key in keys[100:110]:
            amount = api.account["charges"].record(key)["amount"]
            api.account.update("charges", key, {"status": "refunded", "amount_refunded": amount})
        customer = api.account.keys("customers")[7]
        api.account.update("customers", customer, {"name": 'Łucja "Lu" Ångström', "metadata": {"moved": [1, "2"]}})
        api.account.insert("charges", make_account(charges=1, seed=1)["charges"][0])
        pipe(tap_config(api), postgres, "load")
        for stream in STREAMS:
            assert warehouse.rows(stream) == served(api, stream)
    wanted = {"charge_id": "text", "amount": "numeric", "occurred": "text", "is_paid": "boolean", "metadata": "jsonb"}
    assert {**wanted, "methods_active": "ARRAY"}.items() <= warehouse.types("charges").items()
    for table in ("customers", "products", "subscriptions"):
        assert warehouse.types(table)["first_seen"] == "numeric"


@pytest.fixture(scope="module")
def warehouse(postgres: Postgres) -> Warehouse:
    with FakeAPI(ACCOUNT) as api:
        return pipe(tap_config(api, stream_maps=STREAM_MAPS), postgres, "columns")[1]


def test_a_stream_map_adds_a_real_time_stamp(warehouse: Warehouse) -> None:
    for table, column, of in (("charges", "occurred_at", "occurred"), ("customers", "first_seen_at", "first_seen")):
        assert warehouse.types(table)[column].startswith("timestamp")
        rows = warehouse.rows(table).values()
        assert rows
        for row in rows:
            assert row[column].replace(tzinfo=timezone.utc) == datetime.fromtimestamp(int(row[of]), timezone.utc)


def test_the_queries_find_what_the_account_holds(warehouse: Warehouse) -> None:
    def rows(name: str) -> list[dict[str, object]]:
        with warehouse.postgres.connect() as connection:
            columns, found = report.run_query(connection, "columns", name)
        return [dict(zip(columns, row, strict=True)) for row in found]

    paid = [charge for charge in ACCOUNT["charges"] if charge["is_paid"]]
    revenue = sum(Decimal(charge["amount"]) - Decimal(charge["amount_refunded"] or 0) for charge in paid)
    assert sum(row["revenue"] for row in rows("revenue_by_month")) == revenue  # type: ignore[misc]
    refunded = sum(Decimal(charge["amount_refunded"] or 0) for charge in paid)
    assert sum(row["amount_refunded"] for row in rows("refunds")) == refunded  # type: ignore[misc]
    active = [one for one in ACCOUNT["subscriptions"] if one["status"] in {"active", "trialing"}]
    assert sum(row["active"] for row in rows("active_subscriptions")) == len(active)  # type: ignore[misc]


def test_the_queries_tell_deleted_rows_and_what_the_last_run_wrote(warehouse: Warehouse) -> None:
    keys = [charge["charge_id"] for charge in ACCOUNT["charges"]]
    gone, waiting = set(keys[:3]), set(keys[3:5])
    age = "UPDATE columns.charges SET _sdc_sync_started_at = _sdc_sync_started_at - 86400000::bigint * %s"
    with warehouse.postgres.connect() as connection, connection.transaction(force_rollback=True):
        for some, days in ((gone, 32), (waiting, 30)):
            connection.execute(f"{age} WHERE charge_id = ANY(%s)", [days, list(some)])
        found = report.run_query(connection, "columns", "deleted_rows")[1]
        every_run_whole = report.run_query(connection, "columns", "deleted_rows", days=0)[1]
        loaded = {row[0]: row[2:] for row in report.run_query(connection, "columns", "last_run")[1]}
    assert {row[:2] for row in found} == {("charges", key) for key in gone}
    assert {key for _, key, _ in every_run_whole} == gone | waiting
    assert loaded == {name: (len(ACCOUNT[name]), len(ACCOUNT[name])) for name in STREAMS} | {"charges": (115, 120)}
