"""Declarations fit together; settings change what is declared and what records are coerced by, and nothing else."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from tap_payments.errors import InvalidValueError
from tap_payments.providers import PROVIDERS
from tap_payments.records.plan import value_hasher
from tap_payments.records.schema import MONEY_FORMAT, PERSONAL, SCHEMAS, SchemaRules
from tap_payments.streams import STREAMS

if TYPE_CHECKING:
    from tap_payments.records.coerce import Field

JSON = dict[str, Any]

KEEP, HASH, DROP = SchemaRules(), SchemaRules("hash", hashes_keys=True), SchemaRules("drop")
TEXT = SchemaRules(amounts="text")
NULLABLE = {"type": ["string", "null"]}


def compile_fields(rules: SchemaRules, own: JSON, declared: JSON) -> Field:
    return rules.compile_record(own, declared, declared, keys=())


def without_marks(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_marks(inner) for name, inner in value.items() if name != PERSONAL}
    return [without_marks(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", STREAMS)
def test_by_default_the_own_schema_is_declared_without_its_marks(name: str) -> None:
    own = SCHEMAS.get_schema(name)
    before = copy.deepcopy(own)
    declared = KEEP.declare(own, own)
    assert declared == without_marks(own) != own
    assert own == before


@pytest.mark.parametrize("rules", [KEEP, TEXT], ids=["keep", "text"])
def test_a_catalogs_own_types_hold_where_nothing_is_protected(rules: SchemaRules) -> None:
    items = {"properties": {"amount": {"format": MONEY_FORMAT}}}
    properties = {
        "charge_id": {"type": "string"},
        "amount": {"type": ["number", "null"]},
        "metadata": {"type": ["object", "null"], "properties": {"a": {"anyOf": [{"type": "string"}]}}},
        "unheard_of": {"type": ["array", "null"], "items": items},
    }
    schema = {"type": "object", "additionalProperties": True, "properties": properties}
    assert rules.declare(SCHEMAS.get_schema("charges"), schema) == schema


def test_a_format_of_a_catalog_may_be_anything() -> None:
    own = SCHEMAS.get_schema("charges")
    declared = {"properties": {"amount": {"type": "string", "format": []}}}
    (field,) = (compile_fields(KEEP, own, declared).properties or {}).values()
    assert field is not None
    assert (field.kind, field.is_nullable) == ("string", False)


@pytest.mark.parametrize("name", STREAMS)
def test_amounts_as_text_change_money_fields_alone(name: str) -> None:
    own = SCHEMAS.get_schema(name)
    declared = TEXT.declare(own, own)
    assert MONEY_FORMAT in json.dumps(own)
    assert MONEY_FORMAT not in json.dumps(declared)
    keep = KEEP.declare(own, own)
    assert compile_fields(TEXT, own, declared) == compile_fields(KEEP, own, keep), "amounts are checked all the same"
    # A catalog that was made before says `decimal`.
    assert TEXT.declare(own, keep) == declared


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("amounts", ["decimal", "text"])
def test_hashed_fields_are_text_and_dropped_ones_are_not_declared(amounts: str, name: str) -> None:
    own = SCHEMAS.get_schema(name)

    def check(own: JSON, hashed: JSON, dropped: JSON) -> None:
        assert hashed["properties"].keys() == own["properties"].keys()
        for field, known in own["properties"].items():
            is_key = field in own.get("required", ())
            if known.get(PERSONAL):
                assert hashed["properties"][field]["type"] == ("string" if is_key else NULLABLE["type"])
                assert hashed["properties"][field].keys() == {"type", "description"}
                assert (field in dropped["properties"]) is is_key
            else:
                assert hashed["properties"][field]["type"] == known["type"]
                if (known.get("items") or {}).get("properties"):
                    pairs = (one["properties"][field]["items"] for one in (hashed, dropped))
                    check(known["items"], *pairs)

    hashed = SchemaRules("hash", amounts, hashes_keys=True).declare(own, own)
    dropped = SchemaRules("drop", amounts).declare(own, own)
    check(own, hashed, dropped)
    assert (MONEY_FORMAT in json.dumps(hashed)) is (MONEY_FORMAT in json.dumps(dropped)) is (amounts == "decimal")
    assert PERSONAL not in json.dumps([hashed, dropped])


def test_a_catalog_only_selects_where_personal_data_is_protected() -> None:
    own = SCHEMAS.get_schema("customers")
    given = {"properties": {"customer_id": {"type": "string"}, "first_seen": {"type": "string"}}}
    ignored: list[str] = []
    declared = HASH.declare(own, given, ignored.append)
    assert ignored == ["first_seen"]
    assert declared["properties"].keys() == {"customer_id", "first_seen"}
    assert declared["properties"]["first_seen"] == own["properties"]["first_seen"]
    ignored.clear()
    assert KEEP.declare(own, given, ignored.append) == given
    assert HASH.declare(own, own, ignored.append) == HASH.declare(own, KEEP.declare(own, own), ignored.append)
    assert ignored == []


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({}, KEEP),
        ({"personal_data": "keep", "hash_key": "a"}, KEEP),
        ({"personal_data": "hash"}, HASH),
        ({"personal_data": "drop"}, DROP),
        ({"personal_data": "drop", "hash_key": " "}, DROP),
        ({"personal_data": "drop", "hash_key": "a"}, SchemaRules("drop", hashes_keys=True)),
        ({"amounts": "text"}, TEXT),
        ({"personal_data": ["hash"], "amounts": {}, "hash_key": 5}, KEEP),
        ({"personal_data": None, "amounts": None}, KEEP),
    ],
)
def test_any_configuration_can_be_read(config: JSON, wanted: SchemaRules) -> None:
    assert SchemaRules.from_config(config) == wanted


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_declares_its_key_and_its_time(name: str) -> None:
    stream, schema = STREAMS[name], SCHEMAS.get_schema(name)
    assert vars(stream)["name"] == name
    assert schema["required"] == list(stream.primary_keys)
    assert {*stream.primary_keys, stream.time_field} <= schema["properties"].keys()
    # Bookmarks are made of the time that pages are read by.
    assert tuple(stream.valid_replication_keys) in {(), (stream.time_field,)}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_limits_lists_that_exist(provider: str) -> None:
    assert PROVIDERS[provider].listings.keys() <= STREAMS.keys()


def test_what_has_no_text_has_no_hash() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidValueError, match="nested too deeply"):
        value_hasher("key")(deep)
    while deep:  # Python would free it recursively.
        deep = deep.pop()
