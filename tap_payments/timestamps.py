"""Times in Unix seconds: read from what an API, a STATE or a setting may hold."""

from __future__ import annotations

import re
import sys
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation

if sys.version_info >= (3, 11):
    parse_iso = datetime.fromisoformat
else:
    from backports.datetime_fromisoformat import datetime_fromisoformat as parse_iso

DAY = 86_400  # seconds
# Unix seconds that a `datetime` can hold; anything outside is not the time of a payment.
EARLIEST, LATEST = -62_135_596_800, 253_402_300_799
DIGITS = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


def read_time(value: object) -> float | None:
    """Read a time that is written as digits, as a number, or in ISO 8601.

    Args:
        value: A field of a record, a bookmark, or a setting; UTC where it names no zone.

    Returns:
        Unix seconds, an `int` where they are whole; None where the value is not a time.
    """
    if type(value) is str:
        text = value.strip()
        if text.isascii() and text.isdigit():
            return _within(int(text)) if len(text) <= len(str(LATEST)) else None
        if not DIGITS.fullmatch(text):
            return read_iso(text)
        value = Decimal(text)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        whole = int(value)
    except (OverflowError, ValueError, InvalidOperation):
        return None
    return _within(whole if whole == value else float(value))


def describe(second: float) -> str:
    """Write a time for a person: `2024-05-06T07:08:09Z`."""
    return datetime.fromtimestamp(second, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _within(seconds: float) -> float | None:
    return seconds if EARLIEST <= seconds <= LATEST else None


def read_iso(text: str) -> float | None:
    """Read an ISO 8601 date or date-time as Unix seconds, in UTC where it names no zone; None if it is neither."""
    try:
        moment = parse_iso(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    try:
        seconds = moment.timestamp()
    except OverflowError:
        return None
    return _within(int(seconds) if seconds.is_integer() else seconds)
