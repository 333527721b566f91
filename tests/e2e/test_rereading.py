"""A charge that is refunded long after it was made is refunded in PostgreSQL, by the nightly schedule alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_api.data import make_account
from tests.fake_api.server import FakeAPI
from tests.support.meltano import KeptState
from tests.support.warehouse import Warehouse

if TYPE_CHECKING:
    from tests.e2e.conftest import ProjectMaker
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano

DAY = 86_400
YEAR = 365 * DAY
STATE_ID = "prod:tap-payments--chargedesk-incremental-to-target-postgres"
NIGHTLY = ("schedule", "run", "chargedesk-nightly")
INCREMENTAL = ("run", "tap-payments--chargedesk-incremental", "target-postgres")
SIZES = {"charges": 900, "customers": 90, "products": 10, "subscriptions": 40}


def let_days_pass(kept: KeptState, days: float) -> None:
    """Move the time of the last re-reading back: nothing else depends on the clock."""
    bookmarks = kept.read()
    for bookmark in bookmarks.values():
        if bookmark.get("reread_time") is not None:
            bookmark["reread_time"] -= int(days * DAY)
    kept.write(bookmarks)


def test_a_charge_that_is_refunded_after_a_year_is_refunded_in_the_table(
    make_project: ProjectMaker, postgres: Postgres
) -> None:
    now = int(time.time())
    account = make_account(**SIZES, start=now - 5 * YEAR, end=now - 2 * DAY, php=True)
    with FakeAPI(account, provider="chargedesk", username="sk_live_example", password="") as api:
        project, warehouse = make_project("refunded", api), Warehouse(postgres, "refunded")
        project.environment["TAP_PAYMENTS_REQUESTS_PER_MINUTE"] = "1000000"
        kept, nights = KeptState(project, STATE_ID), 0

        def run(*words: str) -> dict[str, Any]:
            """Run a night, two weeks after the one before, and return what Meltano keeps of charges then."""
            nonlocal nights
            if nights:
                let_days_pass(kept, 14)
            output = project.run(*words)
            assert ("of them re-read" in output) is bool(nights)
            nights += 1
            bookmark: dict[str, Any] = kept.read()["charges"]
            assert now <= bookmark["reread_time"] <= time.time()
            return bookmark

        first = run(*NIGHTLY)
        assert first["oldest"] < now - 4 * YEAR
        assert first["reread_position"] is None
        assert warehouse.counts() == SIZES
        times = {key: int(api.account["charges"].record(key)["occurred"]) for key in api.account.keys("charges")}
        refunded = min(times, key=lambda key: abs(times[key] - (now - YEAR)))
        api.account.update("charges", refunded, {"status": "refunded", "amount_refunded": "12.34"})

        # What is a year old in five years comes in the second half of a round. The STATE of the run before that is
        # merged with what is kept, and the one after it finds both.
        merged = run(*INCREMENTAL, "--state-strategy", "merge")
        assert merged["reread_position"] > first["oldest"]
        assert warehouse.rows("charges")[refunded]["status"] != "refunded"
        later = run(*NIGHTLY)
        assert later["reread_position"] > merged["reread_position"]
        row = warehouse.rows("charges")[refunded]
        assert (row["status"], str(row["amount_refunded"])) == ("refunded", "12.34")
        assert later["replication_key_value"] == first["replication_key_value"]
        assert warehouse.counts() == SIZES
