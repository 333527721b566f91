# ruff: noqa: INP001 -- a folder of DAGs is no package
"""Reads every account of `orchestrate/accounts.yml` through Meltano: one task per account and stream.

`payments` runs every night but Sunday's, `payments_full` on that one, with `--full-refresh`, since INCREMENTAL streams
see changes only within `lookback_days`.

An account has a pool of one slot: its key is limited to a rate, which each run of the tap keeps by itself. Accounts
run side by side, as many as the executor has room for. That is safe, as `meltano el` gives each run a folder of its
own for catalog, configuration and state, which `meltano run` does not.
"""

from __future__ import annotations

import os
import shlex
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, BaseHook, TaskGroup
from airflow.sdk.exceptions import AirflowFailException
from payments_accounts import COMMON_POOL, read_accounts

if TYPE_CHECKING:
    from airflow.sdk import Context
    from payments_accounts import Account

ACCOUNTS = read_accounts()
PROJECT = os.environ.get("MELTANO_PROJECT_ROOT") or str(Path(__file__).resolve().parents[2])


class Load(BashOperator):  # type: ignore[misc]  # Airflow is not there when types are checked
    """Loads one stream of one account, with credentials that are looked up on the worker and kept nowhere."""

    # Nothing here is a template, and what is one is shown to whoever may look at the task.
    template_fields = ()

    def __init__(self, *, account: Account, stream: str, full_refresh: bool, **kwargs: Any) -> None:
        command = ["meltano", "el", account.extractor, account.loader, "--state-id", account.state_id(stream)]
        command += ["--select", stream, *(["--full-refresh"] if full_refresh else [])]
        super().__init__(
            # Meltano takes the place of the shell, so that a signal reaches it.
            bash_command=f"exec {shlex.join(command)}",
            cwd=PROJECT,
            env=account.environment(),
            append_env=True,
            pool=account.pool,
            retries=account.retries,
            retry_delay=timedelta(seconds=account.retry_seconds),
            retry_exponential_backoff=True,
            max_retry_delay=timedelta(hours=1),
            **kwargs,
        )
        self.account = account

    def get_env(self, context: Context) -> dict[str, str]:
        """Return Meltano's environment, credentials included."""
        environment: dict[str, str] = super().get_env(context)
        return environment | credentials(self.account)


def credentials(account: Account) -> dict[str, str]:
    """Look up the credentials of an account where its entry says that they are.

    Raises:
        AirflowFailException: If an environment variable is not there; trying again would not help.
    """
    if account.connection:
        found = BaseHook.get_connection(account.connection)
        login, password = found.login or "", found.password or ""
        return account.credentials(login, password) if login else account.credentials(password, "")
    names = [account.username_variable, *([account.password_variable] if account.password_variable else [])]
    if missing := [name for name in names if name not in os.environ]:
        raise AirflowFailException(f"Set {' and '.join(missing)} where the tasks of {account.name} run")
    return account.credentials(*[os.environ[name] for name in names], *([""] if len(names) == 1 else []))


def make_dag(name: str, schedule: str, limit: timedelta, *, full_refresh: bool = False) -> DAG:
    """Make a DAG over all accounts.

    Args:
        name: Its name.
        schedule: When it runs, in UTC, as cron has it.
        limit: After how long a run is given up, so that one whose pools nobody made does not stop all others.
        full_refresh: Whether INCREMENTAL streams begin anew.
    """
    with DAG(
        dag_id=name,
        schedule=schedule,
        start_date=datetime(2025, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        max_active_runs=1,
        max_active_tasks=len(ACCOUNTS) or 1,
        dagrun_timeout=limit,
        doc_md=__doc__,
        tags=["payments"],
    ) as dag:
        # Any command of Meltano brings its own database up to date, but two must not do so at once.
        meltano_database = BashOperator(
            task_id="meltano_database",
            bash_command="exec meltano state list",
            cwd=PROJECT,
            pool=COMMON_POOL,
            retries=3,
            retry_delay=timedelta(minutes=1),
        )
        for account in ACCOUNTS:
            with TaskGroup(account.name):
                for stream in account.streams:
                    meltano_database >> Load(task_id=stream, account=account, stream=stream, full_refresh=full_refresh)
    return dag


make_dag("payments", "0 2 * * 1-6", timedelta(hours=23))
make_dag("payments_full", "0 2 * * 0", timedelta(days=6), full_refresh=True)
