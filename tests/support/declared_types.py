"""A table of values for each declared type, as they arrive and as they go out, and the fields of the schemas."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tests.fake_api.providers import STREAMS
from tests.support.in_process import BODY_MARKER, Number

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = "123456789012345678901234567890"
TWENTY = "0.12345678901234567890"
MARKED = json.dumps(BODY_MARKER)

# What arrives and what goes out, as JSON text; a number that goes out is held against its digits.
FITS = {
    "string": [
        ('"x"', '"x"'),
        ('""', '""'),
        ("null", "null"),
        ("34.00", '"34.00"'),
        ("17", '"17"'),
        ("-3", '"-3"'),
        ("-0.0", '"-0.0"'),
        ("1e5", '"1e5"'),
        ("1.50E-7", '"1.50E-7"'),
        ("0.00000001", '"0.00000001"'),
        (LONG, f'"{LONG}"'),
        (TWENTY, f'"{TWENTY}"'),
        ("true", '"true"'),
        ("false", '"false"'),
        ("[]", '"[]"'),
        ("{}", '"{}"'),
        ('{"a":1.10,"b":["é",null]}', json.dumps('{"a":1.10,"b":["é",null]}')),
        ('"\\u0000"', '"\\u0000"'),
    ],
    "number": [
        ("5", "5"),
        ("-5", "-5"),
        ("34.00", "34.00"),
        (LONG, LONG),
        (TWENTY, TWENTY),
        ("1e5", "1e5"),
        ("1E+400", "1E+400"),
        ('"5"', "5"),
        ('"-5"', "-5"),
        ('"34.00"', "34.00"),
        (f'"{LONG}"', LONG),
        (f'"{TWENTY}"', TWENTY),
        ('"1e3"', "1e3"),
        ('" 5"', "5"),
        ('"\\t-34.00 \\n"', "-34.00"),
        ('""', "null"),
        ("null", "null"),
    ],
    "money": [
        ('"34.00"', '"34.00"'),
        ("34.00", '"34.00"'),
        ("34", '"34"'),
        ("-0.50", '"-0.50"'),
        (LONG, f'"{LONG}"'),
        (f"{LONG}.10", f'"{LONG}.10"'),
        (TWENTY, f'"{TWENTY}"'),
        (f'"{TWENTY}"', f'"{TWENTY}"'),
        ("1e2", '"1e2"'),
        ("0.00000001", '"0.00000001"'),
        ('" 34.00"', '"34.00"'),
        ('"-5 \\r\\n"', '"-5"'),
        ('""', "null"),
        ("null", "null"),
    ],
    "boolean": [
        ("true", "true"),
        ("false", "false"),
        ("1", "true"),
        ("0", "false"),
        ('"1"', "true"),
        ('"0"', "false"),
        ('"true"', "true"),
        ('"false"', "false"),
        ('""', "null"),
        ("null", "null"),
    ],
    "object": [
        ("{}", "{}"),
        ("[]", "{}"),
        ('""', "null"),
        ('["a",1.10,[]]', '{"0":"a","1":1.10,"2":[]}'),
        ("[[]]", '{"0":[]}'),
        ("null", "null"),
        (
            '{"a":1.10,"b":{"c":[123456789012345678901234567890,"0",true,""]}}',
            '{"a":1.10,"b":{"c":[123456789012345678901234567890,"0",true,""]}}',
        ),
    ],
    "array": [("[]", "[]"), ("{}", "[]"), ('""', "null"), ("null", "null")],
    "array of anything": [
        ('[1.10,{"a":"0"},[]]', '[1.10,{"a":"0"},[]]'),
        ('{"0":"a","2":1.10}', '["a",1.10]'),
    ],
    "array of string": [
        ('["a",null]', '["a",null]'),
        ('{"1":"b","0":"a"}', '["b","a"]'),
        ("[1,2.50,true,[]]", '["1","2.50","true","[]"]'),
    ],
    "array of object": [
        ("[{},[],null]", "[{},{},null]"),
        # Both have fields that are not declared.
        ('{"7":{"zz":1.10}}', "[{}]"),
        ('[["a",1.10],""]', "[{},null]"),
    ],
}

MISFITS = {
    "number": [
        *("true", "false", "[]", "{}", "[5]", MARKED),
        *('"1,5"', '" "', '"5 5"', '"NaN"', '"-Infinity"', '"0x10"', '"1_000"', '"\\uff15"'),
    ],
    "money": [
        *("true", "false", "[]", "{}", MARKED),
        *('"1,234.00"', '"$5"', '"NaN"', '"Infinity"', '" "', '"5 EUR"', '"\\u0665"'),
    ],
    "boolean": ["2", "-1", "0.5", "[]", "{}", MARKED, '"yes"', '"TRUE"', '"2"', '" "', '" 1"'],
    "object": ["1", "0", "true", "false", '" "', MARKED, '"{}"'],
    "array": ["1", "0", "true", "false", '" "', MARKED, '"[]"'],
}


@dataclass(frozen=True)
class Declared:
    """A field that a schema declares; `path` names it, with `[]` for the items of an array."""

    stream: str
    path: tuple[str, ...]
    kinds: tuple[str, ...]

    def wire(self, value: str) -> str:
        """Return the JSON text of the field and all it stands in, with this value."""
        text = value
        for part in reversed(self.path[1:]):
            text = f"[{text}]" if part == "[]" else f'{{"{part}":{text}}}'
        return f'"{self.path[0]}":{text}'

    @property
    def named(self) -> str:
        """The field as messages name it."""
        return ".".join(self.path).replace(".[]", "[0]")


def _declared(stream: str, schema: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[Declared]:
    for name, declared in schema["properties"].items():
        types = declared["type"]
        kind = types if isinstance(types, str) else types[0]
        path = (*above, name)
        items = declared.get("items") or {}
        if declared.get("format") == "x-singer.decimal":
            kinds: tuple[str, ...] = ("money",)
        elif kind == "array":
            inner = (items.get("type") or ["anything"])[0]
            kinds = ("array", f"array of {inner}")
        else:
            kinds = (kind,)
        yield Declared(stream, path, kinds)
        if items.get("properties"):
            yield from _declared(stream, items, (*path, "[]"))
        if declared.get("properties"):
            yield from _declared(stream, declared, path)


def _fields() -> list[Declared]:
    folder = files("tap_payments.schemas")
    return [
        field
        for stream in STREAMS
        for field in _declared(stream, json.loads(folder.joinpath(f"{stream}.json").read_text(encoding="utf-8")))
    ]


FIELDS = _fields()


def _digits(text: str) -> Any:
    """Keep the digits of a number and the place of its point: all that `34.00` says more than `34` does."""
    return "number", Decimal(text).as_tuple()


def exactly(text: str) -> Any:
    """Read JSON with the digits of each number, and the place of its point."""
    return json.loads(text, parse_int=_digits, parse_float=_digits)


def as_it_is(value: Any) -> Any:
    """Return a value whose numbers are text as `exactly` gives it."""
    if isinstance(value, Number):
        return _digits(value)
    if isinstance(value, dict):
        return {name: as_it_is(part) for name, part in value.items()}
    return [as_it_is(part) for part in value] if isinstance(value, list) else value
