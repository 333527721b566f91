"""What a catalog asks for, made explicit before the SDK reads it: what is read, INCREMENTAL or not, by which key."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeAlias

from tap_payments.errors import RunError
from tap_payments.validation import NAME_LENGTH, check_catalog, stream_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

INCREMENTAL, FULL_TABLE = "INCREMENTAL", "FULL_TABLE"
# The metadata by breadcrumb.
Metadata: TypeAlias = "dict[tuple[str, ...], dict[str, Any]]"


def resolve_catalog(  # noqa: PLR0913 - the facts of the streams, each by its name
    catalog: Mapping[str, Any],
    *,
    keys: Mapping[str, Sequence[str]],
    replication_keys: Mapping[str, Sequence[str]],
    schemas: Mapping[str, Mapping[str, Any]],
    log: Callable[[str], None],
    warn: Callable[[str], None],
) -> dict[str, Any]:
    """Resolve selection, schema, method, keys and automatic fields of each entry.

    `replication-method: INCREMENTAL` suffices, in the entry or in its metadata, where Meltano writes it. `selected`
    may stand in the metadata, in the entry or in its schema, as catalogs older than metadata have it.

    Args:
        catalog: A Singer catalog.
        keys: The key of each stream.
        replication_keys: The replication keys that each stream offers; none where it is always FULL_TABLE.
        schemas: The schema of each stream.
        log: Logs a line.
        warn: Logs a line as a WARNING.

    Returns:
        A catalog of its own.

    Raises:
        RunError: If the catalog is malformed, or asks for what is not offered.
    """
    check_catalog(catalog)
    resolved = copy.deepcopy(dict(catalog))
    for entry in resolved["streams"]:
        name = _resolve_names(entry, log)
        entry["schema"] = entry.get("schema") or {}
        entry["metadata"] = entry.get("metadata") or []
        metadata = _merge_metadata(entry["metadata"])
        if name not in keys:
            warn(f"{name[:NAME_LENGTH]!r} in the catalog: unknown stream ignored")
            continue
        _resolve_selection(entry, metadata)
        root = metadata.get((), {})
        _resolve_keys(entry, root, name, keys[name])
        method, key = _resolve_method(entry, root, name, replication_keys[name], log)
        entry["replication_method"] = method
        entry["replication_key"] = key
        automatic = (*keys[name], *([key] if key else []))
        _complete_schema(entry, schemas[name], automatic)
        if metadata:  # Without any, everything is selected.
            for field in automatic:
                metadata.setdefault(("properties", field), {})["inclusion"] = "automatic"
        entry["metadata"] = [{"breadcrumb": list(path), "metadata": values} for path, values in metadata.items()]
    return resolved


def _resolve_names(entry: dict[str, Any], log: Callable[[str], None]) -> str:
    """Name a stream by its `tap_stream_id` alone, which is what the SDK's mapper knows it by too."""
    name = stream_id(entry) or ""
    if entry.get("stream") is not None and entry["stream"] != name:
        log(
            f"{name[:NAME_LENGTH]!r}: `tap_stream_id` names the stream, and another `stream` in the catalog changes "
            "nothing: use `__alias__` in `stream_maps` to rename it"
        )
        entry["stream"] = name
    entry["tap_stream_id"] = name
    return name


def _merge_metadata(metadata: Sequence[Mapping[str, Any]]) -> Metadata:
    """Return the metadata by breadcrumb; a later item takes precedence over an earlier one."""
    merged: Metadata = {}
    for item in metadata:
        merged.setdefault(tuple(item["breadcrumb"]), {}).update(item.get("metadata") or {})
    return merged


def _resolve_selection(entry: Mapping[str, Any], metadata: Metadata) -> None:
    """Write into the metadata, which the SDK reads, what is selected elsewhere; false anywhere deselects."""
    selected = {place.get("selected") for place in (metadata.get((), {}), entry, entry["schema"])}
    fields = list(_deselected_fields(entry["schema"], ()))
    if False in selected:
        metadata.setdefault((), {})["selected"] = False
    # An entry without metadata is selected, and is not any more once it has some.
    elif (metadata and True in selected) or (fields and not metadata):
        metadata.setdefault((), {})["selected"] = True
    for breadcrumb in fields:
        metadata.setdefault(breadcrumb, {})["selected"] = False


def _deselected_fields(schema: Mapping[str, Any], breadcrumb: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the breadcrumbs of fields that are deselected in their schema."""
    for field, declared in (schema.get("properties") or {}).items():
        inner = (*breadcrumb, "properties", field)
        if declared.get("selected") is False:
            yield inner
        yield from _deselected_fields(declared, inner)
        items = declared.get("items")
        while isinstance(items, dict):
            inner = (*inner, "items")
            yield from _deselected_fields(items, inner)
            items = items.get("items")


def _resolve_keys(entry: dict[str, Any], root: Mapping[str, Any], name: str, keys: Sequence[str]) -> None:
    """Set the key of an entry to that of the stream; refuse another."""
    for given in (entry.get("key_properties"), root.get("table-key-properties")):
        if given is not None and (not isinstance(given, list | tuple) or list(given) != list(keys)):
            own = ", ".join(f"`{key}`" for key in keys)
            msg = (
                f"{name}: the catalog's `key_properties` must be {own}, as the tap's: "
                "use `__key_properties__` in `stream_maps` to change the key"
            )
            raise RunError(msg)
    entry["key_properties"] = list(keys)


def _resolve_method(
    entry: Mapping[str, Any], root: dict[str, Any], name: str, offered: Sequence[str], log: Callable[[str], None]
) -> tuple[str, str | None]:
    """Return the replication method and, if it is INCREMENTAL, the replication key; take both out of the metadata."""
    method, key = _asked(entry, root, name)
    for said_twice in ("replication-key", "replication-method", "forced-replication-method"):
        root.pop(said_twice, None)
    if method != INCREMENTAL:
        return method, None
    if not offered:
        log(f"{name}: always FULL_TABLE: it has no replication key")
        return FULL_TABLE, None
    key = key or offered[0]
    if key not in offered:
        names = ", ".join(f"`{one}`" for one in offered)
        msg = f"{name}: the catalog's replication key is not offered: use {names}"
        raise RunError(msg)
    return method, key


def _asked(entry: Mapping[str, Any], root: Mapping[str, Any], name: str) -> tuple[str, str | None]:
    """Return the method and the key that an entry and its metadata ask for."""
    key = entry.get("replication_key") or root.get("replication-key")
    methods = {
        str(method).upper()
        for method in (
            entry.get("replication_method"),
            entry.get("replication-method"),
            root.get("replication-method"),
            root.get("forced-replication-method"),
        )
        if method
    }
    if methods - {INCREMENTAL, FULL_TABLE}:
        msg = f"{name}: the catalog's replication method is not offered: use {INCREMENTAL} or {FULL_TABLE}"
        raise RunError(msg)
    if INCREMENTAL in methods or (key and not methods):
        return INCREMENTAL, key
    return FULL_TABLE, None


def _complete_schema(entry: dict[str, Any], own: Mapping[str, Any], needed: Sequence[str]) -> None:
    """Add the tap's own schema where there is none, and the fields that no record goes without where there is one."""
    properties = entry["schema"].get("properties")
    if not properties:
        entry["schema"] = copy.deepcopy(dict(own))
        return
    for field in needed:
        if field not in properties:
            properties[field] = copy.deepcopy(own["properties"][field])
