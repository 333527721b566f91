# ruff: noqa: INP001 -- a folder of DAGs is no package
"""The list of accounts: what the DAGs are made from, and the pools that they need.

Run as a program, it prints the pools, of one slot each, for `airflow pools import`. It needs no Airflow.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

# The environment variable that names another list than the one beside this folder.
LIST_VARIABLE = "PAYMENTS_ACCOUNTS"
# The pool of what is done once for all accounts.
COMMON_POOL = "payments"
# What is fit to be a schema, a pool and a part of a task's name alike.
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class AccountsError(Exception):
    """The list is not as it should be; the text says where and why."""


@dataclass(frozen=True)
class Account:
    """One account; `orchestrate/accounts.yml` tells what its fields mean."""

    name: str
    extractor: str
    loader: str
    streams: tuple[str, ...]
    retries: int
    retry_seconds: float
    schema: str = ""
    username_variable: str = ""
    password_variable: str = ""
    connection: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def pool(self) -> str:
        """The pool of one slot that keeps its tasks from running side by side: the rate is per key."""
        return f"{COMMON_POOL}_{self.name}"

    def state_id(self, stream: str) -> str:
        """Return the name under which Meltano keeps the state of a stream."""
        return f"{self.name}:{stream}"

    def environment(self) -> dict[str, str]:
        """Return the settings of this account for Meltano, secrets excepted."""
        schema = self.loader.upper().replace("-", "_") + "_DEFAULT_TARGET_SCHEMA"
        return {_setting(name): _text(value) for name, value in self.settings.items()} | {schema: self.schema}

    def credentials(self, username: str, password: str) -> dict[str, str]:
        """Return the credentials for Meltano."""
        return {_setting("username"): username, _setting("password"): password}


def read_accounts(file: Path | None = None) -> list[Account]:
    """Read the list: `file`, or what `PAYMENTS_ACCOUNTS` names, or `orchestrate/accounts.yml`.

    Raises:
        AccountsError: If the list is not as it should be.
    """
    here = Path(__file__).resolve().parent.parent / "accounts.yml"
    file = file or Path(os.environ.get(LIST_VARIABLE) or here)
    content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    defaults = content.get("defaults") or {}
    accounts = [_account({**defaults, **entry}) for entry in content.get("accounts") or []]
    for what in ("name", "schema"):
        values = [getattr(account, what) for account in accounts]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise AccountsError(f"{file.name}: the same {what} twice: {', '.join(twice)}")
    return accounts


def pools(accounts: list[Account]) -> dict[str, dict[str, Any]]:
    """Return the pools, in the form that `airflow pools import` reads."""
    described = {COMMON_POOL: "Meltano's own database"} | {one.pool: f"The key of {one.name}" for one in accounts}
    return {
        name: {"slots": 1, "description": description, "include_deferred": False}
        for name, description in described.items()
    }


def _account(entry: dict[str, Any]) -> Account:
    name = str(entry.get("name", ""))
    known = {one.name: one for one in fields(Account)}
    required = {one.name for one in fields(Account) if one.default is MISSING and one.default_factory is MISSING}
    if unknown := sorted(entry.keys() - known.keys()):
        raise AccountsError(f"account {name!r}: unknown: {', '.join(unknown)}")
    if missing := sorted(required - entry.keys()):
        raise AccountsError(f"account {name!r}: missing: {', '.join(missing)}")
    if bool(entry.get("connection")) is bool(entry.get("username_variable")):
        raise AccountsError(f"account {name!r}: wants either `username_variable` or `connection`")
    account = Account(**{**entry, "streams": tuple(entry["streams"]), "schema": entry.get("schema") or name})
    for value in (account.name, account.schema):
        if not NAME.fullmatch(value):
            raise AccountsError(f"account {name!r}: {value!r} is not small letters, digits and underscores")
    return account


def _setting(name: str) -> str:
    """Return the variable of a setting; plugins that inherit from `tap-payments` read it too."""
    return f"TAP_PAYMENTS_{name.upper()}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(pools(read_accounts()), indent=2) + "\n")
