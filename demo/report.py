"""The demo's tables: the number of rows, and the results of the queries in `docs/queries`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import sql

from tap_payments.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

MONTHS = 6
# The days that `deleted_rows.sql` waits for a row to be read again.
DAYS = 31
QUERIES = Path(__file__).resolve().parent.parent / "docs" / "queries"


def run_query(
    connection: psycopg.Connection[Any], schema: str, name: str, *, days: int = DAYS
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run a query of `docs/queries`.

    Args:
        connection: The database.
        schema: The schema that the tables are in.
        name: The name of the query's file, without its ending.
        days: The days to write in place of the query's own.

    Returns:
        The names of the columns, and the rows.
    """
    with connection.transaction():
        connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(schema)))
        query = (QUERIES / f"{name}.sql").read_text(encoding="utf-8").replace(f"'{DAYS} days'", f"'{days} days'")
        cursor = connection.execute(query.encode())
        return [column.name for column in cursor.description or ()], cursor.fetchall()


def format_query(
    connection: psycopg.Connection[Any], schema: str, name: str, *, days: int = DAYS, limit: int = 8
) -> str:
    """Write the result of a query of `docs/queries` as a table.

    Args:
        connection: The database.
        schema: The schema that the tables are in.
        name: The name of the query's file, without its ending.
        days: The days to write in place of the query's own.
        limit: Maximum number of rows.
    """
    columns, rows = run_query(connection, schema, name, days=days)
    return aligned([columns, *([_cell(value) for value in row] for row in rows[:limit])])


def format_last_run(connection: psycopg.Connection[Any], schema: str, sent: Mapping[str, int]) -> str:
    """Write a table that holds the rows that the last run wrote against the records that it sent."""
    rows = run_query(connection, schema, "last_run")[1]
    lines = [[name, f"{sent.get(name, 0):,}", f"{written:,}", f"{count:,}"] for name, _, written, count in rows]
    return aligned([["table", "records sent", "last_run", "rows"], *lines])


def count_rows(connection: psycopg.Connection[Any], schema: str) -> dict[str, int]:
    """Count the rows of each table; one that is not there has none."""
    rows = {}
    for stream in STREAMS:
        exists = connection.execute("SELECT to_regclass(%s)", [f"{schema}.{stream}"]).fetchone()
        if exists is None or exists[0] is None:
            rows[stream] = 0
            continue
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, stream))
        found = connection.execute(query).fetchone()
        rows[stream] = found[0] if found else 0
    return rows


def format_rows(before: Mapping[str, int], now: Mapping[str, int]) -> str:
    """Write a table of the number of rows before the run and now."""
    rows = [[stream, f"{before[stream]:,}", f"{now[stream]:,}"] for stream in STREAMS]
    return aligned([["table", "rows before", "rows now"], *rows])


def format_revenue(connection: psycopg.Connection[Any], schema: str) -> str:
    """Write a table of revenue: a row for each of the latest months, a column for each currency."""
    rows = run_query(connection, schema, "revenue_by_month")[1]
    months, codes = sorted({month for month, _, _ in rows})[-MONTHS:], sorted({code for _, code, _ in rows})
    cells = {(month, code): revenue for month, code, revenue in rows if month in months}
    places = {
        code: max((_places(cell) for (_, currency), cell in cells.items() if currency == code), default=0)
        for code in codes
    }
    total = {code: sum((cells.get((month, code), Decimal(0)) for month in months), Decimal(0)) for code in codes}
    return aligned(
        [
            ["month", *codes],
            *([month, *(_money(cells.get((month, code)), places[code]) for code in codes)] for month in months),
            ["total", *(_money(total[code], places[code]) for code in codes)],
        ]
    )


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Align columns, the first to the left and all others to the right, with a rule below the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(f"  {line}" for line in lines)


def _cell(value: object) -> str:
    """Write one value of a row."""
    return "-" if value is None else f"{value:,}" if isinstance(value, int | Decimal) else str(value)


def _places(amount: Decimal) -> int:
    """Count the decimals of an amount; two, if it has one."""
    exponent = amount.normalize().as_tuple().exponent
    decimals = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    return 2 if decimals == 1 else decimals


def _money(amount: Decimal | None, places: int) -> str:
    return "-" if amount is None else f"{amount:,.{places}f}"
