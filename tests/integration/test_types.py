"""Declared types are a promise to the target, whatever a server sent: made to fit, exactly, or refused by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from tap_payments.errors import VALUE_ADVICE
from tests.fake_api import FakeAPI
from tests.fake_api.faults import Body
from tests.fake_api.providers import STREAMS
from tests.support.in_process import (
    BODY_MARKER,
    Number,
    expect_one_error,
    read_served_field,
    read_served_records,
    run_in_process,
)
from tests.support.tap_runs import catalog_with, run_tap, tap_config

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

NON_FINITE = ["NaN", "Infinity", "-Infinity"]

MISFITS = {
    "string": NON_FINITE,
    "number": [
        *("true", "false", "[]", "{}", "[5]", MARKED, *NON_FINITE),
        *('"1,5"', '" "', '"5 5"', '"NaN"', '"-Infinity"', '"0x10"', '"1_000"', '"\\uff15"'),
    ],
    "money": [
        *("true", "false", "[]", "{}", MARKED, *NON_FINITE),
        *('"1,234.00"', '"$5"', '"NaN"', '"Infinity"', '" "', '"5 EUR"', '"\\u0665"'),
    ],
    "boolean": ["2", "-1", "0.5", "[]", "{}", MARKED, '"yes"', '"TRUE"', '"2"', '" "', '" 1"', *NON_FINITE],
    "object": ["1", "0", "true", "false", '" "', MARKED, '"{}"', *NON_FINITE],
    "array": ["1", "0", "true", "false", '" "', MARKED, '"[]"', *NON_FINITE],
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
NAMED = {field.stream + "." + field.named: field for field in FIELDS}
# One field of each kind at the top and one inside another, for the cases that each take a run.
SAMPLES = [
    "charges.charge_id",
    "charges.status",
    "charges.email_last_sent",
    "charges.amount",
    "charges.is_paid",
    "charges.metadata",
    "charges.methods_active",
    "charges.logs",
    "customers.subscriptions",
    "customers.subscriptions[0].first_seen",
    "customers.subscriptions[0].amount",
    "customers.subscriptions[0].metadata",
    "customers.subscriptions[0].items[0].amount",
    "customers.subscriptions[0].methods_active",
    "subscriptions.items",
    "subscriptions.items[0].amount",
    "subscriptions.items[0].quantity",
]


def _number_as_it_is(text: str) -> Any:
    """Keep the digits of a number and the place of its point: all that `34.00` says more than `34` does."""
    return "number", Decimal(text).as_tuple()


def _exactly(text: str) -> Any:
    return json.loads(text, parse_int=_number_as_it_is, parse_float=_number_as_it_is)


def _as_it_is(value: Any) -> Any:
    """Return a value whose numbers are text as `_exactly` gives it."""
    if isinstance(value, Number):
        return _number_as_it_is(value)
    if isinstance(value, dict):
        return {name: _as_it_is(part) for name, part in value.items()}
    return [_as_it_is(part) for part in value] if isinstance(value, list) else value


def test_every_kind_of_the_table_is_declared_somewhere_and_inside_something() -> None:
    assert {kind for field in FIELDS for kind in field.kinds} == set(FITS)
    inside = {kind for field in FIELDS if len(field.path) > 1 for kind in field.kinds}
    assert inside >= {"string", "number", "money", "object", "array"}
    assert set(SAMPLES) <= set(NAMED)


@pytest.mark.parametrize("unmodified", [True, False], ids=["unmodified path", "the SDK's path"])
@pytest.mark.parametrize("stream", STREAMS)
def test_every_declared_field_is_made_to_fit(stream: str, *, unmodified: bool) -> None:
    key = STREAMS[stream].key
    cases = [
        (field, *case)
        for field in FIELDS
        if field.stream == stream and field.path != (key,)
        for kind in field.kinds
        for case in FITS[kind]
        if unmodified or field.path != ("company",)
    ]
    wire = [f'{{"{key}":"key-{number}",{field.wire(value)}}}' for number, (field, value, _) in enumerate(cases)]
    wanted = [f'{{"{key}":"key-{number}",{field.wire(out)}}}' for number, (field, _, out) in enumerate(cases)]
    deselect = [] if unmodified else [f"{stream}.company"]
    with FakeAPI() as api:
        api.faults.add(Body(f'{{"data":[{",".join(wire)}]}}'.encode()))
        run = run_in_process(tap_config(api), catalog=catalog_with(only=[stream], deselect=deselect))
    records = run.expect_success().exact_records(stream)
    assert len(records) == len(cases) > 100
    for (field, value, _), record, expected in zip(cases, records, wanted, strict=True):
        assert _as_it_is(record) == _exactly(expected), (field.named, value)


@pytest.mark.parametrize(
    ("value", "key"), [("17", "17"), ("34.00", "34.00"), (LONG, LONG), ("true", "true"), ("0", "0")]
)
def test_a_key_is_text(value: str, key: str) -> None:
    assert read_served_records(f'{{"charge_id":{value}}}').expect_success().keys("charges") == [key]


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "charges.charge_id"])
def test_what_does_not_fit_is_refused_by_name(name: str) -> None:
    field = NAMED[name]
    kinds = [kind for kind in field.kinds if kind in MISFITS]
    key = STREAMS[field.stream].key
    for value in MISFITS[kinds[0]]:
        run = read_served_records(f'{{"{key}":"key-1"}},{{"{key}":"key-2",{field.wire(value)}}}', stream=field.stream)
        named = field.named
        expect_one_error(run, f"{field.stream}: /v1/{field.stream} ", "key-2", f"`{named}`", VALUE_ADVICE)
        assert set(run.keys(field.stream)) <= {"key-1"}
        told = run.lines[-1].partition("key-2")[2].replace(named, "")
        shown = json.loads(value)
        assert not isinstance(shown, str) or not shown.strip() or shown not in told


def test_an_item_that_does_not_fit_is_named_by_its_place() -> None:
    run = read_served_field("subscriptions", f'[{{}},{{"amount":"1"}},{{"amount":{MARKED}}}]', stream="customers")
    expect_one_error(run, "key-1", "`subscriptions[2].amount`")


@pytest.mark.parametrize("catalog", ["of a run with text", "of a run with decimals"])
@pytest.mark.parametrize("stream", STREAMS)
def test_amounts_as_text_are_the_same_without_a_format(stream: str, catalog: str) -> None:
    key = STREAMS[stream].key
    fields = [field for field in FIELDS if field.stream == stream and field.kinds == ("money",)]
    cases = [(field, *case) for field in fields for case in FITS["money"]]
    wire = [f'{{"{key}":"key-{number}",{field.wire(value)}}}' for number, (field, value, _) in enumerate(cases)]
    decimal = read_served_records(",".join(wire), stream=stream).expect_success()
    chosen = catalog_with(only=[stream])
    if catalog == "of a run with text":
        for entry in chosen["streams"]:
            entry["schema"] = {}
    with FakeAPI() as api:
        api.faults.add(Body(f'{{"data":[{",".join(wire)}]}}'.encode()))
        text = run_in_process(tap_config(api, amounts="text"), catalog=chosen).expect_success()
    assert len(cases) >= 28
    assert text.exact_records(stream) == decimal.exact_records(stream)
    schemas = [json.dumps(run.schemas[stream]) for run in (decimal, text)]
    assert schemas[0] != schemas[1] == schemas[0].replace('"format": "x-singer.decimal", ', "")


def test_amounts_as_text_are_checked_all_the_same() -> None:
    for value in MISFITS["money"]:
        run = read_served_field("amount", value, amounts="text")
        expect_one_error(run, "`amount`", "declared decimal", VALUE_ADVICE)


def test_undeclared_fields_that_pass_are_untouched() -> None:
    unknown = (
        f'{{"charge_id":"a","zz_number":{TWENTY},"zz_long":{LONG},"zz_money":34.00,"zz_exponent":1.50E-30,'
        f'"zz_flag":"0","zz_void":"","zz_list":[],"zz_deep":{{"a":[{{"b":-0.10,"c":[[[{LONG}.0]]]}}]}},'
        '"zz_text":"\\u0000 \\\\ \\" \\ud83d\\ude00 é \\u2028"}'
    )
    record = read_served_records(unknown, undeclared=True).expect_success().exact_records("charges")[0]
    assert _as_it_is(record) == _exactly(unknown)


@pytest.mark.parametrize("digits", [300, 4_000, 4_400, 50_000])
@pytest.mark.parametrize("name", ["zz_unknown", "email_last_sent", "amount", "status"])
def test_huge_integers_are_exact(name: str, digits: int) -> None:
    number = "-" + "9" * digits
    record = read_served_field(name, number, undeclared=True).expect_success().exact_records("charges")[0]
    assert record[name] == number


@pytest.mark.parametrize("exponent", ["1e99999", "1E+999999999999999999", "0e99999999999999999999", "1e-99999999999"])
@pytest.mark.parametrize("name", ["zz_unknown", "occurred", "email_last_sent", "amount"])
def test_exponents_past_all_bounds_are_refused_without_delay(name: str, exponent: str) -> None:
    run = read_served_field(name, exponent)
    expect_one_error(run, "charges: /v1/charges ", "key-1", f"`{name}`", "exponent")
    assert exponent not in run.stderr


@pytest.mark.parametrize(
    ("name", "opening", "closing"),
    [
        ("zz_unknown", "[", "]"),
        ("zz_unknown", '{"a":', "}"),
        ("metadata", '{"a":', "}"),
        ("logs", "[", "]"),
        ("status", "[", "]"),
        ("status", '{"a":', "}"),
    ],
)
@pytest.mark.parametrize("way", ["unmodified", "selection", "batch"])
def test_deep_nesting_is_exact_or_refused(
    name: str, opening: str, closing: str, way: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    deselect = ["charges.company"] if way == "selection" else []
    catalog = catalog_with(only=["charges"], deselect=deselect, undeclared=True)
    settings: dict[str, Any] = {}
    if way == "batch":
        root = tmp_path_factory.mktemp("batches").as_uri()
        settings["batch_config"] = {"encoding": {"format": "jsonl"}, "storage": {"root": root}}
    refused = 0
    # Where Python's decoders give up depends on its version: near 1,000, or, from 3.14 on, where the stack ends.
    for depth in (150, 400, *range(860, 1_000, 35), 20_000, 70_000, 300_000):
        value = opening * depth + "0" + closing * depth
        with FakeAPI() as api:
            api.faults.add(Body(f'{{"data":[{{"charge_id":"key-1","{name}":{value}}}]}}'.encode()))
            run = run_in_process(tap_config(api, **settings), catalog=catalog)
        if run.exit_code:
            refused += 1
            expect_one_error(run, "charges: /v1/charges ", "key-1", "nested")
        elif way != "batch":
            assert (value if name != "status" else json.dumps(value)).encode() in run.stdout
        assert depth > 150 or not run.exit_code
    assert refused


@pytest.mark.parametrize("half", ["\\ud800", "\\udfff", "x\\ud83dx"])
@pytest.mark.parametrize("name", ["status", "zz_unknown", "metadata"])
def test_half_a_surrogate_pair_is_refused_by_name(name: str, half: str) -> None:
    value = f'"{half}"' if name == "status" else f'{{"a":[{{"b":"{half}"}}]}}'
    expect_one_error(read_served_field(name, value), "charges: /v1/charges ", "key-1", f"`{name}`", "surrogate")
    expect_one_error(read_served_field(name, f'{{"{half}":1}}'), "key-1", f"`{name}`", "surrogate")


def test_half_a_surrogate_pair_in_the_key_is_refused() -> None:
    run = read_served_records('{"charge_id":"\\ud800"}')
    expect_one_error(run, "charges: /v1/charges ", "`charge_id`", "surrogate")


def test_nul_characters_are_exact() -> None:
    record = read_served_records('{"charge_id":"a\\u0000b","status":"\\u0000","metadata":{"\\u0000":"\\u0000"}}')
    assert record.expect_success().records("charges") == [
        {"charge_id": "a\0b", "status": "\0", "metadata": {"\0": "\0"}}
    ]


def test_a_record_of_5_megabytes_is_exact_as_a_process() -> None:
    text = "Größe ✓ " * 500_000
    wire = json.dumps({"data": [{"charge_id": "big", "description": text, "zz": [0.1] * 1_000}]}, ensure_ascii=False)
    with FakeAPI() as api:
        api.faults.add(Body(wire.encode()))
        catalog = catalog_with(only=["charges"], undeclared=True)
        run = run_tap(tap_config(api), catalog=catalog).expect_success()
    assert run.records("charges") == [{"charge_id": "big", "description": text, "zz": [0.1] * 1_000}]


def test_a_value_that_does_not_fit_as_a_process() -> None:
    with FakeAPI() as api:
        api.faults.add(Body(f'{{"data":[{{"charge_id":"key-1","is_paid":{MARKED}}}]}}'.encode()))
        run = run_tap(tap_config(api), catalog=catalog_with(only=["charges"]), env={"TAP_PAYMENTS_LOGLEVEL": "DEBUG"})
    expect_one_error(run, "charges: /v1/charges ", "key-1", "`is_paid`", "boolean")
