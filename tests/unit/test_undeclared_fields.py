"""Undeclared fields are left out at every depth, as the SDK does."""

from __future__ import annotations

import copy
import json
import logging
from typing import Any

import pytest
from singer_sdk.helpers._typing import conform_record_data_types
from singer_sdk.helpers.conform import TypeConformanceLevel

from tap_payments.records.coerce import Coercer
from tests.support.decoding import coerce_by_fields

JSON = dict[str, Any]

NULLABLE = {"type": ["string", "null"]}
RECORD: JSON = {
    "id": "a",
    "new": 1,
    "free": {"x": {"y": 1}},
    "free_list": [{"x": 1}],
    "inner": {"known": "b", "new": {"z": 1}, "deeper": {"new": 2}},
    "open": {"known": "c", "new": 3},
    "list": [{"known": "d", "new": 4}, None, {"items": [{"new": 5}]}],
}


def an_object(**properties: JSON) -> JSON:
    return {"type": ["object", "null"], "properties": properties}


def an_array(items: JSON) -> JSON:
    return {"type": ["array", "null"], "items": items}


SCHEMA: JSON = {
    "properties": {
        "id": {"type": "string"},
        "free": {"type": ["object", "null"]},
        "free_list": an_array({}),
        "inner": an_object(known=NULLABLE, deeper=an_object(known=NULLABLE)),
        "open": {**an_object(known=NULLABLE), "additionalProperties": True},
        "list": an_array(an_object(known=NULLABLE, items=an_array(an_object(known=NULLABLE)))),
    }
}


@pytest.mark.parametrize("extra", [{}, {"additionalProperties": False}, {"additionalProperties": True}])
def test_undeclared_fields_are_left_out_as_the_sdk_does(extra: JSON) -> None:
    told: list[str] = []
    schema = {**SCHEMA, **extra}
    record = coerce_by_fields(schema, json.dumps(RECORD), Coercer(on_undeclared=told.append))
    sdk = conform_record_data_types(
        "a stream", copy.deepcopy(RECORD), schema, TypeConformanceLevel.RECURSIVE, logging.getLogger("unheard")
    )
    assert record == sdk
    top = [] if extra.get("additionalProperties") else ["new"]
    assert told == [*top, "inner.new", "inner.deeper.new", "list[].new", "list[].items[].new"]


def test_undeclared_fields_pass_where_a_schema_for_them_is_given() -> None:
    record = coerce_by_fields({"properties": {}, "additionalProperties": {}}, '{"a":1}')
    assert record == {"a": 1}
