"""What the streams declare: the tap's own schemas, with the settings that change types applied to them.

The tap's own schemas mark personal data with `x-personal`. The mark is not declared itself: a target need not know it,
and the SDK's `Schema` drops keywords that it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from singer_sdk import SchemaDirectory, StreamSchema
from typing_extensions import override

from tap_payments import schemas
from tap_payments.records.coercion import MONEY_FORMAT, PERSONAL, declared_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from singer_sdk.streams.core import Stream

Schema: TypeAlias = dict[str, Any]

KEEP, HASH, DROP = "keep", "hash", "drop"
DECIMAL, TEXT = "decimal", "text"
SCALARS = {"string", "number", "integer", "boolean"}

#: The tap's own schemas, with their marks.
SCHEMAS = SchemaDirectory(schemas)


@dataclass(frozen=True)
class Declarations:
    """What becomes of declared types, as the settings ask for.

    Attributes:
        personal_data: `keep`, `hash` or `drop`.
        amounts: `decimal` or `text`.
        hashes_keys: Whether keys that are personal data are hashed; they are never dropped.
    """

    personal_data: str = KEEP
    amounts: str = DECIMAL
    hashes_keys: bool = False

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Declarations:
        """Read them from a configuration that need not be valid, since discovery takes any."""
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

    def handling(self, own: Schema, *, is_key: bool = False) -> str:
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

    def declare(self, own: Schema) -> Schema:
        """Return what a stream declares.

        Args:
            own: The tap's own schema of the stream.
        """
        return self.resolve(own, own)

    def resolve(self, declared: Schema, own: Schema) -> Schema:
        """Return what becomes of a catalog's schema.

        With `keep` its types hold. With `hash` and `drop`, only fields of the tap's own schema remain, with the types
        of the tap's own schema where another could let personal data through.

        Args:
            declared: The schema in the catalog, or a field in it.
            own: The same in the tap's own schema.
        """
        if self.protects and not _has_form_of(own, declared):
            declared = own
        keywords = own if self.protects and not _is_scalar(own) else declared
        resolved = {keyword: value for keyword, value in keywords.items() if keyword != PERSONAL}
        if self.amounts == TEXT and own.get("format") == declared.get("format") == MONEY_FORMAT:
            del resolved["format"]
        if own.get("properties") and declared.get("properties"):
            resolved["properties"] = dict(self._resolve_properties(declared["properties"], own))
        if own.get("items") and isinstance(declared.get("items"), dict):
            resolved["items"] = self.resolve(declared["items"], own["items"])
        return resolved

    def _resolve_properties(self, properties: Schema, own: Schema) -> Iterator[tuple[str, Schema]]:
        for name, declared in properties.items():
            known = own["properties"].get(name)
            if known is None:
                if not self.protects:
                    yield name, declared
                continue
            is_key = name in own.get("required", ())
            handling = self.handling(known, is_key=is_key)
            if handling == HASH:
                yield name, _hashed(known, is_key=is_key)
            elif handling == KEEP:
                yield name, self.resolve(declared, known)

    def coerced(self, declared: Schema, own: Schema) -> Schema:
        """Return the schema that records are coerced by.

        A field to hash is declared as in the tap's own schema, with its mark, and one to remove as `false`.

        Args:
            declared: A schema that `resolve` returned, or a field in it; a field that is not checked is `true`.
            own: The same in the tap's own schema.
        """
        coerced = dict(declared)
        if self.amounts == TEXT and own.get("format") == MONEY_FORMAT and declared_kinds(declared) == {"string"}:
            coerced.setdefault("format", MONEY_FORMAT)
        if own.get("properties") and declared.get("properties"):
            coerced["properties"] = dict(self._coerced_properties(declared["properties"], own))
        if own.get("items") and isinstance(declared.get("items"), dict):
            coerced["items"] = self.coerced(declared["items"], own["items"])
        return coerced

    def _coerced_properties(self, properties: Schema, own: Schema) -> Iterator[tuple[str, Schema | bool]]:
        for name, declared in properties.items():
            known = own["properties"].get(name)
            if known is None or isinstance(declared, bool):
                # What is not checked does not go out either, and need not come as far as the SDK.
                yield name, not self.protects and declared
            elif self.handling(known, is_key=name in own.get("required", ())) == HASH:
                yield name, known
            else:
                yield name, self.coerced(declared, known)
        for name, known in own["properties"].items():
            if name not in properties and self.handling(known) == DROP:
                yield name, False


@lru_cache
def _declared(declarations: Declarations, stream: str) -> Schema:
    return declarations.declare(SCHEMAS.get_schema(stream))


class DeclaredSchema(StreamSchema[str]):
    """A stream's schema: the tap's own, with the settings applied to it."""

    @override
    def get_stream_schema(self, stream: Stream, stream_class: type[Stream]) -> Schema:
        return _declared(Declarations.from_config(stream.config), stream.name)


def _hashed(own: Schema, *, is_key: bool) -> Schema:
    described = f"HMAC-SHA256, with `hash_key`, of: {own.get('description', 'personal data')}"
    return {"type": "string" if is_key else ["string", "null"], "description": described}


def _is_scalar(declared: Schema) -> bool:
    kinds = declared_kinds(declared)
    return len(kinds) == 1 and kinds <= SCALARS


def _has_form_of(own: Schema, declared: Schema) -> bool:
    """Whether what fits a catalog's declaration has no more inside than what fits the tap's own."""
    if _is_scalar(own):
        return _is_scalar(declared)
    if own.get("properties"):
        return declared_kinds(declared) == {"object"} and bool(declared.get("properties"))
    return declared_kinds(declared) == {"array"} and isinstance(declared.get("items"), dict)
