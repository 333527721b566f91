"""The loader of `meltano.yml`: the same tables as by the one that it is made from, whatever stands in them."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.rows import dict_row

from tests.support.loaders import EXACT, OF_THE_RUN, ORIGINAL, messages, table

if TYPE_CHECKING:
    from pathlib import Path

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

RECORDS: list[dict[str, Any]] = [
    {"amount": "34.00", "number": 1.5, "flag": True, "text": "plain", "at": "2024-02-29T23:59:59.123456+05:30"},
    {"amount": "12345678901234567890.1230", "number": -7, "flag": False, "text": "", "day": "1999-12-31"},
    {"amount": "-0.10", "number": 10**30, "text": "tab\there\nline\r\\N \\. \\\\", "clock": "23:59:59.5"},
    {"amount": "0", "number": 1e-9, "text": '\\u0000 is text, "quoted"', "words": [], "things": [], "thing": {}},
    {"amount": None, "text": "Łucja 🦊 \u2028", "words": ["a", 'b"c', "d,e", "{f}", "NULL", "", " g\\h"]},
    {"words": ["x", None], "things": [1, "2", None, [3.25, {"four": 5}]], "thing": {"a": {"b": [True, None, "ü"]}}},
    {"mixed": [None, "", '"\\', 1.50, True, [None], {"a": '{"b"}'}], "numbers": [10**20, 1.25], "flags": [True, False]},
    {"mixed": [], "numbers": [], "flags": [], "day": "0001-01-01", "at": "2024-02-29T23:59:59Z", "clock": "00:00"},
    {"text": "before\0after", "words": ["one\0two"], "thing": {"nul": "three\0four"}},
    {"thing": {"big": 10**25, "small": 1.25e-7, "none": None, "": " "}, "things": ["\t", "\\"], "unknown": "dropped"},
    # In UTC these are in the year 10000 and in 1 BC, which Python does not have.
    {"at": "9999-12-31T23:59:59-05:00"},
    {"at": "0001-01-01T00:00:00.5+14:00"},
]


@pytest.mark.parametrize("keyed", [True, False])
def test_every_type_arrives_as_with_the_original(postgres: Postgres, *, keyed: bool) -> None:
    # Deeper than the first level the original leaves a NUL, and PostgreSQL refuses it.
    records = [record for record in RECORDS if "nul" not in record.get("thing", {})]
    records.append({"text": "before\0after", "words": ["one\0two"], "thing": {"first": "three\0four"}})
    # Of one key there are some in batches of their own, and two in the last.
    later: list[dict[str, Any]] = [{"amount": "35.10", "text": "later"}, {"text": "later still"}, {"number": 8}]
    twice = [*records, *({"id": "key 0", **record} for record in later)]
    changed = [{"id": f"key {line}", "amount": f"{line}.50", "text": "changed"} for line in (0, 3, 4, 5)]
    runs = [messages(twice, keyed=keyed), messages(changed, keyed=keyed)]
    schemas = [f"types_{keyed}_{kind}".lower() for kind in ("original", "exact")]
    for loader, schema in zip((ORIGINAL, EXACT), schemas, strict=True):
        for lines in runs:
            loader.load(postgres, schema, lines)
    original, exact = (table(postgres, schema, "things") for schema in schemas)
    assert exact == original
    assert len(exact[1]) == (len(records) if keyed else len(twice) + len(changed))
    assert any("12345678901234567890.1230" in row for row in exact[1])


@pytest.mark.parametrize(("compression", "use_copy"), [("gzip", True), ("none", False)])
def test_files_of_batches_are_loaded_as_records_and_messages_may_come_from_a_file(
    postgres: Postgres, tmp_path: Path, compression: str, *, use_copy: bool
) -> None:
    schemas = [f"{name}_{compression}" for name in ("records", "batches")]
    # One key stands in both files, the record of the second is to stay.
    as_records = messages([*RECORDS, {"id": "key 1", "amount": "0.10", "text": "later"}]).splitlines(keepends=True)
    manifest = []
    for number, part in enumerate((as_records[1:6], as_records[6:])):
        content = b"".join(json.dumps(json.loads(line)["record"]).encode() + b"\n" for line in part)
        file = tmp_path / f"{number}.jsonl"
        file.write_bytes(gzip.compress(content) if compression == "gzip" else content)
        manifest.append(file.as_uri())
    batch = {"type": "BATCH", "stream": "things", "encoding": {"format": "jsonl", "compression": compression}}
    of_batches = as_records[0] + json.dumps({**batch, "manifest": manifest}).encode() + b"\n"
    loader, input_file = EXACT.using(use_copy=use_copy), tmp_path / "messages.jsonl"
    input_file.write_bytes(b"".join(as_records))
    loader.load(postgres, schemas[0], b"", "--input", str(input_file))
    loader.load(postgres, schemas[1], of_batches)
    # When a record was extracted is not in the file, so it is when its message came.
    never = f"SELECT count(*) FROM {schemas[1]}.things WHERE _sdc_extracted_at IS NULL".encode()
    with postgres.connect() as connection:
        assert connection.execute(never).fetchone() == (0,)
    as_wanted, as_found = (table(postgres, schema, "things", without=("_sdc_extracted_at",)) for schema in schemas)
    assert as_found == as_wanted
    assert len(as_found[1]) == len(RECORDS)


def test_nul_is_replaced_at_every_depth(postgres: Postgres) -> None:
    thing = {"deep": [{"a\0b": "\0\0", "text": "\\u0000 \\\\u0000"}]}
    lines = messages([{"id": "one\0two", "text": "\\\0", "thing": thing, "things": [["\0"]]}])
    EXACT.load(postgres, "nul", lines)
    with postgres.connect() as connection:
        row = connection.execute("SELECT id, text, thing, things FROM nul.things").fetchone()
    assert row == (
        "one\ufffdtwo",
        "\\\ufffd",
        {"deep": [{"a\ufffdb": "\ufffd\ufffd", "text": "\\u0000 \\\\u0000"}]},
        [["\ufffd"]],
    )


@pytest.mark.parametrize(
    "record",
    [
        *({"at": "no time at all", "unknown": 1}, {"at": "infinity"}, {"day": "today"}, {"clock": "allballs"}),
        *({"amount": "not a number"}, {"flag": 2}, {"words": "no array"}, {"id": None}),
    ],
    ids=lambda record: "-".join(map(str, record.values())),
)
def test_what_has_no_place_in_the_table_ends_the_load(postgres: Postgres, record: dict[str, Any]) -> None:
    EXACT.load(postgres, "refused", messages([{}, record]), fails=True)
    with postgres.connect() as connection:
        assert connection.execute("SELECT count(*) FROM refused.things").fetchone() == (0,)


@pytest.mark.parametrize("use_copy", [True, False])
def test_date_times_are_stored_in_utc(postgres: Postgres, *, use_copy: bool) -> None:
    schema = f"times_{use_copy}".lower()
    with postgres.connect() as connection:
        connection.execute(f"ALTER ROLE {postgres.user} SET timezone TO 'America/New_York'".encode())
        try:
            EXACT.using(use_copy=use_copy).load(postgres, schema, messages([{"at": "2024-02-29T23:59:59+05:30"}]))
        finally:
            connection.execute(f"ALTER ROLE {postgres.user} RESET timezone".encode())
        row = connection.execute(f"SELECT at::text, _sdc_extracted_at::text FROM {schema}.things".encode()).fetchone()
    assert row == ("2024-02-29 18:29:59", "2026-01-02 03:04:05")


def rows(postgres: Postgres, schema: str) -> list[dict[str, Any]]:
    """Return the rows of the table of the `messages`, in their order."""
    with postgres.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(f"SELECT * FROM {schema}.things ORDER BY line".encode()).fetchall()


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
