"""The tables in PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import dict_row

from tests.fake_api.providers import STREAMS

if TYPE_CHECKING:
    from tests.support.postgres import Postgres


@dataclass(frozen=True)
class Warehouse:
    """The tables of one schema.

    Attributes:
        postgres: The server.
        schema: The schema.
    """

    postgres: Postgres
    schema: str

    def rows(self, table: str) -> dict[str, dict[str, Any]]:
        """Return a table's rows by their keys, without the columns that the target adds.

        Raises:
            AssertionError: If a key comes twice.
        """
        key = STREAMS[table].key
        with self.postgres.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(self.schema, table))).fetchall()
        rows = {row[key]: {name: value for name, value in row.items() if not name.startswith("_sdc_")} for row in found}
        assert len(rows) == len(found)
        return rows

    def counts(self) -> dict[str, int]:
        """Count the rows of each table."""
        return {stream: len(self.rows(stream)) for stream in STREAMS}

    def types(self, table: str) -> dict[str, str]:
        """Return the type of each column."""
        query = (
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
        )
        with self.postgres.connect() as connection:
            return dict(connection.execute(query, [self.schema, table]).fetchall())
