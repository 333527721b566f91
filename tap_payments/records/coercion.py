"""Coercion of records to the types that their schema declares.

Most records have one of a few shapes: the same fields with values of the same types. Coercions are planned once per
record shape, and only the fields that need one are touched afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_payments.errors import InvalidValueError
from tap_payments.records.conversions import (
    invalid_value,
    to_boolean,
    to_decimal,
    to_integer,
    to_number,
    to_string,
)
from tap_payments.records.exact_json import ExactNumber

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    Coercion = Callable[[Any], Any]
    Shape = tuple[object, ...]
    OnInvalid = Callable[[str, InvalidValueError], None]

# A list whose records have ever new fields must not fill the memory with their shapes.
MAX_SHAPES = 1000
MONEY_FORMAT = "x-singer.decimal"
#: Marks a field that is personal data; where values are hashed, it is.
PERSONAL = "x-personal"


@dataclass(frozen=True)
class CoercionRules:
    """What becomes of values beyond their declared types.

    Attributes:
        on_invalid: Called with the field and the error of each value that cannot be coerced, which becomes null where
            its type allows that; None raises the error.
        on_undeclared: Called with the name of a field that the schema does not declare and that is removed.
        hash_value: Hashes the values of fields that are marked as personal data; None leaves them.
        to_text: Converts what is no text to text.
    """

    on_invalid: OnInvalid | None = None
    on_undeclared: Callable[[str], None] | None = None
    hash_value: Callable[[Any], str] | None = None
    to_text: Coercion = to_string


class _Plan(NamedTuple):
    """What is done to the records of one shape."""

    removals: Sequence[str]
    coercions: Sequence[tuple[str, Coercion]]


class Coercer:
    """Coerces records to one schema, in place."""

    def __init__(
        self,
        schema: Mapping[str, Any],
        rules: CoercionRules | None = None,
        *,
        never_null: Collection[str] = (),
        path: str = "",
    ) -> None:
        """Read the declared types.

        Args:
            schema: A JSON Schema of type object; at any depth, a type that is a choice of several is left alone. A
                field declared `true` passes unchecked, and one declared `false` is removed. One that is not declared
                is removed too, unless the schema has `additionalProperties`.
            rules: What becomes of values beyond their types.
            never_null: Fields that never become null, whatever their type allows.
            path: The field that the object stands in, as errors name it.
        """
        self._rules = rules = rules or CoercionRules()
        self._prefix = f"{path}." if path else ""
        properties = schema.get("properties", {})
        declared = {name: types for name, types in properties.items() if not isinstance(types, bool)}
        self._undeclared_pass = schema.get("additionalProperties") not in (None, False)
        self._unchecked = {name for name, types in properties.items() if types is True}
        self._removed = {name for name, types in properties.items() if types is False}
        self._never_null = {name for name, types in declared.items() if name in never_null or not _allows_null(types)}
        strict = replace(rules, on_invalid=None)
        self._coercions = {
            name: _coercions_for(types, self._prefix + name, strict if name in never_null else rules)
            for name, types in declared.items()
        }
        self._plans: dict[Shape, _Plan] = {}

    def coerce(self, record: dict[str, Any]) -> dict[str, Any]:
        """Coerce one record, and remove what does not go out.

        Args:
            record: Changed in place.

        Returns:
            The same record.

        Raises:
            InvalidValueError: If a value cannot be coerced.
        """
        shape = (*record, *map(type, record.values()))
        plan = self._plans.get(shape)
        if plan is None:
            plan = self._learn(record, shape)
        for name in plan.removals:
            del record[name]
        for name, coercion in plan.coercions:
            value = record[name]
            try:
                coerced = coercion(value)
            except InvalidValueError as error:
                error.never_null = name in self._never_null
                raise error.within(name) from None
            if coerced is not value:
                record[name] = coerced
        return record

    def _learn(self, record: dict[str, Any], shape: Shape) -> _Plan:
        removals, coercions = [], []
        for name, value in record.items():
            if name in self._coercions:
                coercion = self._coercions[name](type(value))
                if coercion is not None:
                    coercions.append((name, coercion))
            elif name in self._removed:
                removals.append(name)
            elif name not in self._unchecked and not self._undeclared_pass:
                removals.append(name)
                if self._rules.on_undeclared is not None:
                    self._rules.on_undeclared(self._prefix + name)
        if len(self._plans) >= MAX_SHAPES:
            self._plans.clear()
        plan = self._plans[shape] = _Plan(removals, coercions)
        return plan


def _types(declared: Mapping[str, Any]) -> set[str]:
    types = declared.get("type", [])
    return {types} if isinstance(types, str) else set(types)


def declared_kinds(declared: Mapping[str, Any]) -> set[str]:
    """Return the declared types of a field, null left out."""
    return _types(declared) - {"null"}


def _allows_null(declared: Mapping[str, Any]) -> bool:
    types = _types(declared)
    return "null" in types or not types


def _coercions_for(declared: Mapping[str, Any], path: str, rules: CoercionRules) -> Callable[[type], Coercion | None]:
    """Return the coercion to the declared type, by the type that arrived; None where nothing is to be done."""
    nullable = _allows_null(declared)
    kinds = declared_kinds(declared)
    if len(kinds) != 1:
        return lambda _arrived: None
    kind = kinds.pop()
    if kind == "string" and declared.get("format") == MONEY_FORMAT:
        kind = "decimal"
    items = declared.get("items")
    choose_item = _coercions_for(items, f"{path}[]", rules) if items and items.get("type") else None
    inner = Coercer(declared, rules, path=path) if declared.get("properties") else None
    coercions: dict[str, Coercion] = {
        "string": rules.to_text,
        "number": to_number,
        "integer": to_integer,
        "decimal": to_decimal,
        "boolean": to_boolean,
        "object": partial(_to_object, inner),
        "array": partial(_to_array, choose_item),
    }
    # Types that are right as they arrive; `bool` is not among the numbers, and what is inside a container may be wrong.
    right_types: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "number": (int, Decimal, ExactNumber),
        "integer": (int,),
        "boolean": (bool,),
        "object": () if inner else (dict,),
        "array": () if choose_item else (list,),
    }
    right = right_types.get(kind, ())
    coercion = coercions.get(kind)
    if coercion is not None and rules.hash_value is not None and declared.get(PERSONAL):
        # Text is hashed as it is, and what arrives in place of text as the text that it stands for.
        coercion = rules.hash_value if kind == "string" else partial(_hash_coerced, rules.hash_value, coercion, right)
        right = ()
    if coercion is not None and not nullable:
        coercion = partial(_coerce_to_non_null, kind, coercion)
    elif coercion is not None and rules.on_invalid is not None:
        coercion = partial(_coerce_or_null, coercion, rules.on_invalid, path)

    def choose(arrived: type) -> Coercion | None:
        if arrived is type(None):
            return None if nullable else partial(_refuse_null, kind)
        return None if arrived in right else coercion

    return choose


def _hash_coerced(hash_value: Coercion, coercion: Coercion, right: Collection[type], value: object) -> object:
    coerced = value if type(value) in right else coercion(value)
    return None if coerced is None else hash_value(coerced)


def _refuse_null(declared: str, value: object) -> object:
    raise invalid_value(declared, value)


def _coerce_to_non_null(declared: str, coercion: Coercion, value: object) -> object:
    coerced = coercion(value)
    if coerced is None:
        raise invalid_value(declared, value)
    return coerced


def _coerce_or_null(coercion: Coercion, on_invalid: OnInvalid, path: str, value: object) -> object:
    try:
        return coercion(value)
    except InvalidValueError as error:
        on_invalid(path, error)
        return None


def _to_object(coercer: Coercer | None, value: Any) -> dict[str, Any] | None:
    if value == "":
        return None
    if isinstance(value, list):
        # PHP sends an object whose keys count from 0, or an empty one, as an array.
        value = {str(place): item for place, item in enumerate(value)}
    if not isinstance(value, dict):
        raise invalid_value("object", value)
    if coercer is None:
        return value
    return coercer.coerce(value)


def _to_array(choose: Callable[[type], Coercion | None] | None, value: Any) -> list[Any] | None:
    if value == "":
        return None
    if isinstance(value, dict):
        # PHP sends an array whose keys have a gap as an object.
        value = list(value.values())
    if not isinstance(value, list):
        raise invalid_value("array", value)
    if choose is None:
        return value
    for place, item in enumerate(value):
        coercion = choose(type(item))
        if coercion is None:
            continue
        try:
            value[place] = coercion(item)
        except InvalidValueError as error:
            raise error.within(f"[{place}]") from None
    return value
