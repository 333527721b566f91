# ruff: noqa: INP001 -- a folder of DAGs is no package
"""The list of accounts that the DAG `payments` loads. It needs no Airflow."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

# The environment variable that names another list than the one beside this folder.
LIST_VARIABLE = "PAYMENTS_ACCOUNTS"
# Valid as the name of a schema and as a state id.
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
SECRET_SETTINGS = ("hash_key", "password", "username")
# Written in C, where PyYAML was built with it: a list of thousands is read in a tenth of the time.
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class AccountsError(Exception):
    """The list is invalid; the text says where and why."""


@dataclass(frozen=True)
class Account:
    """One account; `orchestrate/accounts.yml` tells what its fields mean."""

    name: str
    extractor: str
    loader: str
    streams: tuple[str, ...] = ()
    schema: str = ""
    username_variable: str = ""
    password_variable: str = ""
    connection: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def state_id(self) -> str:
        """The name under which Meltano keeps the state of the account, and under which it is locked."""
        return self.name

    def command(self) -> list[str]:
        """Return the command that loads the account."""
        selected = [word for stream in self.streams for word in ("--select", stream)]
        return ["meltano", "el", self.extractor, self.loader, "--state-id", self.state_id, *selected]

    def environment(self) -> dict[str, str]:
        """Return the settings of this account for Meltano, secrets excepted."""
        schema = self.loader.upper().replace("-", "_") + "_DEFAULT_TARGET_SCHEMA"
        return {_setting(name): _text(value) for name, value in self.settings.items()} | {schema: self.schema}

    def credentials(self, username: str, password: str) -> dict[str, str]:
        """Return the credentials for Meltano."""
        return {_setting("username"): username, _setting("password"): password}


def read_entries(file: Path | None = None) -> list[dict[str, Any]]:
    """Return the entries of the list, defaults included: `file`, `PAYMENTS_ACCOUNTS`, or `orchestrate/accounts.yml`.

    Raises:
        AccountsError: If the list is invalid.
    """
    here = Path(__file__).resolve().parent.parent / "accounts.yml"
    file = file or Path(os.environ.get(LIST_VARIABLE) or here)
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader) or {}  # noqa: S506 -- either loader is a safe one
    except (OSError, yaml.YAMLError) as error:
        raise AccountsError(f"{file} cannot be read: {error}") from error
    defaults = content.get("defaults") or {}
    entries = [{**defaults, **entry} for entry in content.get("accounts") or []]
    accounts = [make_account(entry) for entry in entries]
    for what in ("name", "schema"):
        counts = Counter(getattr(account, what) for account in accounts)
        if twice := sorted(value for value, count in counts.items() if count > 1):
            raise AccountsError(f"{file.name}: the same {what} twice: {', '.join(twice)}")
    return entries


def make_account(entry: dict[str, Any]) -> Account:
    """Return the account that an entry of the list describes.

    Raises:
        AccountsError: If the entry is invalid.
    """
    name = str(entry.get("name", ""))
    known = {one.name: one for one in fields(Account)}
    required = {one.name for one in fields(Account) if one.default is MISSING and one.default_factory is MISSING}
    if unknown := sorted(entry.keys() - known.keys()):
        raise AccountsError(f"account {name!r}: unknown: {', '.join(unknown)}")
    if missing := sorted(required - entry.keys()):
        raise AccountsError(f"account {name!r}: missing: {', '.join(missing)}")
    if bool(entry.get("connection")) is bool(entry.get("username_variable")):
        raise AccountsError(f"account {name!r}: wants either `username_variable` or `connection`")
    if secret := [setting for setting in SECRET_SETTINGS if setting in (entry.get("settings") or {})]:
        raise AccountsError(f"account {name!r}: secrets do not belong into `settings`: {', '.join(secret)}")
    account = Account(**{**entry, "streams": tuple(entry.get("streams") or ()), "schema": entry.get("schema") or name})
    for value in (account.name, account.schema):
        if not NAME.fullmatch(value):
            raise AccountsError(f"account {name!r}: {value!r} is not small letters, digits and underscores")
    return account


def _setting(name: str) -> str:
    """Return the variable of a setting; plugins that inherit from `tap-payments` read it too."""
    return f"TAP_PAYMENTS_{name.upper()}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
