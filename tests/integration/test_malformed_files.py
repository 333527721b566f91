"""A catalog or a state of another form ends the run with one line that names it, before any request."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_payments.client import PaymentsStream
from tap_payments.errors import RunError
from tap_payments.replication.state import read_state
from tap_payments.tap import TapPayments
from tests.fake_api import FakeAPI, make_account
from tests.support.in_process import expect_one_error, invoke_in_process, run_in_process
from tests.support.records import minimal_records
from tests.support.tap_runs import JSON, catalog_with, discovered_catalog, tap_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MARKER = "a-value-of-the-file"
NEWEST = 1_704_067_200


def entry_with(**said: object) -> JSON:
    """Return a catalog whose entry for charges says this besides; a value that is ... is left out."""
    catalog = catalog_with(only=["charges"])
    (entry,) = [entry for entry in catalog["streams"] if entry["tap_stream_id"] == "charges"]
    entry.update(said)
    catalog["streams"] = [{key: value for key, value in entry.items() if value is not ...}]
    return catalog


def field_as(declared: object) -> JSON:
    return entry_with(schema={"properties": {"charge_id": {"type": "string"}, "amount": declared}})


def item(**said: object) -> JSON:
    return entry_with(metadata=[{"breadcrumb": [], "metadata": {"selected": True}}, dict(said)])


AMOUNT = "schema.properties.amount"
CATALOGS: dict[str, tuple[Callable[[], JSON], tuple[str, ...]]] = {
    "no streams": (dict, ("`streams`", "list")),
    "streams: null": (lambda: {"streams": None}, ("`streams`", "list")),
    "streams by name": (lambda: {"streams": {"charges": {}}}, ("`streams`", "list")),
    "a stream by its name alone": (lambda: {"streams": ["charges"]}, ("stream 1", "object")),
    "a stream that is null": (lambda: {"streams": [*entry_with()["streams"], None]}, ("stream 2", "object")),
    "no tap_stream_id": (lambda: entry_with(tap_stream_id=..., stream=...), ("stream 1", "`tap_stream_id`")),
    "a number as tap_stream_id": (lambda: entry_with(tap_stream_id=5, stream=None), ("stream 1", "`tap_stream_id`")),
    "two entries": (lambda: {"streams": entry_with()["streams"] * 2}, ("charges", "second entry")),
    "selected as text": (lambda: entry_with(selected="false"), ("charges", "`selected`")),
    "selected as text in metadata": (
        lambda: item(breadcrumb=["properties", "amount"], metadata={"selected": "yes"}),
        ("charges", "`selected`"),
    ),
    "metadata by breadcrumb": (lambda: entry_with(metadata={"": {}}), ("charges", "`metadata`", "list")),
    "metadata of text": (lambda: entry_with(metadata=[MARKER]), ("charges", "`metadata`")),
    "breadcrumb: null": (lambda: item(breadcrumb=None, metadata={}), ("charges", "`breadcrumb`")),
    "no breadcrumb": (lambda: item(metadata={}), ("charges", "`breadcrumb`")),
    "a breadcrumb of text": (lambda: item(breadcrumb="properties.amount", metadata={}), ("charges", "`breadcrumb`")),
    "a breadcrumb of numbers": (lambda: item(breadcrumb=["properties", 1], metadata={}), ("charges", "`breadcrumb`")),
    "metadata in a list": (
        lambda: item(breadcrumb=["properties", "amount"], metadata=[MARKER]),
        ("charges", "`metadata`"),
    ),
    "a schema that is true": (lambda: entry_with(schema=True), ("charges", "`schema`", "object")),
    "a schema that is false": (lambda: entry_with(schema=False), ("charges", "`schema`", "object")),
    "a schema in a list": (lambda: entry_with(schema=[MARKER]), ("charges", "`schema`", "object")),
    "properties in a list": (lambda: entry_with(schema={"properties": ["amount"]}), ("charges", "`schema.properties`")),
    "a field that is true": (lambda: field_as(True), ("charges", f"`{AMOUNT}`", "object")),  # noqa: FBT003 - a schema
    "a field by its type alone": (lambda: field_as("string"), ("charges", f"`{AMOUNT}`", "object")),
    "a type that is a number": (lambda: field_as({"type": 5}), ("charges", f"`{AMOUNT}.type`")),
    "types that are objects": (lambda: field_as({"type": [{}]}), ("charges", f"`{AMOUNT}.type`")),
    "items in a list": (
        lambda: field_as({"type": "array", "items": [{"type": "string"}]}),
        (f"`{AMOUNT}.items`", "object"),
    ),
    "items that are true": (lambda: field_as({"type": "array", "items": True}), ("charges", f"`{AMOUNT}.items`")),
    "a choice that is not a list": (lambda: field_as({"anyOf": {"type": "string"}}), ("charges", f"`{AMOUNT}.anyOf`")),
    "required that is true": (
        lambda: field_as({"type": "object", "required": True}),
        ("charges", f"`{AMOUNT}.required`"),
    ),
    "another key": (
        lambda: entry_with(key_properties=["transaction_id"]),
        ("charges", "`key_properties`", "`charge_id`"),
    ),
    "one more key": (lambda: entry_with(key_properties=["charge_id", "occurred"]), ("charges", "`key_properties`")),
    "no key": (lambda: entry_with(key_properties=[]), ("charges", "`key_properties`", "`charge_id`")),
    "a key that is not a list": (lambda: entry_with(key_properties="charge_id"), ("charges", "`key_properties`")),
    "another key in metadata": (
        lambda: entry_with(metadata=[{"breadcrumb": [], "metadata": {"table-key-properties": ["occurred"]}}]),
        ("charges", "`key_properties`", "`charge_id`"),
    ),
    "a list as replication key": (
        lambda: entry_with(replication_method="INCREMENTAL", replication_key=["occurred"]),
        ("charges", "replication key", "`occurred`"),
    ),
    "a list as replication method": (
        lambda: entry_with(replication_method=["INCREMENTAL"]),
        ("charges", "replication method"),
    ),
}

OF_CHARGES = "`bookmarks.charges"
STATES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "bookmarks in a list": ({"bookmarks": []}, ("`bookmarks`", "object")),
    "bookmarks as text": ({"bookmarks": MARKER}, ("`bookmarks`", "object")),
    "a bookmark that is a time": ({"bookmarks": {"charges": "2024-01-01"}}, (f"{OF_CHARGES}`", "object")),
    "a bookmark in a list": ({"bookmarks": {"charges": [MARKER]}}, (f"{OF_CHARGES}`", "object")),
    "a list as key": (
        {"bookmarks": {"charges": {"replication_key": ["occurred"]}}},
        (f"{OF_CHARGES}.replication_key`",),
    ),
    "an object as key": ({"bookmarks": {"charges": {"replication_key": {}}}}, (f"{OF_CHARGES}.replication_key`",)),
    "progress markers in a list": ({"bookmarks": {"charges": {"progress_markers": []}}}, (".progress_markers`",)),
    "another stream's bookmark": ({"bookmarks": {"refunds": 5}}, ("`bookmarks.refunds`", "object")),
}


@pytest.mark.parametrize("case", CATALOGS)
def test_a_malformed_catalog_is_named_in_one_line(case: str) -> None:
    make, words = CATALOGS[case]
    with FakeAPI(make_account(charges=3)) as api:
        run = run_in_process(tap_config(api), catalog=make())
    line = run.expect_failure("the catalog", *words).lines[-1]
    assert MARKER not in line
    assert not api.requests


@pytest.mark.parametrize("case", STATES)
def test_a_malformed_state_is_named_in_one_line(case: str) -> None:
    state, words = STATES[case]
    with FakeAPI(make_account(charges=3)) as api:
        run = run_in_process(tap_config(api), catalog=catalog_with(incremental=["charges"]), state=state)
    line = run.expect_failure("the state", *words).lines[-1]
    assert MARKER not in line
    assert not api.requests


@pytest.mark.parametrize(
    "state",
    [
        {"bookmarks": None},
        {"bookmarks": {"charges": None}},
        {"bookmarks": {"charges": {"progress_markers": None, "partitions": None, "replication_key": None}}},
    ],
)
def test_null_in_a_state_is_as_good_as_missing(state: JSON) -> None:
    with FakeAPI(make_account(charges=3), provider="chargedesk") as api:
        catalog = catalog_with(incremental=["charges"])
        run = run_in_process(tap_config(api), catalog=catalog, state=state).expect_success()
        assert run.keys("charges") == api.account.keys("charges")
    assert not run.logged("WARNING", "STATE")
    assert run.bookmark("charges") is not None


@pytest.mark.parametrize("partitions", [5, {"a": {}}, [{}], [{"context": {"a": 1}}, {"context": {"a": 2}}]])
def test_partitions_in_a_state_are_ignored_with_a_warning(partitions: object) -> None:
    state = {"bookmarks": {"charges": {"partitions": partitions}}}
    with FakeAPI(make_account(charges=3), provider="chargedesk") as api:
        run = run_in_process(tap_config(api), catalog=catalog_with(incremental=["charges"]), state=state)
        assert run.expect_success().keys("charges") == api.account.keys("charges")
    assert run.logged("WARNING", "charges: ", "`partitions`")


ODD_KEYS: dict[str, JSON] = {
    "a list as bookmark": {"replication_key_value": [MARKER]},
    "true as bookmark": {"replication_key_value": True, "newest": NEWEST},
    "an object as newest": {"newest": {"a": MARKER}, "replication_key_value": NEWEST},
    "text that is no time": {"newest": MARKER, "oldest": "soon", "replication_key_value": NEWEST},
    "spans upside down": {"newest": NEWEST, "unread": [[NEWEST, 5]]},
    "spans of one end": {"newest": NEWEST, "unread": [[5]]},
    "spans by name": {"newest": NEWEST, "unread": {"since": 5}},
    "spans of text": {"newest": NEWEST, "unread": [[MARKER, None]]},
    "a position in a list": {"replication_key_value": NEWEST, "newest": NEWEST, "reread_position": [5]},
    "another replication key": {"replication_key": "created", "replication_key_value": NEWEST},
}


@pytest.mark.parametrize("odd", ODD_KEYS.values(), ids=ODD_KEYS)
def test_what_a_state_says_in_no_form_is_read_anew_with_a_warning(odd: JSON) -> None:
    records = minimal_records("charges", [NEWEST - 86_400 * days for days in range(60)])
    with FakeAPI({"charges": records}, provider="chargedesk") as api:
        state = {"bookmarks": {"charges": {"replication_key": "occurred", **odd}}}
        config = tap_config(api, lookback_days=0, reread_days=1)
        run = run_in_process(config, catalog=catalog_with(incremental=["charges"]), state=state).expect_success()
        # A bookmark says that all before it is out; without one nothing is.
        known = odd.get("replication_key_value") == NEWEST and "replication_key" not in odd
        assert known or set(run.keys("charges")) == set(api.account.keys("charges"))
        again = run_in_process(config, catalog=catalog_with(incremental=["charges"]), state=run.state)
        assert not again.expect_success().logged("WARNING", "STATE")
    assert len(run.logged("WARNING", "charges: ", "STATE")) == 1
    assert MARKER not in run.stderr


def test_a_state_without_bookmarks_is_read_with_a_warning() -> None:
    message = {"type": "STATE", "value": {"bookmarks": {}}}
    with FakeAPI(make_account(charges=3)) as api:
        run = run_in_process(tap_config(api), state=message).expect_success()
        assert run.keys("charges") == api.account.keys("charges")
    assert len(run.logged("WARNING", "the state", "`bookmarks`")) == 1


@pytest.mark.parametrize("option", ["catalog", "state"])
def test_a_file_that_is_nested_too_deeply_is_named(option: str, tmp_path: Path) -> None:
    beginning = {
        "catalog": '{"streams": [{"tap_stream_id": "charges", "schema": ',
        "state": '{"bookmarks": {"charges": ',
    }
    end = {"catalog": "}]}", "state": "}}"}
    config, file = tmp_path / "config.json", tmp_path / f"{option}.json"
    file.write_text(beginning[option] + '{"items": ' * 100_000 + "{}" + "}" * 100_000 + end[option], encoding="utf-8")
    with FakeAPI(make_account(charges=3)) as api:
        config.write_text(json.dumps(tap_config(api)), encoding="utf-8")
        expect_one_error(invoke_in_process("--config", str(config), f"--{option}", str(file)), option)


# Everything that a file can hold in the wrong place.
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, -1, 1.5, "", MARKER, [], {}, [None], [MARKER], {MARKER: None}, [[]], [{}]]
)


def places(value: object) -> list[tuple[Any, Any]]:
    """Return each container inside a value with each of its keys or indexes."""
    inside: list[tuple[Any, Any]] = []
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        inside += [(value, key), *places(child)]
    return inside


def begin(tap_of: Callable[[], TapPayments]) -> None:
    """Make a tap of a catalog and a state, and begin with its streams; or refuse them in one line."""
    with suppress(RunError):
        tap = tap_of()
        tap._reset_state_progress_markers()  # noqa: SLF001 - what `sync_all` begins with
        for stream in tap.streams.values():
            if isinstance(stream, PaymentsStream) and stream.selected:
                stream.can_write_unmodified  # noqa: B018 - it reads selection, maps and schema
                stream._plan  # noqa: B018, SLF001 - it reads the schema
                read_state(stream.stream_state, stream.replication_key or "")
                stream.finalize_state_progress_markers()


@given(st.data())
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_no_odd_value_in_a_catalog_is_an_internal_error(data: st.DataObject) -> None:
    catalog = copy.deepcopy(discovered_catalog())
    for entry in catalog["streams"]:
        entry["schema"]["properties"] = dict(list(entry["schema"]["properties"].items())[:3])
        entry["metadata"] = entry["metadata"][-1:] + entry["metadata"][:2]
    for _ in range(data.draw(st.integers(1, 3))):
        if found := places(catalog):
            container, key = data.draw(st.sampled_from(found))
            container[key] = copy.deepcopy(data.draw(ODD))
    before = json.dumps(catalog)
    begin(lambda: TapPayments(config={"username": "u", "provider": "chargedesk"}, catalog=catalog))
    assert json.dumps(catalog) == before


@given(st.data())
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_no_odd_value_in_a_state_is_an_internal_error(data: st.DataObject) -> None:
    bookmark = {
        "replication_key": "occurred",
        "replication_key_value": "1704067200",
        "progress_markers": {"replication_key": "occurred", "replication_key_value": "1", "Note": ""},
        "partitions": [{"context": {"account": 1}, "progress_markers": {}}],
        "starting_replication_value": None,
        "replication_key_signpost": "2024-01-01T00:00:00+00:00",
    }
    state: JSON = {"bookmarks": {"charges": bookmark, "products": {}}}
    for _ in range(data.draw(st.integers(1, 3))):
        if found := places(state):
            container, key = data.draw(st.sampled_from(found))
            container[key] = copy.deepcopy(data.draw(ODD))
    catalog = catalog_with(incremental=["charges"])
    begin(lambda: TapPayments(config={"username": "u", "provider": "chargedesk"}, catalog=catalog, state=state))
