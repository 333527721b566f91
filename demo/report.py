"""What the demo shows of the tables: how many rows, and what came in by month and currency."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

STREAMS = ("charges", "customers", "products", "subscriptions")
MONTHS = 6
# `occurred` is text, as the API sends it: Unix seconds.
REVENUE = """
    SELECT to_char(to_timestamp(occurred::bigint) AT TIME ZONE 'UTC', 'YYYY-MM') AS month,
           currency,
           sum(amount - amount_refunded) AS revenue
    FROM {schema}.charges
    WHERE is_paid AND to_timestamp(occurred::bigint) >= date_trunc('month', now()) - make_interval(months => %s)
    GROUP BY month, currency
"""


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
    """Write a table of how many rows there are, and how many there were before the run."""
    rows = [[stream, f"{before[stream]:,}", f"{now[stream]:,}"] for stream in STREAMS]
    return aligned([["table", "rows before", "rows now"], *rows])


def format_revenue(connection: psycopg.Connection[Any], schema: str) -> str:
    """Write a table of what was paid and not refunded: the latest months down, the currencies across."""
    query = sql.SQL(REVENUE).format(schema=sql.Identifier(schema))
    cells = {(month, code): revenue for month, code, revenue in connection.execute(query, [MONTHS - 1])}
    months, codes = sorted({month for month, _ in cells}), sorted({code for _, code in cells})
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
    """Put texts under each other: the first column to the left, all others to the right; a rule below the heads."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(f"  {line}" for line in lines)


def _places(amount: Decimal) -> int:
    """Count the decimals of an amount; two, if it has one."""
    exponent = amount.normalize().as_tuple().exponent
    decimals = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    return 2 if decimals == 1 else decimals


def _money(amount: Decimal | None, places: int) -> str:
    return "-" if amount is None else f"{amount:,.{places}f}"
