"""What of a stream's records goes out, and which of their fields are checked."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from singer_sdk.helpers._catalog import get_selected_schema
from singer_sdk.mapper import CustomStreamMap, RemoveRecordTransform, SameRecordTransform

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from singer_sdk.mapper import StreamMap
    from singer_sdk.singerlib import SelectionMask

    Maps = Mapping[str, object]


@dataclass(frozen=True)
class Selection:
    """What the catalog and stream maps leave of a stream's records.

    Attributes:
        name: The name of the stream.
        schema: The tap's own schema of the stream.
        effective_schema: The stream's schema in the catalog.
        mask: What the catalog selects.
        maps: The stream's maps, made by the SDK.
        stream_maps: The setting that they were made from.
    """

    name: str
    schema: dict[str, Any]
    effective_schema: dict[str, Any]
    mask: SelectionMask
    maps: Sequence[StreamMap]
    stream_maps: Maps

    @property
    def is_whole(self) -> bool:
        """Whether records go out as they are: nothing is deselected, mapped or flattened."""
        maps = self.maps
        return (
            len(maps) == 1
            and type(maps[0]) is SameRecordTransform
            and not maps[0].flattening_enabled
            and maps[0].stream_alias == self.name
            and all(self.mask.values())
        )

    def checked_schema(self, keep: Collection[str]) -> dict[str, Any]:
        """Return the schema with `true` for each field that is not checked.

        Checked are the fields that go out, and those that stream maps use.

        Args:
            keep: Fields that are checked in any case.
        """
        selected = selected_schema(self.name, self.effective_schema, self.mask, removed=False)
        used = _used_fields(self.maps, self.stream_maps)
        if used is not None:
            used.update(keep)
            fields = selected.get("properties", {})
            selected["properties"] = {name: declared for name, declared in fields.items() if name in used}
        return _with_unchecked(self.effective_schema, selected)


def selected_schema(
    name: str, schema: dict[str, Any], mask: SelectionMask, *, removed: bool | None = None
) -> dict[str, Any]:
    """Return a copy of a schema with what is selected, inside arrays too, where the SDK's leaves all.

    Args:
        name: The name of the stream.
        schema: Its schema.
        mask: What is selected.
        removed: What stands for a field inside an array that is not selected; None leaves it out.
    """
    selected = get_selected_schema(name, schema, mask)
    _deselect_in_arrays(selected, mask, (), removed)
    return selected


def _deselect_in_arrays(
    schema: dict[str, Any],
    mask: SelectionMask,
    breadcrumb: tuple[str, ...],
    removed: bool | None,  # noqa: FBT001
) -> None:
    properties, items = schema.get("properties") or {}, schema.get("items")
    paths = {field: (*breadcrumb, "properties", field) for field in properties}
    deselected = [field for field, path in paths.items() if not mask[path]]
    # Where nothing inside an array is selected, Meltano was told of the array alone, which goes out whole then.
    for field in deselected if len(deselected) < len(properties) else ():
        if removed is None:
            del properties[field]
            if field in schema.get("required", ()):
                schema["required"].remove(field)
        else:
            properties[field] = removed
    for field, declared in properties.items():
        if isinstance(declared, dict):
            _deselect_in_arrays(declared, mask, paths[field], removed)
    if isinstance(items, dict):
        _deselect_in_arrays(items, mask, (*breadcrumb, "items"), removed)


def _with_unchecked(schema: Mapping[str, Any], checked: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema as far as it is checked, and `true` for its other fields, at all depths that may be selected."""
    properties = schema.get("properties")
    if not properties:
        return dict(checked)
    inner = checked.get("properties", {})
    return {
        **checked,
        "properties": {
            name: _with_unchecked(declared, inner[name]) if name in inner else True
            for name, declared in properties.items()
        },
    }


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
