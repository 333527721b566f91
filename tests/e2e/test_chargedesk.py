"""ChargeDesk through Meltano, INCREMENTAL: a first load that dies half-way, and a night that re-reads old records."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.loaders import Warehouse
from tests.support.meltano import KeptState, end
from tests.support.waiting import SOON, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.e2e.conftest import ProjectMaker
    from tests.fake_api.log import LoggedRequest
    from tests.support.meltano import Project
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano

DAY = 86_400
YEARS = 5 * 365 * DAY
SIZES = {**dict.fromkeys(STREAMS, 90), "charges": 6_000, "customers": 400}
INCREMENTAL = ("run", "tap-payments--chargedesk-incremental", "target-postgres")
# A STATE goes out after four of the loader's batches.
BATCH = 125


@contextmanager
def held(api: FakeAPI, project: Project) -> Iterator[subprocess.Popen[str]]:
    """Run Meltano and hold the API once 2,000 charges were served."""
    reached, released = threading.Event(), threading.Event()
    served = sum(request.records for request in api.requests_for("charges"))

    def hold(_: FakeAPI, __: LoggedRequest, ___: dict[str, str]) -> None:
        now = sum(request.records for request in api.requests_for("charges"))
        if now - served >= 2_000 and not released.is_set():
            reached.set()
            released.wait(2 * SOON)

    api.before_each(hold)
    process = project.start(*INCREMENTAL, settings={"TARGET_POSTGRES_BATCH_SIZE_ROWS": str(BATCH)})
    try:
        assert reached.wait(2 * SOON), "the tap did not come that far"
        yield process
    finally:
        released.set()
        end(process)


def test_a_first_load_that_dies_twice_goes_on_and_a_charge_of_last_year_is_refunded_in_the_table(
    make_project: ProjectMaker, postgres: Postgres
) -> None:
    now = int(time.time())
    account = make_account(**SIZES, start=now - YEARS, end=now - 2 * DAY, php=True)
    with FakeAPI(account, provider="chargedesk", username="sk_live_example", password="") as api:
        project, warehouse = make_project("chargedesk", api), Warehouse(postgres, "chargedesk")
        # The pace has tests of its own.
        project.environment |= {"TAP_PAYMENTS_REQUESTS_PER_MINUTE": "1000000"}
        state = KeptState(project, "prod:tap-payments--chargedesk-incremental-to-target-postgres")

        # The tap alone is killed.
        with held(api, project) as process:
            wait_until(state.read, 2 * SOON)
            for child in psutil.Process(process.pid).children(recursive=True):
                if "bin/tap-payments" in " ".join(child.cmdline()):
                    child.kill()
            output, _ = process.communicate(timeout=2 * SOON)
        assert process.returncode == 1, output
        kept, arrived = state.read(), set(warehouse.rows("charges"))
        assert 4 * BATCH <= len(arrived) < SIZES["charges"]

        # Meltano itself is stopped, as an orchestrator does it.
        with held(api, project) as process:
            wait_until(lambda: state.read() != kept, 2 * SOON)
            process.terminate()
            output, _ = process.communicate(timeout=2 * SOON)
        assert process.returncode == 143, output
        # The first STATE says what is still due, so it may be kept before a new row is.
        assert arrived <= set(warehouse.rows("charges"))

        output = project.run("schedule", "run", "chargedesk-nightly")
        assert warehouse.counts() == SIZES
        sent = re.search(r"Run complete.*charges: ([\d,]+) records", output)
        assert sent is not None
        assert int(sent[1].replace(",", "")) < SIZES["charges"] - 1_000
        assert api.username not in output
        assert "of them re-read" not in output
        bookmarks = state.read()
        first = bookmarks["charges"]
        assert first["oldest"] < now - 4 * YEARS // 5
        assert first["reread_position"] is None

        times = {key: int(api.account["charges"].record(key)["occurred"]) for key in api.account.keys("charges")}
        refunded = min(times, key=lambda key: abs(times[key] - (now - YEARS // 5)))
        api.account.update("charges", refunded, {"status": "refunded", "amount_refunded": "12.34"})
        # Nothing but the time of the last re-reading depends on the clock. The STATE is merged with what is kept.
        for bookmark in bookmarks.values():
            if bookmark.get("reread_time") is not None:
                bookmark["reread_time"] -= 28 * DAY
        state.write(bookmarks)
        assert "of them re-read" in project.run(*INCREMENTAL, "--state-strategy", "merge")
        row, later = warehouse.rows("charges")[refunded], state.read()["charges"]
        assert (row["status"], str(row["amount_refunded"])) == ("refunded", "12.34")
        assert later["reread_position"] > first["oldest"]
        assert now <= later["reread_time"] <= time.time()
        assert later["replication_key_value"] == first["replication_key_value"]
        assert warehouse.counts() == SIZES
