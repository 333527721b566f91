# ruff: noqa: INP001 -- a folder of DAGs is no package
"""Load every account of `orchestrate/accounts.yml` through Meltano: every night, one task per account.

The list is read when a run begins. Accounts are loaded side by side, as many as Airflow's settings and workers allow:
`meltano el` gives each run a folder of its own for catalog, configuration and state, which `meltano run` does not.

An account that takes longer than a night holds up no other: the next run begins all the same, and skips the account
for as long as it is being loaded.
"""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, BaseHook, BaseOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from payments_accounts import AccountsError, make_account, read_entries
from payments_lock import EXIT_HELD

if TYPE_CHECKING:
    from airflow.sdk import Context
    from payments_accounts import Account

PROJECT = os.environ.get("MELTANO_PROJECT_ROOT") or str(Path(__file__).resolve().parents[2])
LOCK = Path(__file__).resolve().with_name("payments_lock.py")
RETRIES = int(os.environ.get("PAYMENTS_RETRIES", "3"))
# Longer than the five minutes after which Meltano gives up a run whose process was killed.
RETRY_SECONDS = float(os.environ.get("PAYMENTS_RETRY_SECONDS", "330"))
LONGEST_WAIT = timedelta(hours=1)
# With the longest wait no more than the day between two runs.
LONGEST_TRY = timedelta(hours=23)


class Load(BaseOperator):  # type: ignore[misc]  # Airflow is not installed where types are checked
    """Load one account, with credentials that are looked up on the worker and kept nowhere.

    Args:
        account: The account's entry in the list.
        kwargs: Airflow's own.
    """

    # What is a template is shown to whoever may look at the task.
    template_fields = ()

    def __init__(self, *, account: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.account = make_account(account)
        self._process = SubprocessHook()

    def execute(self, context: Context) -> None:
        """Run Meltano under the lock of the account.

        Raises:
            AirflowSkipException: If the account is being loaded already.
            AirflowException: If the load failed, or if a retry finds that the account is being loaded already: how
                that ends is not known yet.
            AirflowFailException: If a retry would not help.
        """
        environment = {**os.environ, **self.account.environment(), **credentials(self.account)}
        command = [meltano_python(), str(LOCK), self.account.state_id, *self.account.command()]
        result = self._process.run_command(command, env=environment, cwd=PROJECT)
        if result.exit_code == EXIT_HELD and context["ti"].try_number == 1:
            raise AirflowSkipException(result.output)
        if result.exit_code == EXIT_HELD:
            raise AirflowException(result.output)
        if result.exit_code != 0:
            raise AirflowException(f"{self.account.name} was not loaded: exit code {result.exit_code}")

    def on_kill(self) -> None:
        """End Meltano, which keeps the bookmarks that it has."""
        self._process.send_sigterm()


def credentials(account: Account) -> dict[str, str]:
    """Return the credentials of an account from where its entry says that they are.

    Raises:
        AirflowFailException: If an environment variable is missing.
    """
    if account.connection:
        found = BaseHook.get_connection(account.connection)
        login, password = found.login or "", found.password or ""
        return account.credentials(login, password) if login else account.credentials(password, "")
    names = [account.username_variable, *([account.password_variable] if account.password_variable else [])]
    if missing := [name for name in names if name not in os.environ]:
        raise AirflowFailException(f"Set {' and '.join(missing)} where the tasks of {account.name} run")
    return account.credentials(*[os.environ[name] for name in names], *([""] if len(names) == 1 else []))


def meltano_python() -> str:
    """Return the Python that Meltano is installed in.

    Raises:
        AirflowFailException: If there is no Meltano.
    """
    if meltano := shutil.which("meltano"):
        return str(Path(meltano).resolve().with_name("python"))
    raise AirflowFailException("Put `meltano` on the PATH of the worker")


def list_accounts() -> list[dict[str, Any]]:
    """Return the entries of the list of accounts.

    Raises:
        AirflowFailException: If the list is invalid, or longer than Airflow allows.
    """
    try:
        entries = read_entries()
    except AccountsError as error:
        raise AirflowFailException(str(error)) from error
    longest = conf.getint("core", "max_map_length")
    if len(entries) > longest:
        raise AirflowFailException(
            f"The list has {len(entries)} accounts, and Airflow's max_map_length is {longest}: "
            "raise AIRFLOW__CORE__MAX_MAP_LENGTH for all of Airflow's processes"
        )
    return entries


with DAG(
    dag_id="payments",
    schedule="0 2 * * *",
    start_date=datetime(2025, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    # Each try ends, and the next begins, within a day. So at most RETRIES + 1 earlier runs go on when one begins.
    max_active_runs=RETRIES + 2,
    dagrun_timeout=timedelta(days=RETRIES + 1),
    default_args={
        "retries": RETRIES,
        "retry_delay": timedelta(seconds=RETRY_SECONDS),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": LONGEST_WAIT,
    },
    doc_md=__doc__,
    tags=["payments"],
):
    accounts = PythonOperator(task_id="accounts", python_callable=list_accounts)
    # Any command of Meltano brings its own database up to date, but two must not do so at once.
    meltano_database = BashOperator(
        task_id="meltano_database",
        bash_command="exec meltano job list",
        cwd=PROJECT,
        do_xcom_push=False,
        max_active_tis_per_dag=1,
    )
    load = Load.partial(
        task_id="load", execution_timeout=LONGEST_TRY, map_index_template="{{ task.account.name }}"
    ).expand(account=accounts.output)
    accounts >> meltano_database >> load
