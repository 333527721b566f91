"""The list of accounts: what it may say, and what becomes of it. Airflow is not needed for that."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.airflow.deployment import DAGS

if TYPE_CHECKING:
    from pathlib import Path

PLUGINS = {"extractor": "tap-payments", "loader": "target-postgres"}
DEFAULTS = {**PLUGINS, "streams": ["charges"], "retries": 1, "retry_seconds": 5}


def pools_of(folder: Path, *accounts: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run the program that prints the pools of these accounts."""
    file = folder / "accounts.yml"
    file.write_text(yaml.safe_dump({"defaults": DEFAULTS, "accounts": list(accounts)}), encoding="utf-8")
    return subprocess.run(
        [sys.executable, DAGS / "payments_accounts.py"],
        env={"PAYMENTS_ACCOUNTS": str(file)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_account_has_a_pool_of_one_slot(tmp_path: Path) -> None:
    printed = pools_of(
        tmp_path, {"name": "acme", "username_variable": "A"}, {"name": "globex", "connection": "globex_payments"}
    )
    pools = json.loads(printed.stdout)
    slots = {name: pool["slots"] for name, pool in pools.items()}
    assert slots == {"payments": 1, "payments_acme": 1, "payments_globex": 1}


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"name": "acme"}, "account 'acme': wants either `username_variable` or `connection`"),
        ({"name": "acme", "username_variable": "A", "connection": "a"}, "wants either"),
        ({"name": "acme", "username_variable": "A", "username": "sk"}, "account 'acme': unknown: username"),
        ({"username_variable": "A"}, "account '': missing: name"),
        ({"name": "Acme Inc", "username_variable": "A"}, "'Acme Inc' is not small letters"),
        ({"name": "acme", "username_variable": "A", "schema": "a-b"}, "'a-b' is not small letters"),
        ({"name": "globex", "username_variable": "A"}, "accounts.yml: the same name twice: globex"),
        ({"name": "acme", "username_variable": "A", "schema": "globex"}, "the same schema twice: globex"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(tmp_path: Path, entry: dict[str, Any], told: str) -> None:
    printed = pools_of(tmp_path, {"name": "globex", "connection": "globex_payments"}, entry)
    assert printed.returncode != 0
    assert told in printed.stderr.splitlines()[-1]
