"""Stream maps that change nothing are named, and so is a name that flattening gives to two fields."""

from __future__ import annotations

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.support.in_process import InProcessRun, run_in_process
from tests.support.tap_runs import JSON, catalog_with, tap_config

COPY = {"__source__": "charges", "email": "charge_id"}

MAPS: dict[str, tuple[JSON, list[list[str]]]] = {
    "no map": ({}, [["`stream_maps`", "__NULL__"]]),
    "a map that Meltano emptied": ({"customers": {}}, [["'customers'", "__NULL__"]]),
    "a stream that is not there": ({"costumers": {"email": None}}, [["'costumers'", "customers"]]),
    "a copy of a stream that is not there": ({"copy": {**COPY, "__source__": "charge"}}, [["'copy'", "no stream"]]),
    "a pattern that matches nothing": ({"x*": {"email": None}}, [["'x*'", "no stream"]]),
    "fields that are not there": (
        {"customers": {"e_mail": "__NULL__", "tel": None, "phone": None}, "products": {"nme": None}},
        [["'customers'", "'e_mail'"], ["'customers'", "'tel'"], ["'products'", "'nme'"]],
    ),
    "a field of no stream of a pattern": ({"*": {"e_mail": None}}, [["'*'", "'e_mail'"]]),
    "a field that a copy has not": ({"copy": {**COPY, "e_mail": None}}, [["'copy'", "'e_mail'"]]),
    "a name in several lines": ({"costumers\n2026 | ERROR": {"email": None}}, [["'costumers\\n2026 | ERROR'"]]),
    # What changes something is no warning.
    "a field": ({"customers": {"email": None, "name": "__NULL__"}}, []),
    "a filter": ({"charges": {"__filter__": "1"}}, []),
    "another name": ({"charges": {"__alias__": "payments"}}, []),
    "the named alone": ({"charges": {"__else__": None, "charge_id": "charge_id"}}, []),
    "a copy": ({"copy": COPY}, []),
    "no such stream": ({"products": None, "charges": "__NULL__"}, []),
    "a stream that is not selected": ({"subscriptions": {"status": None}}, []),
}


def read(maps: JSON, catalog: JSON | None = None) -> InProcessRun:
    """Read an account with stream maps."""
    catalog = catalog or catalog_with(only=["charges", "customers", "products"], deselect=["charges.company"])
    with FakeAPI(make_account(charges=2, customers=2, products=2)) as api:
        return run_in_process(tap_config(api, stream_maps=maps), catalog=catalog)


@pytest.mark.parametrize(("maps", "words"), MAPS.values(), ids=MAPS)
def test_what_changes_nothing_is_a_warning_with_its_name_and_nothing_else(maps: JSON, words: list[list[str]]) -> None:
    warnings = read(maps).expect_success().logged("WARNING")
    assert len(warnings) == len(words)
    for line, expected in zip(warnings, words, strict=True):
        assert [word for word in ("stream_maps", *expected) if word not in line] == []


def test_a_field_that_the_catalog_declares_or_lets_pass_may_be_removed() -> None:
    catalog = catalog_with(only=["charges", "customers"])
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] == "charges":
            entry["schema"]["properties"]["risk"] = {"type": ["string", "null"]}
        if entry["tap_stream_id"] == "customers":
            entry["schema"]["additionalProperties"] = True
    assert not read({"charges": {"risk": None}, "customers": {"score": None}}, catalog).logged("WARNING")


FLAT = {"flattening_enabled": True, "flattening_max_depth": 1}
LONG = ("subscription_renewal_note_a", "subscription_renewal_note_account")
NESTED = {"type": ["object", "null"], "properties": {"plan": {"type": ["string", "null"]}}}


@pytest.mark.parametrize(
    ("fields", "settings", "name"),
    [
        ({"metadata__plan": {"type": "string"}}, {}, "metadata__plan"),
        ({}, {"stream_maps": {"ch*": {"metadata__plan": "charge_id"}}}, "metadata__plan"),
        ({"metadata_plan": {"type": "string"}}, {"flattening_separator": "_"}, "metadata_plan"),
        (
            {"metadata": {**NESTED, "properties": {name: {"type": "string"} for name in LONG}}},
            {"flattening_max_key_length": 30},
            "met__srna",
        ),
    ],
)
def test_a_name_that_flattening_gives_to_two_fields_is_named(fields: JSON, settings: JSON, name: str) -> None:
    catalog = catalog_with(only=["charges"])
    charges = next(entry for entry in catalog["streams"] if entry["tap_stream_id"] == "charges")
    charges["schema"]["properties"].update({"metadata": NESTED, **fields})
    with FakeAPI(make_account(charges=2)) as api:
        run = run_in_process(tap_config(api, **FLAT, **settings), catalog=catalog)
        run.expect_failure("charges: ", "flattening", name, "flattening_separator")
        assert api.requests == []
