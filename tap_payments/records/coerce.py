"""Coercion of values to their declared types, and of records field by field."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tap_payments.errors import InvalidValueError
from tap_payments.records.exact_json import ENCODER, MAX_EXPONENT_DIGITS, MAX_INTEGER_DIGITS, number_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import msgspec

# A number as text: `[-+]digits[.digits][e[-+]digits]`.
NUMBER = re.compile(rf"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?0*[0-9]{{1,{MAX_EXPONENT_DIGITS}}})?")
FLAGS = {"1": True, "0": False, "true": True, "false": False, "": None}
TYPE_NAMES = {bool: "boolean", str: "string", list: "array", dict: "object", type(None): "null"}
ANY, DECIMAL = "any", "decimal"


@dataclass(frozen=True)
class Field:
    """A declared field, or a record as a whole.

    Attributes:
        kind: The declared type: a key of `CONVERSIONS`, or `any` where values are left alone.
        path: The field as warnings name it, such as `items[].amount`.
        is_nullable: Whether it may be null.
        is_key: Whether it is never made null: a key or a replication key.
        is_hashed: Whether its values are hashed.
        properties: The fields of an object by name, None for one that does not go out; None as a whole where the
            object may hold anything.
        items: The items of an array; None where they may be anything.
        passes_undeclared: Whether an object passes fields that are not in `properties`.
    """

    kind: str
    path: str = ""
    is_nullable: bool = True
    is_key: bool = False
    is_hashed: bool = False
    properties: Mapping[str, Field | None] | None = None
    items: Field | None = None
    passes_undeclared: bool = False


@dataclass(frozen=True)
class Coercer:
    """Coerces values that do not fit their declared types.

    Attributes:
        on_undeclared: Called with each field that is left out because the schema does not declare it.
        on_invalid: Called with the field and the error of each value that becomes null because it cannot be coerced;
            None raises the error instead.
        hash_value: Hashes a value, for fields that are hashed.
        allows_json_text: Whether an object or array in place of a text becomes its JSON.
    """

    on_undeclared: Callable[[str], None] = lambda _: None
    on_invalid: Callable[[str, InvalidValueError], None] | None = None
    hash_value: Callable[[Any], str] | None = None
    allows_json_text: bool = True

    def coerce_record(self, record: Field, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a record, or of an object in it, that go out.

        Args:
            record: The declared fields.
            values: The values as they arrived.

        Raises:
            InvalidValueError: If a value cannot be coerced.
        """
        coerced = {}
        properties, prefix = record.properties or {}, f"{record.path}." if record.path else ""
        for name, value in values.items():
            if name not in properties:
                if record.passes_undeclared:
                    coerced[name] = value
                else:
                    self.on_undeclared(prefix + name)
            elif (field := properties[name]) is not None:
                coerced[name] = self.coerce(field, value, name)
        return coerced

    def coerce(self, field: Field, value: Any, name: str = "") -> Any:
        """Return a value of the declared type of a field.

        Args:
            field: The declared field.
            value: The value as it arrived.
            name: The name of the value in its object, or its index in its array.

        Raises:
            InvalidValueError: If the value, or one in it, cannot be coerced.
        """
        try:
            coerced = None if value is None else self._convert(field, value)
            if coerced is None and not field.is_nullable:
                raise invalid_value(field.kind, value)
        except InvalidValueError as error:
            error.never_null = field.is_key or not field.is_nullable
            if error.never_null or self.on_invalid is None:
                raise error.within(name) from None
            self.on_invalid(field.path, error)
            return None
        if field.is_hashed and coerced is not None and self.hash_value is not None:
            return self.hash_value(coerced)
        return coerced

    def _convert(self, field: Field, value: Any) -> Any:
        if field.kind == ANY:
            return value
        if field.kind == "string":
            if isinstance(value, dict | list) and value and not self.allows_json_text and not field.is_hashed:
                raise invalid_value("string", value)
            # Of an object or array that arrives in place of a text, the canonical JSON is hashed.
            return value if field.is_hashed else to_string(value)
        converted = CONVERSIONS[field.kind](value)
        if converted is None:
            return None
        if field.kind == "object" and field.properties is not None:
            return self.coerce_record(field, converted)
        if field.kind == "array" and (items := field.items) is not None:
            return [self.coerce(items, item, f"[{index}]") for index, item in enumerate(converted)]
        return converted


def invalid_value(declared: str, value: object) -> InvalidValueError:
    """Return the error of a value that cannot be coerced; it names both types, never the value.

    Args:
        declared: The declared type.
        value: The value.
    """
    arrived = TYPE_NAMES.get(type(value), "number") + (" of another form" if isinstance(value, str) else "")
    return InvalidValueError(declared, arrived)


def to_json(value: Any, encoder: msgspec.json.Encoder, declared: str) -> str:
    """Return the JSON of an object or array.

    Args:
        value: The object or array.
        encoder: Encodes it.
        declared: The wanted type, as the error names it.

    Raises:
        InvalidValueError: If it is nested too deeply.
    """
    try:
        return encoder.encode(value).decode()
    except RecursionError:
        raise invalid_value(f"{declared}, which JSON can be if it is not nested too deeply", value) from None


def to_string(value: Any) -> str:
    """Return the text of a value: a number's as it arrived, JSON of an object or array.

    Raises:
        InvalidValueError: If it is nested too deeply.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return number_text(value)
    return to_json(value, ENCODER, "string") if isinstance(value, dict | list) else str(value)


def to_number(value: Any) -> int | Decimal | None:
    """Return a number, which may arrive as text; None for an empty text.

    Raises:
        InvalidValueError: If it is not a number.
    """
    if type(value) is int or isinstance(value, Decimal):
        return value
    if isinstance(value, str):
        if value == "":
            return None
        text = value.strip()
        if NUMBER.fullmatch(text):
            is_integer = text.lstrip("+-").isdigit() and len(text) <= MAX_INTEGER_DIGITS
            return int(text) if is_integer else Decimal(text)
    raise invalid_value("number", value)


def to_integer(value: Any) -> int | None:
    """Return an integer, which may arrive as text or with zeros behind its point; None for an empty text.

    Raises:
        InvalidValueError: If it is not an integer.
    """
    number = to_number(value)
    if number is None or number == int(number):
        return None if number is None else int(number)
    raise invalid_value("integer", value)


def to_decimal(value: Any) -> str | None:
    """Return the exact text of a number; None for an empty text.

    Raises:
        InvalidValueError: If it is not a number.
    """
    if isinstance(value, str):
        if value == "":
            return None
        text = value.strip()
        if NUMBER.fullmatch(text):
            return text
    elif type(value) is int or isinstance(value, Decimal):
        return to_string(value)
    raise invalid_value(DECIMAL, value)


def to_boolean(value: Any) -> bool | None:
    """Return the boolean of 1, 0 or a text; None for an empty text.

    Raises:
        InvalidValueError: If it is not a boolean.
    """
    if isinstance(value, str) and value in FLAGS:
        return FLAGS[value]
    if isinstance(value, int | Decimal) and value in {0, 1}:
        return bool(value)
    raise invalid_value("boolean", value)


def to_object(value: Any) -> dict[str, Any] | None:
    """Return an object, which PHP sends as an array if its keys count from 0, or it is empty; None for an empty text.

    Raises:
        InvalidValueError: If it is not an object.
    """
    if value == "":
        return None
    if isinstance(value, list):
        return {str(index): item for index, item in enumerate(value)}
    if isinstance(value, dict):
        return value
    raise invalid_value("object", value)


def to_array(value: Any) -> list[Any] | None:
    """Return an array, which PHP sends as an object if its keys have a gap; None for an empty text.

    Raises:
        InvalidValueError: If it is not an array.
    """
    if value == "":
        return None
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list):
        return value
    raise invalid_value("array", value)


CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "string": to_string,
    DECIMAL: to_decimal,
    "number": to_number,
    "integer": to_integer,
    "boolean": to_boolean,
    "object": to_object,
    "array": to_array,
}
