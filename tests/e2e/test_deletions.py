"""Records that are gone: deleted by a run that came to its end, and by no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fake_api.data import make_account
from tests.fake_api.server import FakeAPI
from tests.support.killed_runs import kill_tap_after
from tests.support.warehouse import Warehouse

if TYPE_CHECKING:
    from tests.e2e.conftest import ProjectMaker
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano

RUN = ("run", "tap-payments", "target-postgres")


def test_only_a_run_that_came_to_its_end_deletes(make_project: ProjectMaker, postgres: Postgres) -> None:
    sizes = {"charges": 1600, "products": 30, "customers": 120, "subscriptions": 12}
    with FakeAPI(make_account(**sizes, php=False)) as api:
        project, warehouse = make_project("deletions", api), Warehouse(postgres, "deletions")
        project.environment |= {
            "TAP_PAYMENTS_EMIT_ACTIVATE_VERSION_MESSAGES": "true",
            "TAP_PAYMENTS_PAGE_OVERLAP": "1",
            "TARGET_POSTGRES_HARD_DELETE": "true",
        }
        project.run(*RUN)
        assert warehouse.counts() == sizes

        gone = api.account.keys("charges")[100:140]
        for key in gone:
            api.account.delete("charges", key)
        kill_tap_after(project, api, "charges", 3, *RUN)
        assert warehouse.counts() == sizes

        project.run(*RUN)
        assert warehouse.counts() == {**sizes, "charges": 1560}
        assert not set(gone) & set(warehouse.rows("charges"))
