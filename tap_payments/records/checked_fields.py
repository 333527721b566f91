"""Which fields of a record are checked: those that go out, and those that stream maps use."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from singer_sdk.mapper import CustomStreamMap, RemoveRecordTransform

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from singer_sdk.mapper import StreamMap

    Maps = Mapping[str, object]


def checked_schema(
    selected: dict[str, Any],
    *,
    maps: Sequence[StreamMap],
    stream_maps: Maps,
    keep: Collection[str],
) -> dict[str, Any]:
    """Leave out of a schema what stream maps remove without using it.

    Args:
        selected: The schema of a stream's records, without what is deselected.
        maps: The stream's maps.
        stream_maps: The setting that they were made from.
        keep: Fields that are checked in any case.

    Returns:
        The schema, or a copy with fewer fields.
    """
    used = _used_fields(maps, stream_maps)
    if used is None:
        return selected
    used.update(keep)
    fields = selected.get("properties", {})
    return {**selected, "properties": {name: declared for name, declared in fields.items() if name in used}}


def _used_fields(maps: Sequence[StreamMap], stream_maps: Maps) -> set[str] | None:
    """Return the fields that go out or that an expression names; None where that may be any field."""
    used: set[str] = set()
    for stream_map in maps:
        if isinstance(stream_map, RemoveRecordTransform):
            continue
        if not isinstance(stream_map, CustomStreamMap) or stream_map.flattening_enabled:
            return None
        used.update(stream_map.transformed_schema["properties"])
    for expression in _expressions(stream_maps):
        named = _named_fields(expression)
        if named is None:
            return None
        used |= named
    return used


def _expressions(stream_maps: Maps) -> Iterator[str]:
    for stream_map in stream_maps.values():
        if isinstance(stream_map, dict):
            yield from (expression for expression in stream_map.values() if isinstance(expression, str))


def _named_fields(expression: str) -> set[str] | None:
    """Return the names in an expression; None where it uses the record as a whole."""
    names: set[str] = set()
    whole_records = 0
    try:
        tree = ast.parse(expression.strip())
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="record" | "_"):
                whole_records += 1
            case ast.Name(id=name):
                names.add(name)
            case (
                ast.Subscript(value=ast.Name(id="record" | "_"), slice=ast.Constant(value=str(name)))
                | ast.Call(
                    func=ast.Attribute(value=ast.Name(id="record" | "_"), attr="get"),
                    args=[ast.Constant(value=str(name)), *_],
                )
            ):
                # The walk comes to the record inside as well, and counts it.
                whole_records -= 1
                names.add(name)
    return None if whole_records else names
