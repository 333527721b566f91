"""Descriptions of each stream in the README, `meltano.yml` and the queries."""

from __future__ import annotations

import re
from pathlib import Path

from tap_payments.streams import STREAMS

QUERIES = Path(__file__).parents[1] / "docs" / "queries"
# One SELECT a table stands between these lines of a query; the first one names the columns.
TABLES = re.compile(r"(?<=^WITH loaded AS \(\n).*?(?=^\), runs AS)", re.DOTALL | re.MULTILINE)
COLUMNS = {
    "deleted_rows": [("{key}", "key"), ("to_timestamp(_sdc_sync_started_at / 1000.0)", "last_read")],
    "last_run": [("_sdc_sync_started_at", "run")],
}


def table() -> str:
    """Return the README's table of streams."""
    rows = ["| stream | key | can be INCREMENTAL by |", "| --- | --- | --- |"]
    for name, stream in STREAMS.items():
        keys = ", ".join(f"`{key}`" for key in stream.valid_replication_keys) or "(always FULL_TABLE)"
        rows.append(f"| `{name}` | `{stream.primary_keys[0]}` | {keys} |")
    return "\n".join(rows) + "\n"


def incremental() -> str:
    """Return the metadata of the INCREMENTAL extractor in `meltano.yml`."""
    names = [name for name, stream in STREAMS.items() if stream.valid_replication_keys]
    return "".join(f"      {name}:\n        replication-method: INCREMENTAL\n" for name in names)


def queries() -> dict[str, str]:
    """Return the path of each query with its text, in which every stream has its table."""
    found = {}
    for file in sorted(QUERIES.glob("*.sql")):
        text = file.read_text(encoding="utf-8")
        if file.stem in COLUMNS:
            text = TABLES.sub(_tables(COLUMNS[file.stem]), text)
        found[f"docs/queries/{file.name}"] = text
    return found


def _tables(columns: list[tuple[str, str]]) -> str:
    """Return one SELECT a table."""
    selects: list[str] = []
    for name, stream in STREAMS.items():
        named = [(f"'{name}'", '"table"'), *((value.format(key=stream.primary_keys[0]), of) for value, of in columns)]
        words = ", ".join(value if selects else f"{value} AS {of}" for value, of in named)
        selects.append(f"    SELECT {words} FROM {name}\n")  # noqa: S608 -- names of the package's own
    return "    UNION ALL\n".join(selects)
