"""Each declared type makes what arrives fit, exactly, or refuses it by the name of the field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tap_payments.errors import InvalidValueError
from tap_payments.records.exact_json import ENCODER
from tap_payments.records.schema import MONEY_FORMAT, SCHEMAS
from tap_payments.streams import STREAMS
from tests.support.decoding import coerce_by_fields, decoder_reader
from tests.support.in_process import BODY_MARKER, exactly

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = dict[str, Any]

LONG, TWENTY = "123456789012345678901234567890", "0.12345678901234567890"
MARKED = json.dumps(BODY_MARKER)

# JSON text as it arrives and, behind the arrow where that is something else, as it goes out.
FITS = {
    "string": [
        *('"x"', '""', "null", '34.00 → "34.00"', '17 → "17"', '-3 → "-3"', '-0.0 → "-0.0"', '1e5 → "1e5"'),
        *('1.50E-7 → "1.50E-7"', '0.00000001 → "0.00000001"', f'{LONG} → "{LONG}"', f'{TWENTY} → "{TWENTY}"'),
        *('true → "true"', 'false → "false"', '[] → "[]"', '{} → "{}"', '"\\u0000"'),
        '{"a":1.10,"b":["é",null]} → "{\\"a\\":1.10,\\"b\\":[\\"é\\",null]}"',
    ],
    "number": [
        *("5", "-5", "34.00", LONG, TWENTY, "1e5", "1E+400", '"5" → 5', '"-5" → -5', '"34.00" → 34.00', "null"),
        *(f'"{LONG}" → {LONG}', f'"{TWENTY}" → {TWENTY}', '"1e3" → 1e3', '" 5" → 5', '"\\t-34.00 \\n" → -34.00'),
        '"" → null',
    ],
    "integer": ["5", "-5", LONG, "null", '"5" → 5', '" -5" → -5', "5.0 → 5", '"34.00" → 34', "1e3 → 1000", '"" → null'],
    "money": [
        *('"34.00"', '34.00 → "34.00"', '34 → "34"', '-0.50 → "-0.50"', f'{LONG} → "{LONG}"', "null", '"" → null'),
        *(f'{LONG}.10 → "{LONG}.10"', f'{TWENTY} → "{TWENTY}"', f'"{TWENTY}"', '1e2 → "1e2"'),
        *('0.00000001 → "0.00000001"', '" 34.00" → "34.00"', '"-5 \\r\\n" → "-5"'),
    ],
    "boolean": [
        *("true", "false", "null", "1 → true", "0 → false", '"1" → true', '"0" → false', '"true" → true'),
        *('"false" → false', '"" → null'),
    ],
    "object": [
        *("{}", "null", "[] → {}", '"" → null', '["a",1.10,[]] → {"0":"a","1":1.10,"2":[]}', '[[]] → {"0":[]}'),
        '{"a":1.10,"b":{"c":[123456789012345678901234567890,"0",true,""]}}',
    ],
    "array": ["[]", "null", "{} → []", '"" → null'],
    "array of anything": ['[1.10,{"a":"0"},[]]', '{"0":"a","2":1.10} → ["a",1.10]'],
    "array of string": [
        *('["a",null]', '{"1":"b","0":"a"} → ["b","a"]', '[1,2.50,true,[]] → ["1","2.50","true","[]"]'),
    ],
    # Both have fields that are not declared.
    "array of object": ["[{},[],null] → [{},{},null]", '{"7":{"zz":1.10}} → [{}]', '[["a",1.10],""] → [{},null]'],
}
MISFITS = {
    "number": [
        *("true", "false", "[]", "{}", "[5]", MARKED),
        *('"1,5"', '" "', '"5 5"', '"NaN"', '"-Infinity"', '"0x10"', '"1_000"', '"\\uff15"'),
    ],
    "integer": ["5.5", '"0.1"', "true", "[]", MARKED],
    "money": [
        *("true", "false", "[]", "{}", MARKED),
        *('"1,234.00"', '"$5"', '"NaN"', '"Infinity"', '" "', '"5 EUR"', '"\\u0665"'),
    ],
    "boolean": ["2", "-1", "0.5", "[]", "{}", MARKED, '"yes"', '"TRUE"', '"2"', '" "', '" 1"'],
    "object": ["1", "0", "true", "false", '" "', MARKED, '"{}"'],
    "array": ["1", "0", "true", "false", '" "', MARKED, '"[]"'],
}

TEXT = {"type": ["string", "null"]}
ITEMS = {"anything": {}, "string": TEXT, "object": {"type": ["object", "null"], "properties": {"id": TEXT}}}


def declaration(kind: str) -> JSON:
    """Return the JSON Schema of a kind of the table."""
    if kind == "money":
        return {"type": ["string", "null"], "format": MONEY_FORMAT}
    name, _, items = kind.partition(" of ")
    return {"type": [name, "null"], **({"items": ITEMS[items]} if items else {})}


def kinds_of(declared: JSON) -> Iterator[str]:
    """Yield the kinds that a schema declares, at all depths."""
    kind, items = declared["type"][0], declared.get("items") or {}
    if declared.get("format") == MONEY_FORMAT:
        yield "money"
    elif kind == "array":
        yield from ("array", f"array of {(items.get('type') or ['anything'])[0]}")
    elif declared["type"] != "object":
        yield kind if isinstance(declared["type"], list) else declared["type"]
    for inner in (*declared.get("properties", {}).values(), *([items] if items else [])):
        yield from kinds_of(inner)


def test_every_kind_that_the_schemas_declare_is_in_the_table() -> None:
    assert {kind for name in STREAMS for kind in kinds_of(SCHEMAS.get_schema(name))} <= set(FITS)


@pytest.mark.parametrize(("kind", "case"), [(kind, case) for kind, cases in FITS.items() for case in cases])
def test_what_arrives_is_made_to_fit_on_top_and_inside(kind: str, case: str) -> None:
    value, _, out = case.partition(" → ")
    declared = declaration(kind)
    inside = {"type": ["array", "null"], "items": {"type": ["object", "null"], "properties": {"b": declared}}}
    schema = {"type": "object", "properties": {"a": declared, "c": inside}}
    text, read = f'{{"a":{value},"c":[{{"b":{value}}}]}}', decoder_reader(schema)
    record = coerce_by_fields(schema, text)
    for one in (record["a"], record["c"][0]["b"]):
        assert exactly(ENCODER.encode(one).decode()) == exactly(out or value)
    # What the decoder refuses at first is coerced from then on.
    for _ in range(3):
        assert exactly(read(text).decode()) == exactly(ENCODER.encode(record).decode())


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in MISFITS.items() for value in values])
def test_what_does_not_fit_is_refused_by_name(kind: str, value: str) -> None:
    schema = {"type": "object", "properties": {"a": declaration(kind)}}
    read, text = decoder_reader(schema), f'{{"a":{value}}}'
    for way in (lambda: coerce_by_fields(schema, text), lambda: read(text), lambda: read(text)):
        with pytest.raises(InvalidValueError, match="field `a`") as refused:
            way()
        shown = json.loads(value)
        assert not isinstance(shown, str) or not shown.strip() or shown not in str(refused.value)
