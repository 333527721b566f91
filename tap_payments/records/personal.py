"""Hashes of personal data, and record keys as messages show them."""

from __future__ import annotations

import hmac
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from tap_payments.errors import OBJECT_KEY, format_key
from tap_payments.records.coerce import to_json, to_string
from tap_payments.records.exact_json import CANONICAL_ENCODER

if TYPE_CHECKING:
    from collections.abc import Callable

# Hashes that are kept: the same customers come again and again.
CACHE_SIZE = 1 << 14


def value_hasher(key: str) -> Callable[[Any], str]:
    """Return a function that hashes a value with HMAC-SHA256.

    The hash is over the text of a value as it would go out, of objects and arrays over their JSON with sorted keys and
    without white space. So a value has the same hash in every field and every stream.

    Args:
        key: The secret key.

    Returns:
        The function, which returns 64 hexadecimal digits; it raises InvalidValueError if a value has no text.
    """
    keyed = hmac.new(key.encode(), digestmod="sha256")

    @lru_cache(maxsize=CACHE_SIZE)
    def hash_text(text: str) -> str:
        digest = keyed.copy()
        digest.update(text.encode())
        return digest.hexdigest()

    return lambda value: hash_text(value if type(value) is str else _canonical_text(value))


def _canonical_text(value: Any) -> str:
    is_container = isinstance(value, dict | list)
    return to_json(value, CANONICAL_ENCODER, "text to hash") if is_container else to_string(value)


def key_formatter(hash_value: Callable[[Any], str] | None, *, is_personal: bool) -> Callable[[str], str]:
    """Return a function that formats a record's key for a message.

    Args:
        hash_value: Hashes a key; None where keys are not hashed.
        is_personal: Whether the key is personal data that no message may show.
    """
    if not is_personal:
        return format_key
    return _hide_key if hash_value is None else partial(_hash_key, hash_value)


def _hash_key(hash_value: Callable[[Any], str], key: str) -> str:
    shown = format_key(key)
    return shown if shown == OBJECT_KEY else hash_value(key)


def _hide_key(_key: str) -> str:
    return "(its key is personal data)"
