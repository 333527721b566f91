"""The list of accounts: what it may say, and what becomes of it. Airflow is not needed for that."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.airflow.deployment import DAGS
from tests.support.meltano import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DEFAULTS = {"extractor": "tap-payments", "loader": "target-postgres"}
PROGRAM = """
import json, payments_accounts
print(json.dumps([
    {"command": account.command(), "environment": account.environment()}
    for account in map(payments_accounts.make_account, payments_accounts.read_entries())
]))
"""


def read(file: Path) -> subprocess.CompletedProcess[str]:
    """Print what is run for each account of a list."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PAYMENTS_ACCOUNTS": str(file), "PYTHONPATH": str(DAGS)},
        capture_output=True,
        text=True,
        check=False,
    )


def read_accounts(folder: Path, *accounts: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Print what is run for each of these accounts."""
    file = folder / "accounts.yml"
    file.write_text(yaml.safe_dump({"defaults": DEFAULTS, "accounts": list(accounts)}), encoding="utf-8")
    return read(file)


def test_an_account_is_one_command_with_a_state_and_a_schema_of_its_own(tmp_path: Path) -> None:
    printed = read_accounts(
        tmp_path,
        {"name": "acme", "username_variable": "A", "settings": {"page_size": 100, "start_date": "2024-01-01"}},
        {"name": "globex", "connection": "globex_payments", "schema": "sales", "streams": ["charges", "products"]},
    )
    acme, globex = json.loads(printed.stdout)
    plugins = ["meltano", "el", "tap-payments", "target-postgres"]
    assert acme["command"] == [*plugins, "--state-id", "acme"]
    assert acme["environment"] == {
        "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": "acme",
        "TAP_PAYMENTS_PAGE_SIZE": "100",
        "TAP_PAYMENTS_START_DATE": "2024-01-01",
    }
    assert globex["command"] == [*plugins, "--state-id", "globex", "--select", "charges", "--select", "products"]
    assert globex["environment"] == {"TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": "sales"}


def test_the_list_that_comes_with_it_is_valid() -> None:
    file = ROOT / "orchestrate" / "accounts.yml"
    names = [entry["name"] for entry in yaml.safe_load(file.read_text(encoding="utf-8"))["accounts"]]
    assert [account["command"][5] for account in json.loads(read(file).stdout)] == names


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "acme"}, "account 'acme': wants either `username_variable` or `connection`"),
        ({"name": "acme", "username_variable": "A", "connection": "a"}, "wants either"),
        ({"name": "acme", "username_variable": "A", "username": "sk"}, "account 'acme': unknown: username"),
        ({"name": "acme", "username_variable": "A", "settings": {"password": "sk"}}, "into `settings`: password"),
        ({"username_variable": "A"}, "account '': missing: name"),
        ({"name": "Acme Inc", "username_variable": "A"}, "'Acme Inc' is not small letters"),
        ({"name": "acme", "username_variable": "A", "schema": "a-b"}, "'a-b' is not small letters"),
        ({"name": "globex", "username_variable": "A"}, "accounts.yml: the same name twice: globex"),
        ({"name": "acme", "username_variable": "A", "schema": "globex"}, "the same schema twice: globex"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(tmp_path: Path, entry: dict[str, Any], words: str) -> None:
    printed = read_accounts(tmp_path, {"name": "globex", "connection": "globex_payments"}, entry)
    assert printed.returncode != 0
    assert words in printed.stderr.splitlines()[-1]


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    printed = read(tmp_path / "none.yml")
    assert f"{tmp_path}/none.yml cannot be read: " in printed.stderr.splitlines()[-1]
