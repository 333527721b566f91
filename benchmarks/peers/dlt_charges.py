"""The same list read by dlt's rest_api source, configured as its documentation says.

`extract` fetches and stores the pages in dlt's own files, and no more; `load` takes them into PostgreSQL, merged on the
key. Runs in an environment of its own, which has dlt and nothing of this project.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import sys
from pathlib import Path

import dlt  # type: ignore[import-not-found,unused-ignore]  # installed for this script alone
from dlt.sources.rest_api import rest_api_source  # type: ignore[import-not-found,unused-ignore]


def main() -> int:
    """Extract or load the list."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("extract", "load"))
    parser.add_argument("url")
    parser.add_argument("folder", type=Path, help="where dlt may keep its files")
    parser.add_argument("--postgres", help="URL of the database to load into")
    parser.add_argument("--schema", default="dlt", help="PostgreSQL schema to load into")
    parser.add_argument("--no-child-tables", action="store_true", help="keep lists in one column")
    parser.add_argument("--limit-param", default="limit", help="query parameter for the size of a page")
    parser.add_argument("--show", action="store_true", help="write what was extracted")
    given = parser.parse_args()
    source = rest_api_source(
        {
            "client": {
                "base_url": given.url,
                "auth": {"type": "http_basic", "username": "sk_test_sandbox", "password": ""},
                "paginator": {
                    "type": "offset",
                    "limit": 500,
                    "limit_param": given.limit_param,
                    "total_path": None,
                    "stop_after_empty_page": True,
                },
            },
            "resources": [
                {
                    "name": "charges",
                    "primary_key": "charge_id",
                    "write_disposition": "merge",
                    "endpoint": {"path": "charges", "data_selector": "data"},
                }
            ],
        },
        name="payments",
        max_table_nesting=0 if given.no_child_tables else None,
    )
    loads = given.what == "load"
    pipeline = dlt.pipeline(
        "payments",
        pipelines_dir=str(given.folder),
        destination=dlt.destinations.postgres(given.postgres) if loads else None,
        dataset_name=given.schema if loads else None,
    )
    if loads:
        pipeline.run(source).raise_on_failed_jobs()
        return 0
    pipeline.extract(source)
    if given.show:
        for path in given.folder.rglob("charges*.typed-jsonl.gz"):
            with gzip.open(path) as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
