"""Print what a target wrote, as JSON; runs in the target's own environment, which has the library for it.

Usage: `readback.py KIND STREAM FILE ...`. The answer has the rows of the stream and, where the file declares
types, the type of each column.
"""

from __future__ import annotations

import csv
import gzip
import json
import sqlite3
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

Read = tuple[list[Any], dict[str, str]]


def read_json(stream: str, file: Path) -> Read:
    """Read JSON values one after the other: records, Singer messages, or the requests of target-stitch."""
    raw = file.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
    text = text.strip()
    decoder, rows, index = json.JSONDecoder(), [], 0
    while index < len(text):
        value, index = decoder.raw_decode(text, index)
        while text[index : index + 1].isspace():
            index += 1
        for item in value if isinstance(value, list) else [value]:
            if "table_name" in item:
                if item["table_name"] == stream:
                    rows += [message["data"] for message in item["messages"] if "data" in message]
            elif item.get("type", "RECORD") == "RECORD":
                rows.append(item.get("record", item))
    return rows, {}


def read_csv(_: str, file: Path) -> Read:
    """Read a CSV file with a header."""
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened)), {}


def read_sqlite(stream: str, file: Path) -> Read:
    """Read a table of SQLite."""
    with sqlite3.connect(file) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute(f'SELECT * FROM "{stream}"')]
        return rows, {row[1]: row[2] for row in connection.execute(f'PRAGMA table_info("{stream}")')}


def read_duckdb(stream: str, file: Path) -> Read:
    """Read a table of DuckDB, in the schema `payments`."""
    duckdb: Any = import_module("duckdb")
    with duckdb.connect(str(file)) as connection:
        cursor = connection.execute(f'SELECT * FROM payments."{stream}"')
        names = [column[0] for column in cursor.description]
        types = {column[0]: str(column[1]) for column in cursor.description}
        return [dict(zip(names, row)) for row in cursor.fetchall()], types  # noqa: B905 -- runs on Python 3.9


def read_parquet(_: str, file: Path) -> Read:
    """Read a Parquet file."""
    parquet: Any = import_module("pyarrow.parquet")
    table = parquet.ParquetFile(str(file)).read()
    return table.to_pylist(), {field.name: str(field.type) for field in table.schema}


def read_avro(_: str, file: Path) -> Read:
    """Read an Avro file."""
    fastavro: Any = import_module("fastavro")
    with file.open("rb") as opened:
        reader = fastavro.reader(opened)
        declared = {field["name"]: field["type"] for field in reader.writer_schema["fields"]}
        types = {name: str(kind[0] if isinstance(kind, list) else kind) for name, kind in declared.items()}
        return list(reader), types


READERS = {
    "json": read_json,
    "csv": read_csv,
    "sqlite": read_sqlite,
    "duckdb": read_duckdb,
    "parquet": read_parquet,
    "avro": read_avro,
}


def main(kind: str, stream: str, *files: str) -> None:
    """Print rows and types."""
    rows: list[Any] = []
    types: dict[str, str] = {}
    for file in files:
        more, types = READERS[kind](stream, Path(file))
        rows += more
    sys.stdout.write(json.dumps({"rows": rows, "types": types}, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
