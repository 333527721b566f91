"""The loader that `meltano.yml` installs, held against the one that it is made from: same messages, same tables."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import sql

from tests.fake_api.data import make_account
from tests.fake_api.providers import STREAMS
from tests.fake_api.server import FakeAPI
from tests.support.in_process import run_in_process
from tests.support.loaders import EXACT, ORIGINAL, messages, table
from tests.support.tap_runs import tap_config

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano

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


def load_with_both(postgres: Postgres, schema: str, runs: Sequence[bytes], *names: str) -> list[list[tuple[Any, ...]]]:
    """Load the same with both, check that the tables are the same and return their rows."""
    for loader in (ORIGINAL, EXACT):
        for lines in runs:
            loader.load(postgres, f"{schema}_{loader.program}", lines)
    found = []
    for name in names:
        original, exact = (table(postgres, f"{schema}_{loader.program}", name) for loader in (ORIGINAL, EXACT))
        assert exact == original
        found.append(exact[1])
    return found


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
    (found,) = load_with_both(postgres, f"types_{keyed}".lower(), runs, "things")
    assert len(found) == (len(records) if keyed else len(twice) + len(changed))
    assert any("12345678901234567890.1230" in row for row in found)


def test_an_account_arrives_as_with_the_original(postgres: Postgres) -> None:
    account = make_account(charges=30, products=8, customers=20, subscriptions=10, php=True)
    with FakeAPI(account) as api:
        lines = run_in_process(tap_config(api)).expect_success().stdout
    found = load_with_both(postgres, "account", [lines], *STREAMS)
    assert [len(rows) for rows in found] == [len(account[name]) for name in STREAMS]


@pytest.mark.parametrize(("compression", "use_copy"), [("gzip", True), ("none", False)])
def test_files_of_batches_are_loaded_as_records(
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
    for schema, lines in zip(schemas, (b"".join(as_records), of_batches), strict=True):
        EXACT.using(use_copy=use_copy).load(postgres, schema, lines)
    # When a record was extracted is not in the file, so it is when its message came.
    never = sql.SQL("SELECT count(*) FROM {} WHERE _sdc_extracted_at IS NULL")
    with postgres.connect() as connection:
        assert connection.execute(never.format(sql.Identifier(schemas[1], "things"))).fetchone() == (0,)
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
    role = sql.Identifier(postgres.user)
    with postgres.connect() as connection:
        connection.execute(sql.SQL("ALTER ROLE {} SET timezone TO 'America/New_York'").format(role))
        try:
            EXACT.using(use_copy=use_copy).load(postgres, schema, messages([{"at": "2024-02-29T23:59:59+05:30"}]))
        finally:
            connection.execute(sql.SQL("ALTER ROLE {} RESET timezone").format(role))
        query = sql.SQL("SELECT at::text, _sdc_extracted_at::text FROM {}").format(sql.Identifier(schema, "things"))
        assert connection.execute(query).fetchone() == ("2024-02-29 18:29:59", "2026-01-02 03:04:05")


def test_messages_are_read_from_a_file(postgres: Postgres, tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_bytes(messages(RECORDS))
    EXACT.load(postgres, "piped", file.read_bytes())
    EXACT.load(postgres, "named", b"", "--input", str(file))
    assert table(postgres, "named", "things") == table(postgres, "piped", "things")
