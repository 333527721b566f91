"""ChargeDesk through Meltano: past the largest offset, only what is new, and on from where a run died."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.fake_api.data import make_account, make_charges
from tests.fake_api.server import FakeAPI
from tests.support.killed_runs import kill_tap_after
from tests.support.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import ProjectMaker
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano

DAY = 86_400
YEARS = 5 * 365 * DAY
LOOKBACK = 30 * DAY
# As many requests as the tests like; the pace has tests of its own.
FAST = {"TAP_PAYMENTS_REQUESTS_PER_MINUTE": "1000000"}
INCREMENTAL = ("run", "tap-payments--chargedesk-incremental", "target-postgres")


def account_of(sizes: dict[str, int], newest: int) -> FakeAPI:
    """Make a fake API whose records fill the five years before the newest one."""
    account = make_account(**sizes, start=newest - YEARS, end=newest, php=True)
    return FakeAPI(account, provider="chargedesk", username="sk_live_example", password="")


@pytest.fixture
def newest() -> int:
    """Return a time not long ago."""
    return int(time.time()) - 10 * DAY


@pytest.fixture
def large(newest: int) -> Iterator[FakeAPI]:
    """Return an account with more subscriptions than the largest offset lets anyone read."""
    with account_of({"charges": 700, "customers": 60, "products": 20, "subscriptions": 10_900}, newest) as api:
        yield api


@pytest.fixture
def growing(newest: int) -> Iterator[FakeAPI]:
    with account_of({"charges": 6000, "customers": 400, "products": 20, "subscriptions": 90}, newest) as api:
        yield api


def test_an_account_beyond_the_largest_offset_is_read_whole(
    make_project: ProjectMaker, postgres: Postgres, large: FakeAPI
) -> None:
    project, warehouse = make_project("large", large), Warehouse(postgres, "large")
    project.run("run", "tap-payments--chargedesk", "target-postgres", settings=FAST)
    assert warehouse.counts() == {"charges": 700, "customers": 60, "products": 20, "subscriptions": 10_900}
    assert all(request.status == 200 for request in large.requests)
    assert {request.params.get("count") for request in large.requests} == {"500"}


def test_a_backfill_that_was_killed_goes_on_and_then_reads_only_what_is_new(
    make_project: ProjectMaker, postgres: Postgres, growing: FakeAPI, newest: int
) -> None:
    project, warehouse = make_project("growing", growing), Warehouse(postgres, "growing")
    start = newest - YEARS
    settings = {**FAST, "TAP_PAYMENTS_START_DATE": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start))}
    project.environment.update(settings)

    def first_windows(since: int) -> dict[str, int]:
        """Return where each incremental list was first asked to begin, from one request on."""
        begins: dict[str, int] = {}
        for request in growing.requests[since:]:
            field = "created" if request.stream == "subscriptions" else "occurred"
            lower = request.params.get(f"{field}[min]", request.params.get("first_seen[min]"))
            if request.stream != "products" and lower is not None:
                begins.setdefault(request.stream, int(lower))
        return begins

    kill_tap_after(project, growing, "charges", 8, *INCREMENTAL)
    assert first_windows(0) == {"charges": start}
    arrived = warehouse.rows("charges")
    assert 500 < len(arrived) < 6000
    seen = len(growing.requests)

    project.run(*INCREMENTAL)
    assert warehouse.counts() == {"charges": 6000, "customers": 400, "products": 20, "subscriptions": 90}
    bookmark = first_windows(seen)["charges"] + LOOKBACK
    assert start + LOOKBACK < bookmark <= max(int(row["occurred"]) for row in arrived.values())
    seen = len(growing.requests)

    # Within the look-back, an old charge changes; a new one is made; both are seen, and little else is asked for.
    times = {key: int(growing.account["charges"].record(key)["occurred"]) for key in growing.account.keys("charges")}
    changed = max(key for key, moment in times.items() if moment > max(times.values()) - LOOKBACK)
    growing.account.update("charges", changed, {"status": "refunded"})
    added = make_charges(1, seed=7, start=newest + DAY, end=newest + 2 * DAY, php=True)[0]
    growing.account.insert("charges", added)
    output = project.run(*INCREMENTAL)
    assert first_windows(seen)["charges"] == max(times.values()) - LOOKBACK
    # Of what is older, the part of the time since the last run is read again: the only requests with an upper end.
    charges = [request for request in growing.requests[seen:] if request.stream == "charges"]
    assert len(charges) <= 6
    assert len([request for request in charges if "occurred[max]" not in request.params]) <= 4
    rows = warehouse.rows("charges")
    assert len(rows) == 6001
    assert rows[changed]["status"] == "refunded"
    assert added["charge_id"] in rows
    assert growing.username not in output
