"""A charge that is refunded long after it was made is refunded in PostgreSQL, by the nightly schedule alone."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_api.data import make_account
from tests.fake_api.server import FakeAPI
from tests.support.warehouse import Warehouse

if TYPE_CHECKING:
    from tests.e2e.conftest import ProjectMaker
    from tests.support.meltano import Project
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano

DAY = 86_400
YEAR = 365 * DAY
STATE_ID = "prod:tap-payments--chargedesk-incremental-to-target-postgres"
SIZES = {"charges": 900, "customers": 90, "products": 10, "subscriptions": 40}


def state_of(project: Project) -> dict[str, Any]:
    """Return what Meltano keeps."""
    output = project.run("--log-level", "critical", "state", "get", STATE_ID)
    state: dict[str, Any] = json.loads(output[output.index("{") : output.rindex("}") + 1])
    return state["singer_state"]  # type: ignore[no-any-return]


def let_days_pass(project: Project, state: dict[str, Any], days: float) -> None:
    """Make the time up to which re-reading is paid for so many days older: nothing else depends on the clock."""
    for bookmark in state["bookmarks"].values():
        if "reread_paid_until" in bookmark:
            bookmark["reread_paid_until"] -= int(days * DAY)
    project.run("state", "set", "--force", STATE_ID, json.dumps({"singer_state": state}))


def test_a_charge_that_is_refunded_after_a_year_is_refunded_in_the_table(
    make_project: ProjectMaker, postgres: Postgres
) -> None:
    now = int(time.time())
    account = make_account(**SIZES, start=now - 5 * YEAR, end=now - 2 * DAY, php=True)
    with FakeAPI(account, provider="chargedesk", username="sk_live_example", password="") as api:
        project, warehouse = make_project("refunded", api), Warehouse(postgres, "refunded")
        project.environment["TAP_PAYMENTS_REQUESTS_PER_MINUTE"] = "1000000"
        nightly = ("schedule", "run", "chargedesk-nightly")
        project.run(*nightly)
        assert warehouse.counts() == SIZES

        times = {key: int(api.account["charges"].record(key)["occurred"]) for key in api.account.keys("charges")}
        refunded = min(times, key=lambda key: abs(times[key] - (now - YEAR)))
        bookmark = state_of(project)["bookmarks"]["charges"]["replication_key_value"]
        api.account.update("charges", refunded, {"status": "refunded", "amount_refunded": "12.34"})

        # What is a year old in five years comes in the second half of a round.
        for arrives in (False, True):
            let_days_pass(project, state_of(project), 15)
            output = project.run(*nightly)
            assert "re-read" in output
            row = warehouse.rows("charges")[refunded]
            assert (row["status"] == "refunded") is arrives
        assert str(row["amount_refunded"]) == "12.34"
        assert warehouse.counts() == SIZES
        assert state_of(project)["bookmarks"]["charges"]["replication_key_value"] == bookmark


def test_meltano_keeps_how_far_re_reading_is(make_project: ProjectMaker, postgres: Postgres) -> None:
    now = int(time.time())
    account = make_account(**SIZES, start=now - 5 * YEAR, end=now - 2 * DAY, php=True)
    with FakeAPI(account, provider="chargedesk", username="sk_live_example", password="") as api:
        project, warehouse = make_project("kept", api), Warehouse(postgres, "kept")
        project.environment["TAP_PAYMENTS_REQUESTS_PER_MINUTE"] = "1000000"

        kept: dict[str, Any] = {}

        def run(*options: str) -> dict[str, Any]:
            """Run a night, three days after the one before, and return what Meltano keeps of charges then."""
            if kept:
                let_days_pass(project, kept, 3)
            project.run("run", *options, "tap-payments--chargedesk-incremental", "target-postgres")
            kept.update(state_of(project))
            bookmark: dict[str, Any] = dict(kept["bookmarks"]["charges"])
            assert now <= bookmark["reread_paid_until"] <= time.time()
            return bookmark

        first = run()
        later = run()
        assert later["reread_position"] > first["reread_oldest"] > first["reread_position"]
        # A run whose STATE is merged with what is kept, and one after it that finds both.
        merged = run("--state-strategy", "merge")
        assert merged["reread_position"] > later["reread_position"]
        after = run()
        assert after["reread_position"] > merged["reread_position"]
        anew = run("--full-refresh")
        assert {**anew, "reread_paid_until": 0} == {**first, "reread_paid_until": 0}
        assert run("--full-refresh", "--state-strategy", "merge")["reread_position"] == first["reread_position"]
        assert warehouse.counts() == SIZES
