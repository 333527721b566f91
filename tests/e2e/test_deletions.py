"""Records that are gone from the API are deleted from PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fake_api.data import make_account
from tests.fake_api.server import FakeAPI
from tests.support.loading import pipe
from tests.support.tap_runs import tap_config

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano


def test_a_run_that_came_to_its_end_deletes(postgres: Postgres) -> None:
    sizes = {"charges": 600, "products": 30, "customers": 120, "subscriptions": 12}
    with FakeAPI(make_account(**sizes, php=False)) as api:
        config = tap_config(api, emit_activate_version_messages=True, page_overlap=1)
        _, warehouse = pipe(config, postgres, "deletions", hard_delete=True)
        assert warehouse.counts() == sizes

        gone = api.account.keys("charges")[100:140]
        for key in gone:
            api.account.delete("charges", key)
        pipe(config, postgres, "deletions", hard_delete=True)
        assert warehouse.counts() == {**sizes, "charges": 560}
        assert not set(gone) & set(warehouse.rows("charges"))
