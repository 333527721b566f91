"""The plan of a stream: its decoder, compiled from the schemas, the selection and the settings.

Here too: hashes of personal data, record keys as messages show them, and the fields that no schema declares.
"""

from __future__ import annotations

import hmac
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tap_payments.records.coerce import Coercer, to_json, to_string
from tap_payments.records.decoder import RecordDecoder
from tap_payments.records.exact_json import CANONICAL_ENCODER
from tap_payments.records.schema import PERSONAL, Schema, SchemaRules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tap_payments.errors import InvalidValueError

# Maximum names of undeclared fields that are kept, and that a message shows, each cut to a length.
MAX_NAMES = 1000
SHOWN_NAMES = 20
NAME_LENGTH = 60
# Characters of a record's key that a message shows.
KEY_LENGTH = 100
IDENTIFIER = re.compile(r"[A-Za-z0-9_.\[\]-]+")
# Hashes that are kept: the same customers come again and again.
CACHE_SIZE = 1 << 14


class Plan:
    """The compiled decoder of a stream, and what messages may show of its records.

    Attributes:
        decoder: Decodes pages and their records.
        sends_personal_key: Whether the key is personal data and goes out as it is.
    """

    def __init__(  # noqa: PLR0913 - what decides on a record, each given by name
        self,
        own: Schema,
        declared: Schema,
        selected: Schema,
        *,
        keys: Sequence[str],
        time: str,
        config: Mapping[str, Any],
        as_dicts: bool = False,
        on_invalid: Callable[[str, InvalidValueError], None] | None = None,
    ) -> None:
        """Compile the plan.

        Args:
            own: The tap's own schema, with its marks of personal data.
            declared: The stream's schema, from `SchemaRules.declare`.
            selected: The selected part of it.
            keys: The key, and other fields that are never made null.
            time: The field that is a record's time.
            config: The settings, of which it reads `personal_data`, `hash_key` and `amounts`.
            as_dicts: Whether records are wanted as dicts, for stream maps and flattening.
            on_invalid: Called with the field and the error of each value that becomes null because it cannot be
                coerced; None raises the error instead.
        """
        self._rules = rules = SchemaRules.from_config(config)
        self._hash_value = value_hasher(config.get("hash_key") or "") if rules.hashes_keys else None
        self._hides_keys = rules.protects and PERSONAL in own["properties"][keys[0]]
        self.sends_personal_key = self._hides_keys and self._hash_value is None
        # An ordered set.
        self._undeclared: dict[str, None] = {}
        self.decoder = RecordDecoder(
            rules.compile_record(own, declared, selected, keys=keys),
            Coercer(self._note_undeclared, on_invalid, self._hash_value, allows_json_text=not rules.protects),
            key=keys[0],
            time=time,
            as_dicts=as_dicts,
        )

    def format_key(self, key: str) -> str:
        """Format a record's key for a message; one that is personal data is hashed, or left out."""
        if key[:1] in {"{", "["}:
            return "(an object)"  # Or an array, which may hold anything.
        if not self._hides_keys:
            return key[:KEY_LENGTH]
        return "(its key is personal data)" if self._hash_value is None else self._hash_value(key)

    def _note_undeclared(self, name: str) -> None:
        if len(self._undeclared) < MAX_NAMES:
            self._undeclared[name] = None

    def describe_undeclared(self) -> str | None:
        """Return the line that names the undeclared fields that records had; None where there were none.

        The names are the API's, which may put anything into them. Where personal data must not pass, neither do names
        that are more than an identifier.
        """
        if not self._undeclared:
            return None
        protects = self._rules.protects
        names = [name for name in self._undeclared if not protects or IDENTIFIER.fullmatch(name)]
        shown = [f"`{_printable(name)}`" for name in names[:SHOWN_NAMES]]
        if others := len(self._undeclared) - len(shown):
            or_more = " or more" if len(self._undeclared) == MAX_NAMES else ""
            shown.append(f"{others}{or_more} other{'s' if others > 1 else ''}")
        way_on = (
            f"`personal_data: {self._rules.personal_data}` leaves them all out"
            if protects
            else "declare them in the catalog to load them"
        )
        return f"fields that the schema does not declare are left out ({', '.join(shown)}): {way_on}"


def _printable(name: str) -> str:
    text = "".join(letter if letter.isprintable() and letter != "`" else "?" for letter in name[: NAME_LENGTH + 1])
    return text if len(text) <= NAME_LENGTH else f"{text[:NAME_LENGTH]}..."


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
