"""JSON whose numbers stay exactly as they were written."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal

import msgspec

# Python refuses to read or write integers with many more digits than this, since it takes long; Decimal does not.
MAX_INTEGER_DIGITS = 4000
# A number with a longer exponent is no quantity of anything, and takes minutes or all the memory to compute with.
MAX_EXPONENT_DIGITS = 4


class ExactNumber(Decimal):
    """A number that was written with an exponent: its value, and the `text` as it was written."""

    text: str


def read_number(text: str) -> Decimal | str:
    """Read a number with a fraction or an exponent, exactly; one whose exponent is too long stays text."""
    if "e" not in text and "E" not in text:
        return Decimal(text)
    if len(re.split("[eE]", text)[1].lstrip("+-0")) > MAX_EXPONENT_DIGITS:
        return text
    number = ExactNumber(text)
    number.text = text
    return number


def read_integer(text: str) -> int | Decimal:
    """Read a whole number of any length, exactly."""
    return int(text) if len(text) <= MAX_INTEGER_DIGITS else Decimal(text)


def number_text(number: Decimal) -> str:
    """Return a number as it was written."""
    return number.text if isinstance(number, ExactNumber) else format(number, "f")


def _encode_other(value: object) -> object:
    """Encode what JSON does not know, as the SDK does; stream maps may make such values."""
    if isinstance(value, Decimal):
        return Decimal(value)  # The encoder knows the class, not classes derived from it.
    return value.isoformat() if isinstance(value, datetime) else str(value)


ENCODER = msgspec.json.Encoder(enc_hook=_encode_other, decimal_format="number")
# Writes the same text for an object in whatever order its fields arrive.
CANONICAL_ENCODER = msgspec.json.Encoder(enc_hook=_encode_other, decimal_format="number", order="sorted")
