"""Execute the task of one account as Airflow does: run by Airflow's own Python, not by the tests'.

Arguments: the account's entry as JSON, and the number of the try. SIGTERM is what a worker that is told to end sends.
"""

from __future__ import annotations

import json
import signal
import sys
from types import SimpleNamespace

from airflow.sdk.exceptions import AirflowException
from payments import Load


def main(entry: str, number: str) -> None:
    """Print the error with which the task ends, if there is one."""
    load = Load(task_id="load", account=json.loads(entry))
    signal.signal(signal.SIGTERM, lambda *_: load.on_kill())
    try:
        load.execute({"ti": SimpleNamespace(try_number=int(number))})
    except AirflowException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
