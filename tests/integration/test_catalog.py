"""Catalogs: selection, replication, and minimal entries."""

from __future__ import annotations

import copy
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tap_payments.streams import STREAMS
from tap_payments.tap import TapPayments
from tests.fake_api import FakeAPI, make_account
from tests.support.in_process import read_served_records, run_in_process
from tests.support.tap_runs import catalog_with, discovered_catalog, tap_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JSON = dict[str, Any]


def test_the_catalog_that_is_offered_has_replication_keys_but_reads_whole() -> None:
    offered = {stream["tap_stream_id"]: stream for stream in discovered_catalog()["streams"]}
    roots = {
        name: next(item["metadata"] for item in stream["metadata"] if not item["breadcrumb"])
        for name, stream in offered.items()
    }
    keys = {name: root.get("valid-replication-keys") for name, root in roots.items()}
    assert keys == {name: list(stream.valid_replication_keys) or None for name, stream in STREAMS.items()}
    assert (keys["charges"], keys["customers"], keys["products"]) == (["occurred"], ["first_seen"], None)
    for name, stream in offered.items():
        assert stream.get("replication_method") == "FULL_TABLE"
        assert stream.get("replication_key") is None
        assert roots[name]["table-key-properties"] == stream["key_properties"]
        assert roots[name].get("forced-replication-method") is None


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


def two_streams(**said: object) -> JSON:
    """Return a catalog of customers and of charges, whose entry says this; a value that is ... is left out.

    Args:
        said: The keys; a value that is a function is called.
    """
    said = {key: value() if callable(value) else value for key, value in said.items()}
    entries = {entry["tap_stream_id"]: copy.deepcopy(entry) for entry in discovered_catalog()["streams"]}
    charges = {key: value for key, value in {**entries["charges"], **said}.items() if value is not ...}
    return {"streams": [charges, entries["customers"]]}


def charges_schema(**said: object) -> JSON:
    """Return the schema of charges as it is discovered, with these keywords over it."""
    schema: JSON = copy.deepcopy(two_streams()["streams"][0]["schema"])
    return {**schema, **said}


def root(**said: object) -> list[JSON]:
    return [{"breadcrumb": [], "metadata": {"inclusion": "available", **said}}]


@pytest.mark.parametrize(
    "said",
    [
        {"metadata": root(selected=False)},
        {"metadata": root(selected=False), "selected": False},
        {"selected": False},
        *({"selected": False, "metadata": metadata} for metadata in (root(selected=True), [], ..., None, root())),
        {"schema": partial(charges_schema, selected=False)},
        {"schema": partial(charges_schema, selected=False), "metadata": ...},
        {"schema": {"selected": False}, "metadata": ...},
        {"schema": {"selected": False}, "metadata": root(selected=None)},
    ],
)
def test_a_stream_is_deselected_wherever_catalogs_have_the_flag(said: JSON, api: FakeAPI) -> None:
    run = run_in_process(tap_config(api), catalog=two_streams(**said)).expect_success()
    assert "charges" not in run.schemas
    assert not run.records("charges")
    assert run.keys("customers") == api.account.keys("customers")
    assert not run.logged("WARNING")
    assert len(run.logged("INFO", "deselected", "charges")) == 1


@pytest.mark.parametrize(
    "said",
    [
        {"selected": True, "metadata": root()},
        {"selected": True, "metadata": ...},
        {"metadata": ...},
        {"metadata": None},
        {"schema": partial(charges_schema, selected=True), "metadata": root()},
        {"schema": {"selected": True}, "metadata": ...},
        *(
            {"schema": ...},
            {"schema": None},
            {"schema": {}},
            {"schema": {"type": "object"}},
            {"schema": {"properties": {}}},
        ),
        *({"stream": stream} for stream in ("payments", ..., None, ["charges"])),
        *({"tap_stream_id": ...}, {"key_properties": ...}, {"key_properties": None}),
        {"metadata": [{"breadcrumb": [], "metadata": None}, *root(selected=True)]},
    ],
)
def test_a_minimal_entry_reads_what_the_discovered_one_reads(said: JSON, api: FakeAPI) -> None:
    expected = run_in_process(tap_config(api), catalog=two_streams()).expect_success()
    run = run_in_process(tap_config(api), catalog=two_streams(**said)).expect_success()
    assert run.schemas == expected.schemas
    assert run.records("charges") == expected.records("charges")
    assert run.keys("charges") == api.account.keys("charges")


def test_fields_are_deselected_in_the_schema_too(api: FakeAPI) -> None:
    schema = charges_schema()
    for field in ("charge_id", "amount"):
        schema["properties"][field]["selected"] = False
    for said in ({"metadata": ...}, {"metadata": root(selected=True)}, {}):
        run = run_in_process(tap_config(api), catalog=two_streams(schema=schema, **said)).expect_success()
        assert run.keys("charges") == api.account.keys("charges")
        for fields in (run.schemas["charges"]["schema"]["properties"], *run.records("charges")):
            assert "amount" not in fields
            assert "currency" in fields
            # A key cannot be deselected.
            assert "charge_id" in fields


def test_a_schema_gets_the_key_and_the_replication_key_that_it_lacks(api: FakeAPI) -> None:
    schema = {"type": "object", "properties": {"amount": {"type": ["string", "null"]}}}
    catalog = two_streams(schema=schema, metadata=..., replication_method="INCREMENTAL")
    run = run_in_process(tap_config(api), catalog=catalog).expect_success()
    assert set(run.schemas["charges"]["schema"]["properties"]) == {"charge_id", "occurred", "amount"}
    assert run.keys("charges") == api.account.keys("charges")
    assert run.bookmark("charges") is not None


def test_another_name_in_stream_is_logged(api: FakeAPI) -> None:
    run = run_in_process(tap_config(api), catalog=two_streams(stream="payments")).expect_success()
    assert len(run.logged("INFO", "charges", "`tap_stream_id`", "`__alias__`")) == 1


def test_an_unknown_stream_is_logged(api: FakeAPI) -> None:
    catalog = two_streams()
    catalog["streams"].append({"tap_stream_id": "refunds\nof charges", "stream": "charges", "schema": {}})
    run = run_in_process(tap_config(api), catalog=catalog).expect_success()
    assert len(run.logged("WARNING", r"'refunds\nof charges'")) == 1
    assert run.keys("charges") == api.account.keys("charges")


def test_a_catalog_in_a_file_is_resolved_too(tmp_path: Path) -> None:
    catalog = two_streams(replication_method="INCREMENTAL", metadata=[])
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps(catalog), encoding="utf-8")
    for given in (catalog, file, str(file)):
        tap = TapPayments(config={"username": "anybody", "provider": "chargedesk"}, catalog=given)
        assert tap.streams["charges"].replication_key == "occurred"


def items_schema(stream: str) -> JSON:
    """Return the schema of the items of a subscription, in a catalog to be changed."""
    catalog = catalog_with(only=[stream])
    entry = next(entry for entry in catalog["streams"] if entry["tap_stream_id"] == stream)
    subscription = entry["schema"]
    if stream == "customers":
        subscription = subscription["properties"]["subscriptions"]["items"]
    return {"catalog": catalog, "entry": entry, "items": subscription["properties"]["items"]["items"]}


BREADCRUMBS = {
    "subscriptions": ["properties", "items", "items", "properties", "description"],
    "customers": [
        *("properties", "subscriptions", "items", "properties", "items", "items", "properties", "description")
    ],
}
EFFECTS: dict[str, JSON] = {
    "as it is": {},
    "flattened": {"flattening_enabled": True, "flattening_max_depth": 1},
    "mapped": {"stream_maps": {"subscriptions": {"status": "'x'"}, "customers": {"email": "'x'"}}},
    "hashed": {"personal_data": "hash", "hash_key": "secret"},
}


@pytest.mark.parametrize("undeclared", [False, True], ids=["declared", "all pass"])
@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("way", ["metadata", "schema"])
@pytest.mark.parametrize("stream", BREADCRUMBS)
def test_a_field_inside_an_array_is_deselected(stream: str, way: str, effect: str, undeclared: bool) -> None:  # noqa: FBT001
    found = items_schema(stream)
    if way == "schema":
        found["items"]["properties"]["description"]["selected"] = False
    else:
        deselected = {"breadcrumb": BREADCRUMBS[stream], "metadata": {"selected": False}}
        found["entry"]["metadata"].append(deselected)
    found["items"]["required"] = ["item_id", "description"]
    if undeclared:
        found["items"]["additionalProperties"] = True
    items = '"items":[{"item_id":"i","description":{"x":["leaked"]},"quantity":"1"},{"description":"leaked"}]'
    record = f'"subscription_id":"a",{items}'
    if stream == "customers":
        record = f'"customer_id":"a","subscriptions":[{{{items}}}]'
    run = read_served_records(f"{{{record}}}", stream=stream, catalog=found["catalog"], **EFFECTS[effect])
    run.expect_success()
    assert len(run.records(stream)) == 1
    assert b"leaked" not in run.stdout
    assert b"quantity" in run.stdout
    assert not run.logged("WARNING", "description")
    if effect != "flattened":
        (schema,) = (message for message in run.messages if message["type"] == "SCHEMA")
        inside = schema["schema"]
        if stream == "customers":
            inside = inside["properties"]["subscriptions"]["items"]
        declared = inside["properties"]["items"]["items"]
        assert "description" not in declared["properties"]
        assert "quantity" in declared["properties"]
        assert "description" not in declared.get("required", [])


def test_an_array_is_whole_where_nothing_inside_it_is_selected() -> None:
    """`subscriptions.items` in Meltano's `select` deselects all that is inside."""
    found = items_schema("subscriptions")
    for name in found["items"]["properties"]:
        breadcrumb = [*BREADCRUMBS["subscriptions"][:-1], name]
        found["entry"]["metadata"].append({"breadcrumb": breadcrumb, "metadata": {"selected": False}})
    item = {"item_id": "i", "description": "d", "amount": "1"}
    with FakeAPI({"subscriptions": [{"subscription_id": "a", "items": [item]}]}) as api:
        run = run_in_process(tap_config(api), catalog=found["catalog"]).expect_success()
    assert run.records("subscriptions") == [{"subscription_id": "a", "items": [item]}]
    assert "description" in run.schemas["subscriptions"]["schema"]["properties"]["items"]["items"]["properties"]
