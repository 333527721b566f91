"""Each declared type makes what arrives fit, exactly, or refuses it by the name of the field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tap_payments.errors import InvalidValueError
from tap_payments.records.exact_json import ENCODER
from tap_payments.records.schema import MONEY_FORMAT
from tests.support.declared_types import FIELDS, FITS, MISFITS, exactly
from tests.support.decoding import coerce_by_fields, decoder_reader

TEXT = {"type": ["string", "null"]}
ITEMS = {"anything": {}, "string": TEXT, "object": {"type": ["object", "null"], "properties": {"id": TEXT}}}


def declaration(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a kind of the table."""
    if kind == "money":
        return {"type": ["string", "null"], "format": MONEY_FORMAT}
    name, _, items = kind.partition(" of ")
    return {"type": [name, "null"], **({"items": ITEMS[items]} if items else {})}


def coerce(kind: str, value: str) -> str:
    """Return a value as it goes out, at the top of a record and inside an array, as JSON."""
    declared = declaration(kind)
    inside = {"type": ["array", "null"], "items": {"type": ["object", "null"], "properties": {"b": declared}}}
    schema = {"type": "object", "properties": {"a": declared, "c": inside}}
    text = f'{{"a":{value},"c":[{{"b":{value}}}]}}'
    record = coerce_by_fields(schema, text)
    read = decoder_reader(schema)
    # What the decoder refuses at first is coerced from then on.
    for _ in range(3):
        assert exactly(read(text).decode()) == exactly(ENCODER.encode(record).decode())
    top, nested = (ENCODER.encode(one).decode() for one in (record["a"], record["c"][0]["b"]))
    assert top == nested
    return top


def test_every_kind_that_the_schemas_declare_is_in_the_table() -> None:
    assert {kind for field in FIELDS for kind in field.kinds} == set(FITS)


@pytest.mark.parametrize(("kind", "value", "out"), [(kind, *case) for kind, cases in FITS.items() for case in cases])
def test_what_arrives_is_made_to_fit(kind: str, value: str, out: str) -> None:
    assert exactly(coerce(kind, value)) == exactly(out)


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in MISFITS.items() for value in values])
def test_what_does_not_fit_is_refused_by_name(kind: str, value: str) -> None:
    schema = {"type": "object", "properties": {"a": declaration(kind)}}
    read = decoder_reader(schema)
    text = f'{{"a":{value}}}'
    for way in (lambda: coerce_by_fields(schema, text), lambda: read(text), lambda: read(text)):
        with pytest.raises(InvalidValueError, match="field `a`") as refused:
            way()
        shown = json.loads(value)
        assert not isinstance(shown, str) or not shown.strip() or shown not in str(refused.value)
