"""Load a made-up account into PostgreSQL through Meltano, and query it: `make demo`."""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from demo import report
from tap_payments.streams import STREAMS
from tests.fake_api.data import make_account
from tests.fake_api.server import FakeAPI
from tests.support.meltano import ROOT, MeltanoError, Project, end
from tests.support.postgres import Postgres, PostgresError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

FOLDER = ROOT / ".run" / "demo"
SCHEMA = "payments"
SIZES = {"charges": 5000, "products": 40, "customers": 800, "subscriptions": 300}
DAY = 86_400
SPAN = 2 * 365 * DAY
LATENCY = 0.02
REFUNDED_EVERY = 100
DELETED_EVERY = 900
# The records of each list that the tap's summary counts.
SENT = re.compile(rf"\b({'|'.join(STREAMS)}): ([\d,]+) records?\b")
REPORTS = {
    "refunds": "Refunds, in whole or in part",
    "active_subscriptions": "Active subscriptions: the largest eight groups",
}
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

LOOK_FURTHER = """\
Look further (the server runs only as long as it is needed; its data stays in {folder}):
  make demo-psql                     psql on these tables, in the schema `{schema}`
  make demo                          again: some charges are refunded and others deleted since

Your own account:
  cp .env.example .env               then fill in your API's URL and credentials, and your PostgreSQL
  .venvs/meltano/bin/meltano config test tap-payments
  .venvs/meltano/bin/meltano run tap-payments target-postgres
For ChargeDesk, the plugin is `tap-payments--chargedesk` and all it needs is TAP_PAYMENTS_USERNAME.
"""


def show(text: str = "") -> None:
    """Write a line."""
    print(text, flush=True)  # noqa: T201 -- the demo is there to be read


def main() -> int:
    """Run the demo, or psql on what it left."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--psql", action="store_true", help="open psql on the tables of the last demo")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder for everything that the demo makes")
    given = parser.parse_args()
    for number in ENDING:
        signal.signal(number, _leave)
    try:
        with alone(given.folder):
            return psql(given.folder) if given.psql else demo(given.folder)
    except BrokenPipeError:
        # `make demo | head`: nothing can be written any more, at the interpreter's end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (MeltanoError, PostgresError, BlockingIOError) as error:
        show(f"The demo failed: {error}")
        return 1


def demo(folder: Path) -> int:
    """Load the account, and show what is in the tables."""
    show(f"A payments API on loopback with a made-up account: {_list_sizes()}.")
    with ExitStack() as stack:
        api = stack.enter_context(FakeAPI(_make_account(), username="demo", password="demo", latency=LATENCY))
        postgres = stack.enter_context(Postgres(folder / "postgres"))
        connection = stack.enter_context(postgres.connect())
        before = report.count_rows(connection, SCHEMA)
        if before["charges"]:
            show(f"Since the last run, {_refund_some(api)} charges were refunded, and {_delete_some(api)} deleted.")
        seconds, sent = _load(Project(folder, _settings(api, postgres)))
        show(f"Loaded {sum(sent.values()):,} records in {seconds:.0f} s, including start-up. In PostgreSQL:\n")
        show(report.format_rows(before, report.count_rows(connection, SCHEMA)))
        show("\nIs everything there? The rows that this run wrote, beside the records in the tap's summary:\n")
        show(report.format_last_run(connection, SCHEMA, sent))
        if before["charges"]:
            show("\nDeleted in the API: this run read all lists whole, but not the records of these rows:\n")
            show(report.format_query(connection, SCHEMA, "deleted_rows", days=0))
        show(f"\nRevenue (paid, less refunds) of the last {report.MONTHS} months:\n")
        show(report.format_revenue(connection, SCHEMA))
        for name, heading in REPORTS.items():
            show(f"\n{heading}:\n")
            show(report.format_query(connection, SCHEMA, name))
        show("\nThese are the queries of docs/queries/.\n")
        data = postgres.folder
    if data.is_relative_to(ROOT):
        data = data.relative_to(ROOT)
    show(LOOK_FURTHER.format(folder=data, schema=SCHEMA))
    return 0


def psql(folder: Path) -> int:
    """Print a connection string and open psql, which reads standard input if that is not a terminal."""
    if not Postgres(folder / "postgres").exists:
        raise PostgresError("nothing is loaded yet: run `make demo` first")
    with Postgres(folder / "postgres") as postgres:
        address = f"{postgres.user}:{postgres.password}@127.0.0.1:{postgres.port}/{postgres.database}"
        show(f"For another client, until psql ends: postgresql://{address}?options=-csearch_path%3D{SCHEMA}")
        environment = {**os.environ, **postgres.environment, "PGOPTIONS": f"-c search_path={SCHEMA}"}
        # Ctrl-C is for psql alone while it runs.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with subprocess.Popen([postgres.program("psql"), "--no-psqlrc"], env=environment) as process:
            try:
                return process.wait()
            finally:
                if process.poll() is None:
                    process.terminate()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second demo away from the first one's folder.

    Raises:
        BlockingIOError: If another demo is running.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                "its server is in use, by `make demo` or `make demo-psql` in another terminal"
            ) from None
        yield


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """Leave by way of everything that cleans up, which a second signal must not disturb."""
    for one in ENDING:
        signal.signal(one, signal.SIG_IGN)
    sys.exit(128 + number)


def _make_account() -> dict[str, list[dict[str, object]]]:
    """Make the account's lists; on one day they are always the same."""
    today = int(time.time()) // DAY * DAY
    return make_account(**SIZES, php=False, start=today - SPAN, end=today)


def _list_sizes() -> str:
    return ", ".join(f"{size:,} {stream}" for stream, size in SIZES.items())


def _refund_some(api: FakeAPI) -> int:
    """Refund charges in full, the newest among them."""
    paid = [charge for charge in api.account.records("charges") if charge["status"] == "successful"]
    refunded = paid[::REFUNDED_EVERY]
    for charge in refunded:
        changes = {"status": "refunded", "status_text": "Refunded", "amount_refunded": charge["amount"]}
        api.account.update("charges", charge["charge_id"], changes)
    return len(refunded)


def _delete_some(api: FakeAPI) -> int:
    """Delete charges."""
    deleted = api.account.keys("charges")[DELETED_EVERY // 2 :: DELETED_EVERY]
    for key in deleted:
        api.account.delete("charges", key)
    return len(deleted)


def _settings(api: FakeAPI, postgres: Postgres) -> dict[str, str]:
    """Return the settings as a user would: in environment variables."""
    return {
        "TAP_PAYMENTS_BASE_URL": api.url,
        "TAP_PAYMENTS_USERNAME": api.username,
        "TAP_PAYMENTS_PASSWORD": api.password,
        **postgres.target_settings,
    }


def _load(project: Project) -> tuple[float, dict[str, int]]:
    """Run Meltano and show the tap's log.

    Returns:
        The seconds that it took, and the records of each list that the tap sent.

    Raises:
        MeltanoError: If it fails.
    """
    words = ("run", "tap-payments", "target-postgres")
    show(f"\n$ meltano {' '.join(words)}")
    begun = time.monotonic()
    lines: list[str] = []
    sent: dict[str, int] = {}
    process = project.start(*words)
    try:
        for line in process.stdout or ():
            lines.append(line)
            _, is_of_tap, message = line.partition(" tap-payments ")
            # The summary comes last.
            sent |= {name: int(count.replace(",", "")) for name, count in SENT.findall(message)}
            if is_of_tap and ("Beginning sync" in message or "Run complete" in message):
                show(f"  {message.strip()}")
        code = process.wait()
    finally:
        end(process)
    if code != 0:
        raise MeltanoError(f"Meltano ended with {code}:\n{''.join(lines)}")
    return time.monotonic() - begun, sent


if __name__ == "__main__":
    sys.exit(main())
