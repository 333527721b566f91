"""SIGTERM to Meltano itself, as an orchestrator sends it: the next run goes on from the last bookmark that was kept."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.fake_api.data import make_account
from tests.fake_api.server import FakeAPI
from tests.support.meltano import end
from tests.support.warehouse import Warehouse

if TYPE_CHECKING:
    from tests.e2e.conftest import ProjectMaker
    from tests.fake_api.log import LoggedRequest
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano

DAY = 86_400
START = 1_500_000_000
SPAN = 5 * 365 * DAY
RECORDS = 6_000
LOOKBACK = 5 * DAY
# A STATE goes out after so many records: four of the loader's batches.
BATCH = 500
MERGES = 4
SECONDS_TO_WAIT = 120
INCREMENTAL = ("run", "tap-payments--chargedesk-incremental", "target-postgres")


def test_a_first_run_that_is_stopped_goes_on_from_a_kept_bookmark(
    make_project: ProjectMaker, postgres: Postgres
) -> None:
    account = make_account(charges=RECORDS, customers=20, start=START, end=START + SPAN, php=True)
    with FakeAPI(account, provider="chargedesk", username="sk_live_example", password="") as api:
        project, warehouse = make_project("stopped", api), Warehouse(postgres, "stopped")
        project.environment |= {
            "TAP_PAYMENTS_REQUESTS_PER_MINUTE": "1000000",
            "TAP_PAYMENTS_START_DATE": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START)),
            "TAP_PAYMENTS_LOOKBACK_DAYS": str(LOOKBACK // DAY),
            "TARGET_POSTGRES_BATCH_SIZE_ROWS": str(BATCH // MERGES),
        }
        reached, ended = threading.Event(), threading.Event()

        def watch(_: FakeAPI, request: LoggedRequest, __: dict[str, str]) -> None:
            # Half of the records are out, and the target has the time to load them.
            if int(request.params.get("occurred[min]", 0)) > START + SPAN // 2 and not ended.is_set():
                reached.set()
                ended.wait(SECONDS_TO_WAIT)

        api.before_each(watch)
        process = project.start(*INCREMENTAL)
        try:
            assert reached.wait(SECONDS_TO_WAIT), "the tap did not come that far"
            time.sleep(5)
            process.terminate()
            output, _ = process.communicate(timeout=SECONDS_TO_WAIT)
        finally:
            ended.set()
            end(process)
        assert process.returncode == 143, output
        arrived = warehouse.rows("charges")
        assert BATCH <= len(arrived) < RECORDS
        newest = max(int(row["occurred"]) for row in arrived.values())

        seen = len(api.requests)
        project.run(*INCREMENTAL)
        assert warehouse.counts() == {"charges": RECORDS, "customers": 20, "products": 0, "subscriptions": 0}
        bookmark = int(api.requests[seen].params["occurred[min]"]) + LOOKBACK
        # What was loaded behind the last full batch is read again, and what the window before it holds.
        times = sorted(int(record["occurred"]) for record in api.account.records("charges"))
        again = [moment for moment in times if bookmark < moment <= newest]
        assert START + LOOKBACK < bookmark <= newest
        assert len(again) <= 2 * BATCH
