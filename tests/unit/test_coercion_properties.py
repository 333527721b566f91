"""Properties of coercion for any schema and any record."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from tap_payments.errors import InvalidValueError
from tap_payments.records.coerce import NUMBER, Coercer
from tap_payments.records.exact_json import ENCODER
from tap_payments.records.page import read_page
from tap_payments.records.schema import MONEY_FORMAT
from tests.support.decoding import coerce_by_fields, decoder_reader, page_decoder
from tests.support.examples import tried
from tests.support.in_process import Number, exactly, read_exactly

JSON = dict[str, Any]
CHECKED = tried(100)

integers = st.integers(-(10**40), 10**40).map(str)
decimals = st.builds(
    "{}{}.{}".format, st.sampled_from(["", "-"]), st.integers(0, 10**25), st.text("0123456789", min_size=1, max_size=25)
)
exponents = st.builds("{}{}{}".format, decimals, st.sampled_from(["e", "E", "e+", "E-", "e-00"]), st.integers(0, 999))
numbers = st.one_of(integers, decimals, exponents)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
near_types = st.sampled_from(
    ["", "0", "1", "true", "false", "5", "-5", "34.00", "1e3", "[]", "{}", "null", " 1", "2.50\n", " ", "NaN"]
)
# JSON as it is written, so that numbers keep their digits.
scalars = st.one_of(
    numbers, st.sampled_from(["null", "true", "false", "0", "1"]), st.one_of(texts, near_types).map(json.dumps)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]"),
        st.dictionaries(texts, inner, max_size=3).map(
            lambda parts: "{" + ",".join(f"{json.dumps(name)}:{part}" for name, part in parts.items()) + "}"
        ),
    ),
    max_leaves=8,
)

kinds = st.sampled_from(["string", "number", "boolean"]).map(lambda kind: {"type": [kind, "null"]})
money = st.just({"type": ["string", "null"], "format": MONEY_FORMAT})
free = st.sampled_from([{"type": ["object", "null"]}, {"type": ["array", "null"], "items": {}}])
declarations: st.SearchStrategy[JSON] = st.recursive(
    st.one_of(kinds, money, free),
    lambda inner: st.one_of(
        inner.map(lambda items: {"type": ["array", "null"], "items": items}),
        st.builds(
            lambda properties, passes: {"type": ["object", "null"], "properties": properties, **passes},
            st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            st.sampled_from([{}, {}, {"additionalProperties": False}, {"additionalProperties": True}]),
        ),
    ),
    max_leaves=4,
)
schemas = st.builds(
    lambda properties, passes: {"type": "object", "properties": properties, "additionalProperties": passes},
    st.dictionaries(st.sampled_from("abcd"), declarations, max_size=4),
    st.booleans(),
)
records = st.dictionaries(st.sampled_from("abcdef"), values, max_size=5).map(
    lambda fields: "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"
)


def fits(value: object, declared: JSON) -> bool:
    """Whether a value has the declared type, at all depths."""
    if value is None:
        return True
    kind = declared["type"][0]
    if declared.get("format") == MONEY_FORMAT:
        return isinstance(value, str) and bool(NUMBER.fullmatch(value))
    if kind == "array":
        items = declared.get("items")
        return isinstance(value, list) and (not items or all(fits(item, items) for item in value))
    if kind == "object":
        inside = declared.get("properties") or {}
        passes = not inside or declared.get("additionalProperties", False)
        # What is not declared is left out, as the SDK does.
        return isinstance(value, dict) and all(
            fits(one, inside[name]) if name in inside else passes for name, one in value.items()
        )
    types: dict[str, Any] = {"string": str, "boolean": bool, "number": (int, Decimal)}
    return isinstance(value, types[kind]) and (kind != "number" or not isinstance(value, bool))


def conformed(schema: JSON, text: str) -> Any:
    """Coerce a record; None where it does not fit."""
    try:
        return coerce_by_fields(schema, text)
    except InvalidValueError:
        return None


@CHECKED
@given(schemas, records)
def test_what_comes_out_has_the_declared_types(schema: JSON, text: str) -> None:
    record = conformed(schema, text)
    assume(record is not None)
    assert all(fits(record[name], inner) for name, inner in schema["properties"].items() if name in record)
    passing = [name for name in json.loads(text) if name in schema["properties"] or schema["additionalProperties"]]
    assert list(record) == passing, "no field comes, and none goes that passes"


@CHECKED
@given(schemas, records)
def test_what_does_not_fit_becomes_null_where_that_is_asked_for(schema: JSON, text: str) -> None:
    invalid: list[str] = []
    record = coerce_by_fields(schema, text, Coercer(on_invalid=lambda path, _: invalid.append(path)))
    assert all(fits(record[name], inner) for name, inner in schema["properties"].items() if name in record)
    strict = conformed(schema, text)
    assert (strict is None) == bool(invalid), "only what the strict one refuses"
    assert strict is None or ENCODER.encode(record) == ENCODER.encode(strict)
    assert {path.split(".")[0].split("[")[0] for path in invalid} <= set(schema["properties"])


@CHECKED
@given(schemas, st.lists(records, max_size=6))
def test_the_decoder_and_the_fields_agree_whatever_came_before(schema: JSON, texts: list[str]) -> None:
    read = decoder_reader(schema)
    for text in texts * 2:
        alone = conformed(schema, text)
        try:
            together = read_exactly(read(text))
        except InvalidValueError:
            together = None
        assert together == (None if alone is None else read_exactly(ENCODER.encode(alone)))


@CHECKED
@given(st.sampled_from([{"type": ["string", "null"]}, {"type": ["string", "null"], "format": MONEY_FORMAT}]), numbers)
def test_text_made_of_a_number_has_its_digits(declared: JSON, number: str) -> None:
    record = conformed({"properties": {"a": declared}}, f'{{"a":{number}}}')
    # Python knows no negative zero among integers.
    assert record["a"] == number or (number == "-0" and record["a"] == "0")


@CHECKED
@given(numbers)
def test_a_number_made_of_text_is_that_number(number: str) -> None:
    record = conformed({"properties": {"a": {"type": ["number", "null"]}}}, f'{{"a":"{number}"}}')
    assert Decimal(number) == Decimal(record["a"])
    written = read_exactly(ENCODER.encode(record))["a"]
    assert isinstance(written, Number)
    assert Decimal(written) == Decimal(number)


@CHECKED
@given(st.lists(st.dictionaries(texts, values, max_size=4), max_size=3))
def test_a_page_goes_out_as_it_came(fields: list[dict[str, str]]) -> None:
    bodies = []
    for index, one in enumerate(fields):
        texts_of_fields = [f"{json.dumps('x' + name)}:{value}" for name, value in one.items()]
        bodies.append("{" + ",".join([f'"key":"{index}"', *texts_of_fields]) + "}")
    decoder = page_decoder({"additionalProperties": True})
    page = read_page(f'{{"data":[{",".join(bodies)}]}}'.encode(), decoder)
    assert page.keys == [str(index) for index in range(len(fields))]
    for record, body in zip(page.records, bodies, strict=True):
        assert exactly(ENCODER.encode(decoder.read(record))) == exactly(body)
