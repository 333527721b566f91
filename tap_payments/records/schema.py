"""The schemas of the streams: the tap's own, with the settings and the catalog applied to them.

The tap's own schemas mark personal data with `x-personal`. The mark is not declared: a target need not know it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from singer_sdk import SchemaDirectory, StreamSchema
from typing_extensions import override

from tap_payments import schemas
from tap_payments.records.coerce import ANY, CONVERSIONS, DECIMAL, Field

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from singer_sdk.singerlib import SelectionMask
    from singer_sdk.streams.core import Stream

Schema: TypeAlias = dict[str, Any]

KEEP, HASH, DROP = "keep", "hash", "drop"
TEXT = "text"
MONEY_FORMAT = "x-singer.decimal"
PERSONAL = "x-personal"
NESTED = {"properties", "items"}

#: The tap's own schemas, with their marks.
SCHEMAS = SchemaDirectory(schemas)


@dataclass(frozen=True)
class SchemaRules:
    """Settings that change the declared types.

    Attributes:
        personal_data: `keep`, `hash` or `drop`.
        amounts: `decimal` or `text`.
        hashes_keys: Whether keys that are personal data are hashed; they are never dropped.
    """

    personal_data: str = KEEP
    amounts: str = DECIMAL
    hashes_keys: bool = False

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SchemaRules:
        """Read the rules from a configuration that need not be valid, since discovery takes any."""
        personal_data = config.get("personal_data")
        return cls(
            personal_data if personal_data in (HASH, DROP) else KEEP,
            TEXT if config.get("amounts") == TEXT else DECIMAL,
            personal_data == HASH or (personal_data == DROP and bool(str(config.get("hash_key") or "").strip())),
        )

    @property
    def protects(self) -> bool:
        """Whether personal data is hashed or dropped."""
        return self.personal_data != KEEP

    def treatment(self, own: Schema, *, is_key: bool = False) -> str:
        """Return what becomes of a field: `keep`, `hash` or `drop`.

        Args:
            own: The field in the tap's own schema.
            is_key: Whether it is the stream's key.
        """
        if not own.get(PERSONAL):
            return KEEP
        if is_key and self.personal_data == DROP:
            return HASH if self.hashes_keys else KEEP
        return self.personal_data

    def declare(
        self, own: Schema, given: Schema, on_ignored: Callable[[str], None] = lambda _: None, path: str = ""
    ) -> Schema:
        """Return what a stream declares.

        With `keep` the types of the catalog hold, with `hash` and `drop` those of the tap's own schema, of which the
        catalog only selects fields.

        Args:
            own: The tap's own schema, or a field in it.
            given: The same in the catalog.
            on_ignored: Called with each field whose type in the catalog is ignored.
            path: The field; empty for the record.
        """
        if self.protects and path and given.get("type") != own.get("type"):
            on_ignored(path)
        declared = own if self.protects else given
        result = {keyword: value for keyword, value in declared.items() if keyword not in {PERSONAL, *NESTED}}
        if self.amounts == TEXT and own.get("format") == declared.get("format") == MONEY_FORMAT:
            del result["format"]
        for keyword in NESTED & declared.keys():
            inner = given.get(keyword)
            if self.protects and (not isinstance(inner, dict) or (keyword == "properties" and not inner)):
                inner = own[keyword]
            if not own.get(keyword) or not isinstance(inner, dict):
                result[keyword] = inner
            elif keyword == "items":
                result[keyword] = self.declare(own[keyword], inner, on_ignored, f"{path}[]")
            else:
                result[keyword] = dict(self._declare_properties(own, inner, on_ignored, path))
        return result

    def _declare_properties(
        self, own: Schema, properties: Schema, on_ignored: Callable[[str], None], path: str
    ) -> Iterator[tuple[str, Schema]]:
        for name, given in properties.items():
            known = own["properties"].get(name)
            if known is None:
                if not self.protects:
                    yield name, given
                continue
            is_key = name in own.get("required", ())
            treatment = self.treatment(known, is_key=is_key)
            if treatment == HASH:
                yield name, _declare_hash(known, is_key=is_key)
            elif treatment == KEEP:
                yield name, self.declare(known, given, on_ignored, f"{path}.{name}" if path else name)

    def compile_record(self, own: Schema, declared: Schema, selected: Schema, *, keys: Collection[str]) -> Field:
        """Return the fields of a record.

        Args:
            own: The tap's own schema.
            declared: The result of `declare`.
            selected: The selected part of it.
            keys: Fields that are never made null.
        """
        record = self._compile(own, declared, selected, "")
        properties = record.properties or {}
        keyed = {name: replace(field, is_key=True) for name in keys if (field := properties.get(name))}
        return replace(record, properties={**properties, **keyed})

    def _compile(self, own: Schema, declared: Schema, selected: Schema, path: str) -> Field:
        types = declared.get("type", [])
        kinds = {types} if isinstance(types, str) else set(types)
        kind = "".join(kinds - {"null"})
        formats = [declared.get("format"), own.get("format") if self.amounts == TEXT else None]
        if kind == "string" and MONEY_FORMAT in formats:
            kind = DECIMAL
        items = declared.get("items")
        return Field(
            kind if kind in CONVERSIONS else ANY,
            path,
            is_nullable="null" in kinds or not kinds,
            properties=self._compile_properties(own, declared, selected, path) if declared.get("properties") else None,
            items=self._compile(own.get("items") or {}, items, selected["items"], f"{path}[]") if items else None,
            passes_undeclared=declared.get("additionalProperties") not in (None, False),
        )

    def _compile_properties(
        self, own: Schema, declared: Schema, selected: Schema, path: str
    ) -> Mapping[str, Field | None]:
        owned = own.get("properties") or {}
        fields: dict[str, Field | None] = {name: None for name, known in owned.items() if self.treatment(known) == DROP}
        for name, inner in declared["properties"].items():
            known, inner_path = owned.get(name, {}), f"{path}.{name}" if path else name
            if name not in selected["properties"]:
                fields[name] = None
            elif self.treatment(known, is_key=name in own.get("required", ())) == HASH:
                fields[name] = replace(self._compile(known, known, known, inner_path), is_hashed=True)
            else:
                fields[name] = self._compile(known, inner, selected["properties"][name], inner_path)
        return fields


@lru_cache
def _declared(rules: SchemaRules, stream: str) -> Schema:
    own = SCHEMAS.get_schema(stream)
    return rules.declare(own, own)


class DeclaredSchema(StreamSchema[str]):
    """A stream's schema: the tap's own, with the settings applied to it."""

    @override
    def get_stream_schema(self, stream: Stream, stream_class: type[Stream]) -> Schema:
        return _declared(SchemaRules.from_config(stream.config), stream.name)


def _declare_hash(own: Schema, *, is_key: bool) -> Schema:
    described = f"HMAC-SHA256, with `hash_key`, of: {own.get('description', 'personal data')}"
    return {"type": "string" if is_key else ["string", "null"], "description": described}


def declares(schema: Schema, breadcrumb: Sequence[str]) -> bool:
    """Whether a schema declares the field at a breadcrumb; an object of free form declares none."""
    for crumb in breadcrumb:
        schema = schema.get(crumb) or {}
    return bool(schema)


def select_fields(
    schema: Schema, mask: SelectionMask, breadcrumb: tuple[str, ...] = (), *, in_array: bool = False
) -> Schema:
    """Return a copy of a schema with its selected fields, inside arrays too, where the SDK keeps all.

    Args:
        schema: The schema of a stream, or of a field in it.
        mask: The SDK's selection mask.
        breadcrumb: Where the field is; empty for the stream.
        in_array: Whether the field is inside an array.
    """
    selected = dict(schema)
    if properties := schema.get("properties"):
        paths = {name: (*breadcrumb, "properties", name) for name in properties}
        names = [name for name, path in paths.items() if mask[path]]
        # Where nothing inside an array is selected, Meltano selected the array as a whole, and it goes out whole.
        names = names or list(properties if in_array else ())
        selected["properties"] = {
            name: select_fields(properties[name], mask, paths[name], in_array=in_array) for name in names
        }
        if "required" in schema:
            selected["required"] = [name for name in schema["required"] if name in names]
    if isinstance(items := schema.get("items"), dict):
        selected["items"] = select_fields(items, mask, (*breadcrumb, "items"), in_array=True)
    return selected
