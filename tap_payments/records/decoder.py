"""The decoder of a stream, which reads its records into what goes out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from tap_payments.records.coerce import ANY, DECIMAL, NUMBER, coerce, coerce_record
from tap_payments.records.exact_json import DECODER, read_number
from tap_payments.records.page import decode_carefully

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_payments.records.coerce import CoercionRules, Field

Record = dict[str, Any] | msgspec.Struct

SCALARS: Mapping[str, Any] = {
    "string": str,
    DECIMAL: Annotated[str, msgspec.Meta(pattern=rf"^(?:{NUMBER.pattern})\Z")],
    "number": int,
    "integer": int,
    "boolean": bool,
}
# How the decoder names the field that does not fit, and one that it does not know.
MISFIT = re.compile(r" - at `\$\.([^.\[`]+)")
UNKNOWN = re.compile(r"unknown field `([^`]+)`$")
# A list whose records have ever new fields must not compile ever new decoders.
MAX_COMPILED = 100
# What the decoder takes in no name of a field.
UNUSABLE_NAME = re.compile(r'["\\\x00-\x1f]')


class RecordDecoder:
    """Decodes the records of a stream into what goes out.

    The decoder checks the types by itself. It is strict at first: a record that does not fit is decoded into a dict
    and coerced field by field, and the field that did not fit is coerced in every record from then on.
    """

    def __init__(
        self,
        record: Field,
        rules: CoercionRules,
        *,
        as_dicts: bool = False,
        on_replaced: Callable[[], None] = lambda: None,
    ) -> None:
        """Compile the decoder.

        Args:
            record: The fields of a record.
            rules: What becomes of values beyond their types.
            as_dicts: Whether records are wanted as dicts, for stream maps and flattening.
            on_replaced: Called where U+FFFD takes the place of half a surrogate pair.
        """
        self._record = record
        self._rules = rules
        self._on_replaced = on_replaced
        properties = record.properties or {}
        self._skipped = {name for name, field in properties.items() if field is None}
        self._coerced = {name for name, field in properties.items() if field is not None and not _is_strict(field)}
        self._compiled = 0
        self._decoder: msgspec.json.Decoder[msgspec.Struct] | None = None
        if not (as_dicts or record.passes_undeclared or any(map(UNUSABLE_NAME.search, properties))):
            self._compile()

    def read(self, record: msgspec.Raw | dict[str, Any]) -> Record:
        """Return a record as it goes out: a struct, or a dict.

        Args:
            record: The record of a page.

        Raises:
            InvalidValueError: If a value cannot be coerced.
            MalformedBodyError: If the record cannot be read.
        """
        if self._decoder is None or isinstance(record, dict):
            return coerce_record(self._record, self._decode(record), self._rules)
        try:
            struct = self._decoder.decode(record)
        except msgspec.ValidationError as error:
            coerced = coerce_record(self._record, self._decode(record), self._rules)
            self._learn(str(error))
            return coerced
        except (RecursionError, msgspec.DecodeError, UnicodeDecodeError):
            return coerce_record(self._record, self._decode(record), self._rules)
        for attribute, field in self._steps:
            if field is None:
                setattr(struct, attribute, msgspec.UNSET)
            elif (value := getattr(struct, attribute)) is not msgspec.UNSET:
                setattr(struct, attribute, coerce(field, value, self._rules, field.path))
        return struct

    def _decode(self, record: msgspec.Raw | dict[str, Any]) -> dict[str, Any]:
        if isinstance(record, dict):
            return record
        try:
            decoded: dict[str, Any] = DECODER.decode(record)
        except (RecursionError, msgspec.DecodeError, UnicodeDecodeError):
            decoded = decode_carefully(bytes(record), self._on_replaced)
        return decoded

    def _compile(self) -> None:
        """Compile the decoder, with a field of the type Any for what is coerced, and a raw one for what is skipped."""
        types = {name: _type_of(field) for name, field in (self._record.properties or {}).items() if field is not None}
        types |= dict.fromkeys(self._coerced, Any) | dict.fromkeys(self._skipped, msgspec.Raw)
        attributes = {name: f"field_{index}" for index, name in enumerate(types)}
        self._steps = [
            (attributes[name], (self._record.properties or {}).get(name)) for name in (*self._skipped, *self._coerced)
        ]
        self._decoder = msgspec.json.Decoder(_define(types), float_hook=read_number)
        self._compiled += 1

    def _learn(self, reason: str) -> None:
        """Compile the decoder anew for a field that it refused.

        Args:
            reason: The text of the decoder's error. A field that it does not name is only read the slower way.
        """
        declared = self._record.properties or {}
        if self._compiled >= MAX_COMPILED:
            return
        if (misfit := MISFIT.search(reason)) and declared.get(misfit[1]) is not None:
            self._coerced.add(misfit[1])
        elif (unknown := UNKNOWN.search(reason)) and not (unknown[1] in declared or UNUSABLE_NAME.search(unknown[1])):
            self._skipped.add(unknown[1])
        else:
            return
        self._compile()


def _is_strict(field: Field) -> bool:
    """Whether the decoder can check a field by itself."""
    if field.is_hashed:
        return False
    if field.items is not None:
        return _is_strict(field.items)
    return field.properties is None or not (
        field.passes_undeclared
        or any(map(UNUSABLE_NAME.search, field.properties))
        or any(inner is None or not _is_strict(inner) for inner in field.properties.values())
    )


def _type_of(field: Field) -> Any:
    """Return the type that the decoder checks."""
    if field.kind == ANY:
        return Any
    declared: Any = SCALARS.get(field.kind)
    if field.kind == "object":
        inner = {name: _type_of(one) for name, one in (field.properties or {}).items() if one is not None}
        declared = dict[str, Any] if field.properties is None else _define(inner)
    elif field.kind == "array":
        declared = list[Any if field.items is None else _type_of(field.items)]  # type: ignore[misc]
    return declared | None if field.is_nullable else declared


def _define(types: Mapping[str, Any]) -> type[msgspec.Struct]:
    """Return a struct type; its attributes are numbered, since the name of a field need not be an identifier."""
    names = {f"field_{index}": name for index, name in enumerate(types)}
    fields = [(attribute, types[name] | msgspec.UnsetType, msgspec.UNSET) for attribute, name in names.items()]
    return msgspec.defstruct("Record", fields, rename=names, forbid_unknown_fields=True, gc=False)
