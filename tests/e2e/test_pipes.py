"""The tap without Meltano: into the loader, and past a checker that shares no code with the SDK."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.in_process import run_in_process
from tests.support.loaders import pipe
from tests.support.meltano import ROOT
from tests.support.tap_runs import catalog_with, tap_config

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano

CHECKER = ROOT / ".venvs" / "singer-tools" / "bin" / "singer-check-tap"
SIZES = {**dict.fromkeys(STREAMS, 30), "charges": 600}


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


def test_tables_are_dropped_before_personal_data_changes(postgres: Postgres) -> None:
    with FakeAPI(make_account(**SIZES)) as api:
        pipe(tap_config(api), postgres, "changed_setting")
        hashed = tap_config(api, personal_data="hash", hash_key="a key: wörd $HOME")
        names = ", ".join(f"changed_setting.{name}" for name in STREAMS)
        with postgres.connect() as connection:
            connection.execute(f"TRUNCATE {names}".encode())
            with pytest.raises(AssertionError, match="Altering columns is not supported"):
                pipe(hashed, postgres, "changed_setting")
            connection.execute(f"DROP TABLE {names}".encode())
        _, warehouse = pipe(hashed, postgres, "changed_setting")
    assert warehouse.counts() == SIZES
    assert warehouse.types("charges")["metadata"] == "text"
    joined = "SELECT count(*) FROM changed_setting.charges JOIN changed_setting.customers USING (customer_id)"
    with postgres.connect() as connection:
        assert connection.execute(joined).fetchone() == (SIZES["charges"],)
