"""Catalogs: selection, replication, and minimal entries."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from tap_payments.records.schema import SCHEMAS
from tap_payments.streams import STREAMS
from tests.fake_api import FakeAPI, make_account
from tests.support.in_process import read_served_records, run_in_process
from tests.support.tap_runs import catalog_with, discovered_catalog, tap_config

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = dict[str, Any]


def test_the_catalog_that_is_offered_has_replication_keys_but_reads_whole() -> None:
    keys = {}
    for entry in discovered_catalog()["streams"]:
        (root,) = (item["metadata"] for item in entry["metadata"] if not item["breadcrumb"])
        keys[entry["tap_stream_id"]] = root.get("valid-replication-keys")
        assert entry["replication_method"] == "FULL_TABLE"
        assert entry.get("replication_key") is None
        assert root["table-key-properties"] == entry["key_properties"]
        assert root.get("forced-replication-method") is None
    assert keys == {name: list(stream.valid_replication_keys) or None for name, stream in STREAMS.items()}
    assert (keys["charges"], keys["customers"], keys["products"]) == (["occurred"], ["first_seen"], None)


def test_a_catalog_that_selects_nothing_is_refused() -> None:
    with FakeAPI(make_account(charges=3)) as api:
        run = run_in_process(tap_config(api), catalog=catalog_with(only=[]))
    run.expect_failure("selects no stream")
    assert api.requests == []


# Catalogs of other forms.


@pytest.fixture(scope="module")
def api() -> Iterator[FakeAPI]:
    with FakeAPI(make_account(charges=3, customers=2)) as running:
        yield running


SCHEMA = SCHEMAS.get_schema("charges")


def two_streams(**fields: object) -> JSON:
    """Return a catalog of customers and of charges, whose entry has these fields; a value that is ... is left out."""
    entries = {entry["tap_stream_id"]: copy.deepcopy(entry) for entry in discovered_catalog()["streams"]}
    charges = {key: value for key, value in {**entries["charges"], **fields}.items() if value is not ...}
    return {"streams": [charges, entries["customers"]]}


def root(**fields: object) -> list[JSON]:
    return [{"breadcrumb": [], "metadata": {"inclusion": "available", **fields}}]


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": root(selected=False)},
        {"metadata": root(selected=False), "selected": False},
        {"selected": False},
        *({"selected": False, "metadata": metadata} for metadata in (root(selected=True), [], ..., None, root())),
        {"schema": {**SCHEMA, "selected": False}},
        {"schema": {**SCHEMA, "selected": False}, "metadata": ...},
        {"schema": {"selected": False}, "metadata": ...},
        {"schema": {"selected": False}, "metadata": root(selected=None)},
    ],
)
def test_a_stream_is_deselected_wherever_catalogs_have_the_flag(fields: JSON, api: FakeAPI) -> None:
    run = run_in_process(tap_config(api), catalog=two_streams(**fields)).expect_success()
    assert "charges" not in run.schemas
    assert not run.records("charges")
    assert run.keys("customers") == api.account.keys("customers")
    assert not run.logged("WARNING")
    assert len(run.logged("INFO", "deselected", "charges")) == 1


NO_SCHEMAS: list[object] = [..., None, {}, {"type": "object"}, {"properties": {}}]
MINIMAL: list[JSON] = [
    {"selected": True, "metadata": root()},
    {"selected": True, "metadata": ...},
    {"metadata": ...},
    {"metadata": None},
    {"schema": {**SCHEMA, "selected": True}, "metadata": root()},
    {"schema": {"selected": True}, "metadata": ...},
    *({"schema": schema} for schema in NO_SCHEMAS),
    *({"stream": stream} for stream in ("payments", ..., None, ["charges"])),
    *({"tap_stream_id": ...}, {"key_properties": ...}, {"key_properties": None}),
    {"metadata": [{"breadcrumb": [], "metadata": None}, *root(selected=True)]},
]


@pytest.mark.parametrize("fields", MINIMAL)
def test_a_minimal_entry_reads_what_the_discovered_one_reads(fields: JSON, api: FakeAPI) -> None:
    expected = run_in_process(tap_config(api), catalog=two_streams()).expect_success()
    run = run_in_process(tap_config(api), catalog=two_streams(**fields)).expect_success()
    assert run.schemas == expected.schemas
    assert run.records("charges") == expected.records("charges")
    assert run.keys("charges") == api.account.keys("charges")


def test_fields_are_deselected_in_the_schema_too(api: FakeAPI) -> None:
    schema = copy.deepcopy(SCHEMA)
    for name in ("charge_id", "amount"):
        schema["properties"][name]["selected"] = False
    for fields in ({"metadata": ...}, {"metadata": root(selected=True)}, {}):
        run = run_in_process(tap_config(api), catalog=two_streams(schema=schema, **fields)).expect_success()
        assert run.keys("charges") == api.account.keys("charges")
        for names in (run.schemas["charges"]["schema"]["properties"], *run.records("charges")):
            assert "amount" not in names
            assert "currency" in names
            # A key cannot be deselected.
            assert "charge_id" in names


def test_a_schema_gets_the_key_and_the_replication_key_that_it_lacks(api: FakeAPI) -> None:
    schema: JSON = {"type": "object", "properties": {"amount": {"type": ["string", "null"]}}}
    catalog = two_streams(schema=schema, metadata=..., replication_method="INCREMENTAL")
    run = run_in_process(tap_config(api), catalog=catalog).expect_success()
    assert set(run.schemas["charges"]["schema"]["properties"]) == {"charge_id", "occurred", "amount"}
    assert run.keys("charges") == api.account.keys("charges")
    assert run.bookmark("charges") is not None


def test_another_name_and_an_unknown_stream_are_logged(api: FakeAPI) -> None:
    catalog = two_streams(stream="payments")
    catalog["streams"].append({"tap_stream_id": "refunds\nof charges", "stream": "charges", "schema": {}})
    run = run_in_process(tap_config(api), catalog=catalog).expect_success()
    assert len(run.logged("INFO", "'charges'", "`tap_stream_id`", "`__alias__`")) == 1
    assert len(run.logged("WARNING", r"'refunds\nof charges'")) == 1
    assert run.keys("charges") == api.account.keys("charges")


# Fields inside arrays.

ITEMS = ("properties", "subscriptions", "items", "properties", "items", "items")
EFFECTS: dict[str, JSON] = {
    "as it is": {},
    "flattened": {"flattening_enabled": True, "flattening_max_depth": 1},
    "mapped": {"stream_maps": {"customers": {"email": "'x'"}}},
    "hashed": {"personal_data": "hash", "hash_key": "secret"},
}


def inside(schema: JSON) -> JSON:
    """Return the schema of the items of the subscriptions of customers."""
    for crumb in ITEMS:
        schema = schema[crumb]
    return schema


def customers(*deselected: str) -> JSON:
    """Return a catalog of customers in which fields of the items of their subscriptions are deselected."""
    catalog = catalog_with(only=["customers"])
    catalog["streams"] = [entry for entry in catalog["streams"] if entry["tap_stream_id"] == "customers"]
    catalog["streams"][0]["metadata"] += [
        {"breadcrumb": [*ITEMS, "properties", name], "metadata": {"selected": False}} for name in deselected
    ]
    return catalog


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("way", ["metadata", "schema"])
def test_a_field_inside_an_array_is_deselected(way: str, effect: str) -> None:
    catalog = customers(*(["description"] if way == "metadata" else []))
    schema = inside(catalog["streams"][0]["schema"])
    # Neither may it pass as one that is not declared.
    schema |= {"required": ["item_id", "description"], "additionalProperties": True}
    if way == "schema":
        schema["properties"]["description"]["selected"] = False
    items = '[{"item_id":"i","description":{"x":["leaked"]},"quantity":"1"},{"description":"leaked"}]'
    record = f'{{"customer_id":"a","subscriptions":[{{"items":{items}}}]}}'
    run = read_served_records(record, stream="customers", catalog=catalog, **EFFECTS[effect]).expect_success()
    assert len(run.records("customers")) == 1
    assert b"leaked" not in run.stdout
    assert b"quantity" in run.stdout
    assert not run.logged("WARNING", "description")
    if effect != "flattened":
        declared = inside(run.schemas["customers"]["schema"])
        assert "description" not in declared["properties"]
        assert "quantity" in declared["properties"]
        assert "description" not in declared.get("required", [])


def test_an_array_is_whole_where_nothing_inside_it_is_selected() -> None:
    """`customers.subscriptions` in Meltano's `select` deselects all that is inside."""
    names = inside(customers()["streams"][0]["schema"])["properties"]
    record = {"customer_id": "a", "subscriptions": [{"items": [{"item_id": "i", "description": "d"}]}]}
    run = read_served_records(json.dumps(record), stream="customers", catalog=customers(*names)).expect_success()
    assert run.records("customers") == [record]
    assert "description" in inside(run.schemas["customers"]["schema"])["properties"]
