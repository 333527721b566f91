"""Personal data on its way out: hashes of values, and record keys as messages show them."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from tap_payments.errors import OBJECT_KEY, show_key
from tap_payments.records.coercion import PERSONAL, Coercer, CoercionRules
from tap_payments.records.conversions import to_flat_string, to_json, to_string
from tap_payments.records.declarations import SCHEMAS, Declarations
from tap_payments.records.exact_json import CANONICAL_ENCODER

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tap_payments.records.coercion import OnInvalid
    from tap_payments.records.declarations import Schema

HashValue = Callable[[Any], str]
ShowKey = Callable[[object], str]

# Hashes that are kept: the same customers come again and again.
CACHE_SIZE = 1 << 14


def value_hasher(key: str) -> HashValue:
    """Return a function that hashes a value with HMAC-SHA256.

    What is hashed is the text of a value as it would go out, of objects and arrays their JSON with sorted keys and
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


@dataclass(frozen=True)
class Protection:
    """What keeps the personal data of one stream from going out, as the settings ask for.

    Attributes:
        declarations: What becomes of declared types.
        own: The tap's own schema of the stream.
        hash_value: Hashes a value; None where nothing is hashed.
        show_key: Shows a record's key, as it arrived, in a message.
        show_sent_key: Shows a record's key, as it goes out, in a message.
    """

    declarations: Declarations
    own: Schema
    hash_value: HashValue | None = None
    show_key: ShowKey = show_key
    show_sent_key: ShowKey = show_key

    @property
    def sends_personal_key(self) -> bool:
        """Whether the key is personal data and goes out as it is: no stream can do without its key."""
        return self.declarations.protects and self.hash_value is None and self.show_key is _hide

    @classmethod
    def of_stream(cls, name: str, key: str, config: Mapping[str, Any]) -> Protection:
        """Return the protection of a stream.

        Args:
            name: The name of the stream.
            key: The field that is its key.
            config: The configuration.
        """
        declarations, own = Declarations.from_config(config), SCHEMAS.get_schema(name)
        hash_value = value_hasher(config.get("hash_key") or "") if declarations.hashes_keys else None
        if not declarations.protects or not own["properties"][key].get(PERSONAL):
            return cls(declarations, own, hash_value)
        if hash_value is None:
            return cls(declarations, own, None, _hide, _hide)
        return cls(declarations, own, hash_value, partial(_show_hash, hash_value))

    def coercer(
        self,
        schema: Schema,
        *,
        never_null: Collection[str],
        on_invalid: OnInvalid | None,
        on_undeclared: Callable[[str], None],
    ) -> Coercer:
        """Return what makes records fit to go out.

        Args:
            schema: The schema of what goes out, with `true` for each field that is not checked.
            never_null: Fields whose invalid values are errors in any case.
            on_invalid: Called with the field and the error of each invalid value, which becomes null then; None makes
                it an error.
            on_undeclared: Called with the name of each field that is left out since the schema does not declare it.
        """
        to_text = to_flat_string if self.declarations.protects else to_string
        rules = CoercionRules(on_invalid, on_undeclared, self.hash_value, to_text)
        return Coercer(self.declarations.coerced(schema, self.own), rules, never_null=never_null)


def _show_hash(hash_value: HashValue, key: object) -> str:
    shown = show_key(key)
    return shown if shown == OBJECT_KEY else hash_value(str(key))


def _hide(_key: object) -> str:
    return "(its key is personal data)"
