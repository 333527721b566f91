"""A catalog or a state of another form ends the run with one line that names it, before any request."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_payments.client import PaymentsStream
from tap_payments.errors import RunError
from tap_payments.replication.state import read_state
from tap_payments.tap import TapPayments
from tests.fake_api import FakeAPI, make_account
from tests.support.in_process import run_in_process
from tests.support.records import minimal_records
from tests.support.tap_runs import JSON, catalog_with, discovered_catalog, tap_config

MARKER = "a-value-of-the-file"


def entry(**fields: object) -> JSON:
    """Return a catalog whose entry for charges has these fields besides; a value that is ... is left out."""
    given = {"tap_stream_id": "charges", "stream": "charges", "schema": {}, **fields}
    return {"streams": [{key: value for key, value in given.items() if value is not ...}]}


def field(declared: object) -> JSON:
    return entry(schema={"properties": {"charge_id": {"type": "string"}, "amount": declared}})


def item(**fields: object) -> JSON:
    return entry(metadata=[{"breadcrumb": [], "metadata": {"selected": True}}, fields])


AMOUNT = "charges: the catalog's `schema.properties.amount"
KEY = "charges: the catalog's `key_properties` must be `charge_id`"
CATALOGS: list[tuple[JSON, str]] = [
    ({}, "the catalog's `streams` must be a list"),
    ({"streams": None}, "the catalog's `streams` must be a list"),
    ({"streams": ["charges"]}, "stream 1 of the catalog must be a JSON object"),
    ({"streams": [*entry()["streams"], None]}, "stream 2 of the catalog must be a JSON object"),
    (entry(tap_stream_id=5, stream=...), "stream 1 of the catalog must have a `tap_stream_id`"),
    ({"streams": entry()["streams"] * 2}, "charges: the catalog must have no second entry for it"),
    (entry(selected="false"), "charges: the catalog's `selected` must be true or false"),
    (item(breadcrumb=["a"], metadata={"selected": "yes"}), "charges: the catalog's `selected` must be true or false"),
    (entry(metadata={"": {}}), "charges: the catalog's `metadata` must be a list"),
    (entry(metadata=[MARKER]), "charges: the catalog's `metadata` must hold only a JSON object"),
    (item(metadata={}), "charges: the catalog's `breadcrumb` must be a list"),
    (item(breadcrumb="properties.amount"), "charges: the catalog's `breadcrumb` must be a list"),
    (item(breadcrumb=["properties", 1]), "charges: the catalog's `breadcrumb` must hold only text"),
    (item(breadcrumb=["a"], metadata=[MARKER]), "charges: the catalog's `metadata` must be a JSON object"),
    (entry(schema=[MARKER]), "charges: the catalog's `schema` must be a JSON object"),
    (entry(schema={"properties": ["amount"]}), "charges: the catalog's `schema.properties` must be a JSON object"),
    (field("string"), f"{AMOUNT}` must be a JSON object"),
    (field({"type": 5}), f"{AMOUNT}.type` must be text"),
    (field({"type": [{}]}), f"{AMOUNT}.type` must hold only text"),
    (field({"type": "array", "items": [{"type": "string"}]}), f"{AMOUNT}.items` must be a JSON object"),
    (field({"anyOf": {"type": "string"}}), f"{AMOUNT}.anyOf` must be a list"),
    (field({"type": "object", "required": True}), f"{AMOUNT}.required` must be a list"),
    (entry(key_properties=["charge_id", "occurred"]), KEY),
    (entry(key_properties=[]), KEY),
    (entry(key_properties="charge_id"), KEY),
    (entry(metadata=[{"breadcrumb": [], "metadata": {"table-key-properties": ["occurred"]}}]), KEY),
    (
        entry(replication_method="INCREMENTAL", replication_key=["occurred"]),
        "charges: the catalog's replication key is not offered: use `occurred`",
    ),
    (entry(replication_method=["INCREMENTAL"]), "charges: the catalog's replication method is not offered"),
]
OF_CHARGES = "the state's `bookmarks.charges"
STATES: list[tuple[JSON, str]] = [
    ({"bookmarks": []}, "the state's `bookmarks` must be a JSON object"),
    ({"bookmarks": {"charges": "2024-01-01"}}, f"{OF_CHARGES}` must be a JSON object"),
    ({"bookmarks": {"charges": [MARKER]}}, f"{OF_CHARGES}` must be a JSON object"),
    ({"bookmarks": {"charges": {"replication_key": [MARKER]}}}, f"{OF_CHARGES}.replication_key` must be text"),
    ({"bookmarks": {"charges": {"progress_markers": []}}}, f"{OF_CHARGES}.progress_markers` must be a JSON object"),
    ({"bookmarks": {"refunds": 5}}, "the state's `bookmarks.refunds` must be a JSON object"),
]


@pytest.mark.parametrize(
    ("catalog", "state", "words"),
    [*((catalog, None, words) for catalog, words in CATALOGS), *((None, state, words) for state, words in STATES)],
)
def test_a_malformed_catalog_or_state_is_named_in_one_line(
    catalog: JSON | None, state: JSON | None, words: str
) -> None:
    with FakeAPI(make_account(charges=3)) as api:
        run = run_in_process(tap_config(api), catalog=catalog, state=state)
    line = run.expect_failure(f"| {words}").lines[-1]
    assert MARKER not in line
    assert not api.requests


ODD_TIMES = {"replication_key": "occurred", "replication_key_value": [MARKER], "newest": 5, "unread": [[MARKER, None]]}


@pytest.mark.parametrize(
    ("state", "warning"),
    [
        ({"bookmarks": None}, None),
        ({"bookmarks": {"products": None, "charges": {"progress_markers": None, "replication_key": None}}}, None),
        ({"bookmarks": {"charges": {"partitions": [{"context": {"a": 1}}]}}}, "charges: `partitions`"),
        ({"bookmarks": {"charges": {"partitions": 5}}}, "charges: `partitions`"),
        ({"bookmarks": {"charges": ODD_TIMES}}, "charges: the STATE is of another version"),
        ({"type": "STATE", "value": {"bookmarks": {}}}, "the state has no `bookmarks`"),
    ],
)
def test_what_a_state_may_have_besides_is_as_good_as_missing(state: JSON, warning: str | None) -> None:
    catalog = catalog_with(incremental=["charges"])
    with FakeAPI({"charges": minimal_records("charges", [4, 6])}, provider="chargedesk") as api:
        run = run_in_process(tap_config(api), catalog=catalog, state=state).expect_success()
        again = run_in_process(tap_config(api), catalog=catalog, state=run.state).expect_success()
        assert run.keys("charges") == api.account.keys("charges")
    assert len(run.logged("WARNING")) == len(run.logged("WARNING", f"| {warning}")) == bool(warning)
    assert MARKER not in run.stderr
    assert run.bookmark("charges") == "6"
    assert not again.logged("WARNING")


# Everything that a file can hold in the wrong place.
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, -1, 1.5, "", MARKER, [], {}, [None], [MARKER], {MARKER: None}, [[]], [{}]]
)


def find_slots(value: object) -> list[tuple[Any, Any]]:
    """Return each container inside a value with each of its keys or indexes."""
    inside: list[tuple[Any, Any]] = []
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        inside += [(value, key), *find_slots(child)]
    return inside


@pytest.mark.parametrize("odd", ["catalog", "state"])
@given(st.data())
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_no_odd_value_in_a_file_is_an_internal_error(odd: str, data: st.DataObject) -> None:
    catalog = copy.deepcopy(discovered_catalog())
    for given_entry in catalog["streams"]:
        given_entry["schema"]["properties"] = dict(list(given_entry["schema"]["properties"].items())[:3])
        given_entry["metadata"] = given_entry["metadata"][-1:] + given_entry["metadata"][:2]
    catalog["streams"][0]["replication_method"] = "INCREMENTAL"
    bookmark = {
        "replication_key": "occurred",
        "replication_key_value": "1704067200",
        "progress_markers": {"replication_key": "occurred", "replication_key_value": "1", "Note": ""},
        "partitions": [{"context": {"account": 1}, "progress_markers": {}}],
        "starting_replication_value": None,
        "replication_key_signpost": "2024-01-01T00:00:00+00:00",
    }
    files: JSON = {"catalog": catalog, "state": {"bookmarks": {"charges": bookmark, "products": {}}}}
    for _ in range(data.draw(st.integers(1, 3))):
        if found := find_slots(files[odd]):
            container, key = data.draw(st.sampled_from(found))
            container[key] = copy.deepcopy(data.draw(ODD))
    before = json.dumps(catalog)
    # It begins, or is refused in one line.
    with suppress(RunError):
        tap = TapPayments(config={"username": "u", "provider": "chargedesk"}, **files)
        tap._reset_state_progress_markers()  # noqa: SLF001 - what `sync_all` begins with
        for stream in tap.streams.values():
            if isinstance(stream, PaymentsStream) and stream.selected:
                stream.can_write_unmodified  # noqa: B018 - it reads selection, maps and schema
                stream._plan  # noqa: B018, SLF001 - it reads the schema
                read_state(stream.stream_state, stream.replication_key or "")
                stream.finalize_state_progress_markers()
    assert json.dumps(catalog) == before
