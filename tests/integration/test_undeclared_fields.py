"""A field that the schema does not declare is left out, and named once; it passes where the catalog says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.support.in_process import InProcessRun, read_served_records, run_in_process
from tests.support.states import batch_config, records_of
from tests.support.tap_runs import JSON, catalog_with, tap_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The words of each line that names undeclared fields.
NAMED = ("WARNING", "does not declare")
WAYS = pytest.mark.parametrize("way", ["as they are", "mapped", "batches"])


@pytest.fixture(scope="module")
def api() -> Iterator[FakeAPI]:
    """An account whose records have fields that nobody has heard of, some of them only now and then."""
    lists = make_account(charges=30, subscriptions=10, customers=3, products=3)
    for number, record in enumerate(lists["charges"]):
        record["new_everywhere"] = {"deep": [1.5]}
        if number % 7 == 5:
            record["new_sometimes"] = None
    for record in lists["subscriptions"]:
        record["items"][0]["new_inside"] = "x"
    with FakeAPI(lists) as running:
        yield running


def read(api: FakeAPI, folder: Path, way: str, catalog: JSON) -> tuple[InProcessRun, str]:
    """Read an account; return the run, and all records as they went out."""
    settings: JSON = {
        "as they are": {},
        "mapped": {"stream_maps": {name: {"object": "'mapped'"} for name in ("charges", "subscriptions")}},
        "batches": {"batch_config": batch_config(folder, compression="gzip")},
    }[way]
    run = run_in_process(tap_config(api, page_size=7, **settings), catalog=catalog).expect_success()
    return run, "\n".join(json.dumps(record) for message in run.messages for record in records_of(message))


@WAYS
def test_it_is_left_out_and_named_once_a_stream(way: str, api: FakeAPI, tmp_path: Path) -> None:
    run, records = read(api, tmp_path, way, catalog_with())
    assert "charge_id" in records
    assert "new_" not in records
    charges, subscriptions = run.logged(*NAMED)
    words = "fields that the schema does not declare are left out"
    assert f"charges: {words} (`new_everywhere`, `new_sometimes`)" in charges
    assert f"subscriptions: {words} (`items[].new_inside`)" in subscriptions
    # No schema says that more may come: a target takes that for columns it cannot know.
    assert all("additionalProperties" not in one["schema"] for one in run.schemas.values())


@WAYS
def test_it_passes_where_the_catalog_says_so(way: str, api: FakeAPI, tmp_path: Path) -> None:
    run, records = read(api, tmp_path, way, catalog_with(undeclared=True))
    assert records.count('"new_everywhere": {"deep": [1.5]}') == 30
    assert records.count('"new_sometimes"') == 4
    assert "new_inside" not in records, "the catalog says nothing of what is inside"
    assert len(run.logged(*NAMED)) == 1
    assert run.schemas["charges"]["schema"]["additionalProperties"] is True

    catalog = catalog_with()
    schemas = {entry["stream"]: entry["schema"] for entry in catalog["streams"]}
    schemas["charges"]["properties"]["new_everywhere"] = {"type": ["string", "null"]}
    schemas["subscriptions"]["properties"]["items"]["items"]["properties"]["new_inside"] = {"type": ["string", "null"]}
    run, records = read(api, tmp_path, way, catalog)
    assert run.schemas["charges"]["schema"]["properties"]["new_everywhere"] == {"type": ["string", "null"]}
    assert records.count(json.dumps('{"deep":[1.5]}')) == 30
    assert records.count("new_inside") == 10
    (line,) = run.logged(*NAMED)
    assert "(`new_sometimes`)" in line


def test_a_field_that_the_catalog_leaves_out_is_left_out() -> None:
    catalog = catalog_with(only=["charges"])
    for entry in catalog["streams"]:
        entry["schema"]["properties"] = {"charge_id": {"type": "string"}, "amount": {"type": ["number", "null"]}}
    run = read_served_records('{"charge_id":"a","amount":"1.50","currency":"EUR"}', catalog=catalog).expect_success()
    assert run.exact_records("charges") == [{"charge_id": "a", "amount": "1.50"}]
    assert b'"amount":1.50' in run.stdout
    assert "(`currency`)" in run.logged(*NAMED)[0]


@pytest.mark.parametrize("value", ['{"a":[Infinity]}', "[" * 900 + "]" * 900])
def test_it_is_not_checked(value: str) -> None:
    run = read_served_records(f'{{"charge_id":"a","zz":{value},"amount":"1"}}').expect_success()
    assert run.records("charges") == [{"charge_id": "a", "amount": "1"}]


def test_names_are_cut_to_a_number_and_a_length() -> None:
    fields = ",".join(f'"field_{number}{"x" * (200 if number == 3 else 0)}":1' for number in range(50))
    records = ",".join(f'{{"charge_id":"{number}","new_{number}":1,{fields}}}' for number in range(1_001))
    run = read_served_records(records, page_size=5_000).expect_success()
    assert all(record.keys() == {"charge_id"} for record in run.records("charges"))
    assert len(run.records("charges")) == 1_001
    (line,) = run.logged(*NAMED)
    assert "980 or more others)" in line
    assert f"`field_3{'x' * 53}...`" in line
    assert len(line) < 600
    fields = ",".join(f'"field_{number}":1' for number in range(21))
    run = read_served_records(f'{{"charge_id":"a",{fields}}}').expect_success()
    assert "`field_19`, 1 other)" in run.logged(*NAMED)[0]


def test_a_name_cannot_forge_the_log() -> None:
    names = ["a\\n2026-01-01 | DEBUG | forged", "b\\u001b[31m", "c`d", "e\\u202ef"]
    fields = ",".join(f'"{name}":1' for name in names)
    run = read_served_records(f'{{"charge_id":"a",{fields}}}').expect_success()
    assert "(`a?2026-01-01 | DEBUG | forged`, `b?[31m`, `c?d`, `e?f`)" in run.logged(*NAMED)[0]
