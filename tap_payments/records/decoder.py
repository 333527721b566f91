"""The decoder of a stream: the bodies of pages, and their records in the form in which they are sent."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

import msgspec

from tap_payments.records.coerce import ANY, DECIMAL, NUMBER
from tap_payments.records.exact_json import read_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tap_payments.records.coerce import Coercer, Field

# A record as a page holds it, and as it goes out: a struct, or a dict.
Record: TypeAlias = "msgspec.Struct | dict[str, Any]"

SCALARS: Mapping[str, Any] = {
    "string": str,
    DECIMAL: Annotated[str, msgspec.Meta(pattern=rf"^(?:{NUMBER.pattern})\Z")],
    "number": int,
    "integer": int,
    "boolean": bool,
}
# How the decoder names the field that does not fit, and one that it does not know.
MISFIT = re.compile(r" - at `\$\.data\[\d+\]\.([^.\[`]+)")
UNKNOWN = re.compile(r"unknown field `([^`]+)` - at `\$\.data\[\d+\]`$")
# A list whose records have ever new fields must not compile ever new decoders.
MAX_COMPILED = 100
# Characters that the decoder allows in no field name.
UNUSABLE_NAME = re.compile(r'["\\\x00-\x1f]')


class Body(msgspec.Struct):
    """The body of a page.

    Attributes:
        data: The records.
        total_count: The API's own count of the list's records, as it arrived.
        has_more: Whether the API announces more records, as it arrived.
        error: An error, as it arrived.
    """

    data: list[dict[str, Any]]
    total_count: Any = None
    has_more: Any = None
    error: Any = None


class RecordDecoder:
    """Decodes the pages of a stream, and its records into what goes out.

    Types are checked by a compiled msgspec decoder. It is strict at first: a field that does not fit is compiled anew
    as one to coerce, an undeclared field as one to skip. A page that fits no decoder is decoded into dicts, which are
    coerced field by field.

    Attributes:
        key: The field that is a record's key.
        time: The field that is a record's time.
    """

    def __init__(self, record: Field, coercer: Coercer, *, key: str, time: str, as_dicts: bool = False) -> None:
        """Compile the decoder.

        Args:
            record: The fields of a record.
            coercer: Coerces values that do not fit.
            key: The field that is a record's key.
            time: The field that is a record's time.
            as_dicts: Whether records are wanted as dicts, for stream maps and flattening.
        """
        self.key, self.time = key, time
        self._record = record
        self._coercer = coercer
        self._fields = record.properties or {}
        self._skipped = {name for name, field in self._fields.items() if field is None}
        self._coerced = {name for name, field in self._fields.items() if field is not None and not _is_strict(field)}
        self._attributes = {key: "key", time: "time"}
        self._lock = threading.Lock()
        self._compiled = 0
        self._dicts = msgspec.json.Decoder(Body, float_hook=read_number)
        self._decoder: msgspec.json.Decoder[Any] = self._dicts
        if not (as_dicts or record.passes_undeclared or any(map(UNUSABLE_NAME.search, (*self._fields, key, time)))):
            self._compile()

    def decode(self, content: bytes) -> Body:
        """Decode a page.

        Args:
            content: The body of the response.

        Raises:
            RecursionError: If it is nested too deeply.
            msgspec.DecodeError: If the decoder does not take it as JSON, or it is not the documented body.
            UnicodeDecodeError: If it is not UTF-8.
        """
        while True:
            decoder = self._decoder
            try:
                return cast("Body", decoder.decode(content))
            except msgspec.ValidationError as error:
                if decoder is self._dicts:
                    raise
                with self._lock:
                    is_current = decoder is self._decoder
                    if is_current and not self._learn(str(error)):
                        return self._dicts.decode(content)

    def values(self, records: Sequence[Record], name: str) -> Sequence[object]:
        """Return the keys or the times of a page's records, as they arrived.

        Args:
            records: The records.
            name: The field: `self.key` or `self.time`.
        """
        attribute = self._attributes[name]
        return [record.get(name) if type(record) is dict else getattr(record, attribute) for record in records]

    def read(self, record: Record) -> Record:
        """Return a record as it goes out.

        Args:
            record: The record of a page; it may change.

        Raises:
            InvalidValueError: If a value cannot be coerced.
        """
        if isinstance(record, dict):
            return self._coercer.coerce_record(self._record, record)
        for attribute, field in cast("Any", record).steps:
            if field is None:
                setattr(record, attribute, msgspec.UNSET)
            elif (value := getattr(record, attribute)) is not msgspec.UNSET:
                setattr(record, attribute, self._coercer.coerce(field, value, field.path))
        return record

    def _compile(self) -> None:
        """Compile the decoder; fields to coerce have the type Any, and skipped ones stay undecoded."""
        types = {name: _type_of(field) for name, field in self._fields.items() if field is not None}
        types |= dict.fromkeys(self._skipped, msgspec.Raw) | dict.fromkeys(self._coerced, Any)
        # Paging needs both even where they do not go out.
        types |= {name: Any for name in (self.key, self.time) if types.get(name, msgspec.Raw) is msgspec.Raw}
        self._skipped |= types.keys() - self._fields.keys()
        attributes = {name: f"field_{index}" for index, name in enumerate(types)} | self._attributes
        steps = [(attributes[name], self._fields.get(name)) for name in (*self._skipped, *self._coerced)]
        record = _define(types, attributes, {"steps": steps})
        body = msgspec.defstruct("PageBody", [("data", list[record])], bases=(Body,))  # type: ignore[valid-type]
        self._decoder = msgspec.json.Decoder(body, float_hook=read_number)
        self._compiled += 1

    def _learn(self, reason: str) -> bool:
        """Compile the decoder anew for a field that it refused; return whether that may help.

        Args:
            reason: The text of the decoder's error.
        """
        if self._compiled >= MAX_COMPILED:
            return False
        if (misfit := MISFIT.search(reason)) and self._fields.get(misfit[1]) is not None:
            if misfit[1] in self._coerced:
                return False
            self._coerced.add(misfit[1])
        elif (unknown := UNKNOWN.search(reason)) and not (
            unknown[1] in self._fields or unknown[1] in self._skipped or UNUSABLE_NAME.search(unknown[1])
        ):
            self._coercer.on_undeclared(unknown[1])
            self._skipped.add(unknown[1])
        else:
            return False
        self._compile()
        return True


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
        # The names of fields need not be identifiers.
        attributes = {name: f"field_{index}" for index, name in enumerate(inner)}
        declared = dict[str, Any] if field.properties is None else _define(inner, attributes)
    elif field.kind == "array":
        declared = list[Any if field.items is None else _type_of(field.items)]  # type: ignore[misc]
    return declared | None if field.is_nullable else declared


def _define(
    types: Mapping[str, Any], attributes: Mapping[str, str], namespace: dict[str, Any] | None = None
) -> type[msgspec.Struct]:
    """Return a struct type with a type and an attribute for each field."""
    return msgspec.defstruct(
        "Record",
        [(attributes[name], declared | msgspec.UnsetType, msgspec.UNSET) for name, declared in types.items()],
        rename={attributes[name]: name for name in types},
        namespace=namespace,
        forbid_unknown_fields=True,
        gc=False,
    )
