"""Prints what Airflow reads in a folder of DAGs, as JSON: run by Airflow's own Python, not by the tests'."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag


def describe(folder: str) -> dict[str, Any]:
    """Return the errors, and the facts of each DAG and its tasks that the tests hold."""
    # As Airflow itself does for what it calls a bundle.
    sys.path.insert(0, folder)
    bag = DagBag(folder)
    return {
        "errors": bag.import_errors,
        "dags": {
            name: {
                "schedule": dag.schedule,
                "catchup": dag.catchup,
                "max_active_runs": dag.max_active_runs,
                "dagrun_timeout": dag.dagrun_timeout.total_seconds(),
                "tasks": {
                    task.task_id: {
                        "mapped": task.is_mapped,
                        "retries": task.retries,
                        "retry_seconds": task.retry_delay.total_seconds(),
                        "longest_wait": task.max_retry_delay.total_seconds(),
                        "exponential": bool(task.retry_exponential_backoff),
                        "execution_timeout": task.execution_timeout and task.execution_timeout.total_seconds(),
                        "upstream": sorted(task.upstream_task_ids),
                        "templates": list(task.template_fields),
                    }
                    for task in dag.tasks
                },
            }
            for name, dag in bag.dags.items()
        },
    }


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(describe(sys.argv[1])), encoding="utf-8")
