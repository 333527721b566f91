"""The plan of a stream: what becomes of its records, by its schemas, the selection and the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_payments.records.coerce import CoercionRules
from tap_payments.records.decoder import RecordDecoder
from tap_payments.records.personal import key_formatter, value_hasher
from tap_payments.records.schema import PERSONAL, Schema, SchemaRules
from tap_payments.records.undeclared import UndeclaredFields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tap_payments.errors import InvalidValueError


class Plan:
    """What becomes of the records of a stream.

    Attributes:
        decoder: Decodes pages and their records.
        format_key: Formats a record's key for a message.
        sends_personal_key: Whether the key is personal data and goes out as it is.
        undeclared: The undeclared fields that records had.
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
            declared: What the stream declares, by `SchemaRules.declare`.
            selected: The selected part of it.
            keys: The key, and other fields that are never made null.
            time: The field that is a record's time.
            config: The settings, of which it reads `personal_data`, `hash_key` and `amounts`.
            as_dicts: Whether records are wanted as dicts, for stream maps and flattening.
            on_invalid: Called with the field and the error of each value that becomes null because it cannot be
                coerced; None raises the error instead.
        """
        rules = SchemaRules.from_config(config)
        hash_value = value_hasher(config.get("hash_key") or "") if rules.hashes_keys else None
        is_personal = rules.protects and PERSONAL in own["properties"][keys[0]]
        self.undeclared = UndeclaredFields(rules)
        self.sends_personal_key = is_personal and hash_value is None
        self.format_key = key_formatter(hash_value, is_personal=is_personal)
        self.decoder = RecordDecoder(
            rules.compile_record(own, declared, selected, keys=keys),
            CoercionRules(self.undeclared.add, on_invalid, hash_value, allows_json_text=not rules.protects),
            key=keys[0],
            time=time,
            as_dicts=as_dicts,
        )
