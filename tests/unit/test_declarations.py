"""The settings change what is declared, and what records are coerced by, at every depth and nothing else."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tap_payments.errors import InvalidValueError
from tap_payments.records.coercion import MONEY_FORMAT, PERSONAL
from tap_payments.records.declarations import SCHEMAS, Declarations
from tap_payments.records.personal_data import value_hasher
from tap_payments.streams import STREAMS

JSON = dict[str, Any]

KEEP, HASH, DROP = Declarations(), Declarations("hash", hashes_keys=True), Declarations("drop")
TEXT = Declarations(amounts="text")
NULLABLE = {"type": ["string", "null"]}


def without_marks(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_marks(inner) for name, inner in value.items() if name != PERSONAL}
    return [without_marks(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", STREAMS)
def test_by_default_the_own_schema_is_declared_without_its_marks(name: str) -> None:
    own = SCHEMAS.get_schema(name)
    before = copy.deepcopy(own)
    declared = KEEP.declare(own)
    assert declared == without_marks(own) != own
    assert KEEP.coerced(declared, own) == declared
    assert own == before


@pytest.mark.parametrize("declarations", [KEEP, TEXT], ids=["keep", "text"])
def test_a_catalogs_own_types_hold_where_nothing_is_protected(declarations: Declarations) -> None:
    schema: JSON = {
        "type": "object",
        "additionalProperties": True,
        "properties": {
            "charge_id": {"type": "string"},
            "amount": {"type": ["number", "null"]},
            "metadata": {"type": ["object", "null"], "properties": {"a": {"anyOf": [{"type": "string"}]}}},
            "unheard_of": {"type": ["array", "null"], "items": {"properties": {"amount": {"format": MONEY_FORMAT}}}},
        },
    }
    assert declarations.resolve(schema, SCHEMAS.get_schema("charges")) == schema


@pytest.mark.parametrize("name", STREAMS)
def test_amounts_as_text_change_money_fields_alone(name: str) -> None:
    own = SCHEMAS.get_schema(name)
    declared = TEXT.declare(own)
    assert MONEY_FORMAT in json.dumps(own)
    assert MONEY_FORMAT not in json.dumps(declared)
    assert TEXT.coerced(declared, own) == KEEP.declare(own), "amounts are checked all the same"
    # A catalog that was made before says `decimal`.
    assert TEXT.resolve(KEEP.declare(own), own) == declared


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

    hashed = Declarations("hash", amounts, hashes_keys=True).declare(own)
    dropped = Declarations("drop", amounts).declare(own)
    check(own, hashed, dropped)
    assert (MONEY_FORMAT in json.dumps(hashed)) is (MONEY_FORMAT in json.dumps(dropped)) is (amounts == "decimal")
    assert PERSONAL not in json.dumps([hashed, dropped])


@pytest.mark.parametrize(("declarations", "unchecked"), [(KEEP, True), (TEXT, True), (HASH, False), (DROP, False)])
def test_what_is_not_checked_comes_no_further_where_personal_data_is_protected(
    declarations: Declarations, *, unchecked: bool
) -> None:
    schema = {"properties": {"customer_id": {"type": "string"}, "name": True, "charges": True}}
    coerced = declarations.coerced(schema, SCHEMAS.get_schema("customers"))
    assert {name: coerced["properties"][name] for name in ("name", "charges")} == {
        "name": unchecked,
        "charges": unchecked,
    }


def test_what_records_are_coerced_by_says_what_is_hashed_and_what_is_removed() -> None:
    own = SCHEMAS.get_schema("customers")
    hashed, dropped = (one.coerced(one.declare(own), own)["properties"] for one in (HASH, DROP))
    for name, known in own["properties"].items():
        if known.get(PERSONAL) and name != "customer_id":
            assert hashed[name] == known
            assert dropped[name] is False
    assert hashed["customer_id"] == own["properties"]["customer_id"]
    assert dropped["customer_id"] == without_marks(own["properties"]["customer_id"])
    nested = dropped["subscriptions"]["items"]["properties"]
    assert nested["metadata"] is nested["items"]["items"]["properties"]["description"] is False


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({}, KEEP),
        ({"personal_data": "keep", "hash_key": "a"}, KEEP),
        ({"personal_data": "hash"}, HASH),
        ({"personal_data": "drop"}, DROP),
        ({"personal_data": "drop", "hash_key": " "}, DROP),
        ({"personal_data": "drop", "hash_key": "a"}, Declarations("drop", hashes_keys=True)),
        ({"amounts": "text"}, TEXT),
        ({"personal_data": ["hash"], "amounts": {}, "hash_key": 5}, KEEP),
        ({"personal_data": None, "amounts": None}, KEEP),
    ],
)
def test_any_configuration_can_be_read(config: JSON, wanted: Declarations) -> None:
    assert Declarations.from_config(config) == wanted


# Hashes.


def test_what_has_no_text_has_no_hash() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidValueError, match="nested too deeply"):
        value_hasher("key")(deep)
    while deep:  # Python would free it recursively.
        deep = deep.pop()
