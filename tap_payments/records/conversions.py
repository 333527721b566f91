"""Conversions of one value to a declared type."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tap_payments.errors import InvalidValueError
from tap_payments.records.exact_json import ENCODER, MAX_EXPONENT_DIGITS, MAX_INTEGER_DIGITS, number_text

if TYPE_CHECKING:
    import msgspec

NUMBER = re.compile(rf"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?0*\d{{1,{MAX_EXPONENT_DIGITS}}})?", re.ASCII)
_is_number = NUMBER.fullmatch
FLAGS = {"1": True, "0": False, "true": True, "false": False, "": None}


def invalid_value(declared: str, value: object) -> InvalidValueError:
    """Return the error of a value that cannot be converted; it names both types, never the value.

    Args:
        declared: The declared type.
        value: The value.
    """
    names = {
        bool: "boolean",
        str: "string",
        list: "array",
        dict: "object",
        type(None): "null",
    }
    arrived = names.get(type(value), "number") + (" of another form" if isinstance(value, str) else "")
    return InvalidValueError(declared, arrived)


def to_json(value: Any, encoder: msgspec.json.Encoder, declared: str) -> str:
    """Return the JSON of an object or array.

    Args:
        value: The object or array.
        encoder: Encodes it.
        declared: What the JSON is to be, as the error names it.

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
    if isinstance(value, dict | list):
        return to_json(value, ENCODER, "string")
    return str(value)


def to_flat_string(value: Any) -> str:
    """Return the text of a value as `to_string` does, but of no object or array with anything in it.

    Raises:
        InvalidValueError: If there is none.
    """
    if isinstance(value, dict | list) and value:
        raise invalid_value("string", value)
    return to_string(value)


def to_number(value: Any) -> int | Decimal | None:
    """Return the number of a text of digits; null for an empty one.

    Raises:
        InvalidValueError: If there is none.
    """
    if isinstance(value, str):
        if value == "":
            return None
        text = value.strip()
        if NUMBER.fullmatch(text):
            is_integer = text.lstrip("+-").isdigit() and len(text) <= MAX_INTEGER_DIGITS
            return int(text) if is_integer else Decimal(text)
    raise invalid_value("number", value)


def to_integer(value: Any) -> int | None:
    """Return the integer that a value stands for; null for an empty text.

    Raises:
        InvalidValueError: If there is none.
    """
    number = value if isinstance(value, Decimal) else to_number(value)
    if number is None or number == int(number):
        return None if number is None else int(number)
    raise invalid_value("integer", value)


def to_decimal(value: Any) -> str | None:
    """Return the exact text of a number; null for an empty text.

    Raises:
        InvalidValueError: If there is none.
    """
    if type(value) is str:
        if _is_number(value):
            return value
        if value == "":
            return None
        text = value.strip()
        if _is_number(text):
            return text
    elif type(value) is int:
        return str(value)
    elif isinstance(value, Decimal):
        return number_text(value)
    raise invalid_value("decimal", value)


def to_boolean(value: Any) -> bool | None:
    """Return the boolean that 1, 0, or a text of such a value stands for; null for an empty text.

    Raises:
        InvalidValueError: If there is none.
    """
    if isinstance(value, str) and value in FLAGS:
        return FLAGS[value]
    if isinstance(value, int | Decimal) and value in {0, 1}:
        return bool(value)
    raise invalid_value("boolean", value)
