"""The decoder learns what arrives, and whatever a field is called it goes out as it does field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tap_payments.records.coerce import Coercer, Field
from tap_payments.records.decoder import MAX_COMPILED, RecordDecoder
from tests.support.decoding import decoder_reader

NULLABLE = {"type": ["string", "null"]}
SCHEMA: dict[str, Any] = {
    "properties": {
        "id": {"type": "string"},
        "count": {"type": ["number", "null"]},
        "free": {"type": ["object", "null"]},
        "list": {"type": ["array", "null"], "items": {"type": ["object", "null"], "properties": {"a": NULLABLE}}},
    }
}


def test_a_field_that_did_not_fit_is_coerced_by_the_decoder_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    slow: list[Any] = []
    names: list[str] = []
    coerce_record = Coercer.coerce_record

    def count(coercer: Coercer, record: Field, values: dict[str, Any]) -> dict[str, Any]:
        slow.extend([] if record.path else [values])
        return coerce_record(coercer, record, values)

    monkeypatch.setattr(Coercer, "coerce_record", count)
    read = decoder_reader(SCHEMA, Coercer(names.append))
    text = '{"id":5,"count":"1","free":[],"list":[{"a":1}],"new":1}'
    for _ in range(10):
        assert json.loads(read(text)) == {"id": "5", "count": 1, "free": {}, "list": [{"a": "1"}]}
    assert not slow
    assert names == ["new"]
    assert json.loads(read('{"id":"a","count":null,"list":{"7":{"b":1}}}')) == {"id": "a", "count": None, "list": [{}]}
    assert "list[].b" in names, "also where the field is coerced"


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a.b", "a`b", "a[0]", "$", "", "é", "class", "field_0"])
@pytest.mark.parametrize("value", ['"x"', "5"])
def test_a_field_may_have_any_name(name: str, value: str) -> None:
    inside = {"type": ["object", "null"], "properties": {name: NULLABLE}}
    schema = {"properties": {name: NULLABLE, "inside": inside, "new": NULLABLE}}
    text = f'{{{json.dumps(name)}:{value},"inside":{{{json.dumps(name)}:{value}}},{json.dumps(name + "2")}:1}}'
    names: list[str] = []
    read, expected = decoder_reader(schema, Coercer(names.append)), value.strip('"')
    for _ in range(4):
        assert json.loads(read(text)) == {name: expected, "inside": {name: expected}}
    assert set(names) == {name + "2"}


def test_ever_new_fields_compile_no_ever_new_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[int] = []
    compile_decoder = RecordDecoder._compile  # noqa: SLF001

    def count(decoder: RecordDecoder) -> None:
        compiled.append(1)
        compile_decoder(decoder)

    monkeypatch.setattr(RecordDecoder, "_compile", count)
    names: list[str] = []
    read = decoder_reader(SCHEMA, Coercer(names.append))
    for number in range(2 * MAX_COMPILED):
        assert json.loads(read(f'{{"id":"a","new_{number}":1}}')) == {"id": "a"}
    assert len(compiled) == MAX_COMPILED
    assert len(names) == 2 * MAX_COMPILED
