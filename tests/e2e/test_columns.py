"""The stream map that adds time stamps, and the queries of the documentation, on what was loaded."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from demo import report
from scripts.columns import STREAM_MAPS
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.loaders import pipe
from tests.support.tap_runs import tap_config

if TYPE_CHECKING:
    from tests.support.loaders import Warehouse
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano

ACCOUNT = make_account(**{**dict.fromkeys(STREAMS, 40), "charges": 120})


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
