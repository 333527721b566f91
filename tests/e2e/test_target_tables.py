"""Tables that are there already, and fields with any name, in the loader that `meltano.yml` installs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from psycopg import sql
from psycopg.rows import dict_row

from tests.support.loaders import EXACT, OF_THE_RUN, messages

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano
WAYS = pytest.mark.parametrize(("use_copy", "keyed"), [(True, True), (False, False)], ids=["copy", "insert, keyless"])

# PostgreSQL cuts names after so many bytes.
LIMIT = 63
NAMES = [
    *("vat%", "vat%%", "%(id)s", "%s", 'a"b', "a'b", "a:b", "a::b", "a.b", "a_b", "a(b)", "a[b]", "a b", "a\\b", "{a}"),
    *("$1", "?", "Text", "TEXT", "select", "a\nb", "a" * LIMIT, "ü" * 31 + "a", "🦊" * 15),
]
LONG_NAMES = [*(f"{'a' * LIMIT}{more}" for more in ("", "1", "2", "%")), "ü" * 32, "ü" * 33, "🦊" * 16]
HAND_MADE = """
    CREATE TYPE {0}.mood AS ENUM ('good', 'bad');
    CREATE DOMAIN {0}.small AS integer CHECK (VALUE < 10);
    ALTER TABLE {0}.things
        ADD COLUMN of_xml xml,
        ADD COLUMN of_enum {0}.mood NOT NULL DEFAULT 'good',
        ADD COLUMN of_enums {0}.mood[],
        ADD COLUMN of_domain {0}.small NOT NULL DEFAULT 1,
        ADD COLUMN of_words tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED,
        ADD COLUMN of_point point,
        ADD COLUMN of_range tstzrange,
        ADD COLUMN of_row {0}.things_of_row,
        ADD COLUMN counted bigint GENERATED ALWAYS AS IDENTITY,
        ADD COLUMN numbered serial,
        ADD COLUMN doubled numeric NOT NULL GENERATED ALWAYS AS (line * 2) STORED,
        ADD COLUMN moment timestamptz NOT NULL DEFAULT now();
"""


def rows(postgres: Postgres, schema: str) -> list[dict[str, Any]]:
    """Return the rows of the table of the `messages`, in their order."""
    query = sql.SQL("SELECT * FROM {} ORDER BY line").format(sql.Identifier(schema, "things"))
    with postgres.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchall()


@WAYS
@pytest.mark.parametrize("is_there", [True, False], ids=["added", "made with them"])
def test_a_field_may_have_any_name(postgres: Postgres, *, use_copy: bool, keyed: bool, is_there: bool) -> None:
    schema = f"names_{use_copy}_{is_there}".lower()
    loader = EXACT.using(use_copy=use_copy)
    names = NAMES + LONG_NAMES
    record = {name: f"value of {name}" for name in names}
    if is_there:
        loader.load(postgres, schema, messages([{"id": "0", "line": -1}], keyed=keyed))
    # The night after they are found in the table, also in another order.
    for line, order in enumerate((names, names[::-1])):
        loader.load(postgres, schema, messages([{**record, "id": f"{line}", "line": line}], keyed=keyed, more=order))
    *_, first, second = rows(postgres, schema)
    assert {name: first.get(name) for name in NAMES} == {name: record[name] for name in NAMES}
    assert set(record.values()) <= set(map(str, first.values()))
    assert {**second, **dict.fromkeys(OF_THE_RUN), "id": "0", "line": 0} == {**first, **dict.fromkeys(OF_THE_RUN)}


@WAYS
def test_columns_that_somebody_added_do_not_end_a_load(postgres: Postgres, *, use_copy: bool, keyed: bool) -> None:
    schema = f"by_hand_{use_copy}".lower()
    loader = EXACT.using(use_copy=use_copy)
    loader.load(postgres, schema, messages([{"text": "one"}], keyed=keyed))
    with postgres.connect() as connection:
        connection.execute(f"CREATE TYPE {schema}.things_of_row AS (a integer, b text)".encode())
        connection.execute(HAND_MADE.format(schema).encode())
    loader.load(postgres, schema, messages([{"text": "two"}, {"text": "three"}], keyed=keyed))
    found = [(row["text"], row["of_words"], row["doubled"], row["of_xml"]) for row in rows(postgres, schema)]
    expected = [("two", "'two':1", 0, None), ("three", "'three':1", 2, None)]
    assert sorted(found) == sorted(expected if keyed else [("one", "'one':1", 0, None), *expected])
