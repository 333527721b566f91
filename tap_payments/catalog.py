"""Catalogs made explicit before the SDK reads them: selection, replication method, and keys."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tap_payments.errors import RunError
from tap_payments.records.schema import SCHEMAS
from tap_payments.validation import NAME_LENGTH, check_catalog, stream_id

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping, Sequence

    from tap_payments.client import PaymentsStream

INCREMENTAL, FULL_TABLE = "INCREMENTAL", "FULL_TABLE"

# The metadata of an entry, by breadcrumb.
Metadata = dict[tuple[str, ...], dict[str, Any]]


def resolve_catalog(
    catalog: Mapping[str, Any], streams: Mapping[str, type[PaymentsStream]], logger: logging.Logger
) -> dict[str, Any]:
    """Resolve selection, schema, method, keys and automatic fields of each entry.

    `replication-method: INCREMENTAL` suffices, in the entry or in its metadata, where Meltano writes it. `selected`
    may stand in the metadata, in the entry or in its schema, as catalogs older than metadata have it.

    Args:
        catalog: A Singer catalog.
        streams: The streams by name.
        logger: Logs what has no effect.

    Returns:
        A catalog of its own.

    Raises:
        RunError: If the catalog is malformed, or asks for what is not offered.
    """
    try:
        check_catalog(catalog)
        resolved = copy.deepcopy(dict(catalog))
        for entry in resolved["streams"]:
            _resolve_entry(entry, streams, logger)
    except RecursionError:
        raise RunError("the catalog is nested too deeply: write it as --discover does") from None
    return resolved


def _resolve_entry(entry: dict[str, Any], streams: Mapping[str, type[PaymentsStream]], logger: logging.Logger) -> None:
    name = _resolve_name(entry, logger)
    entry["schema"] = entry.get("schema") or {}
    metadata: Metadata = {}
    for item in entry.get("metadata") or []:
        metadata.setdefault(tuple(item["breadcrumb"]), {}).update(item.get("metadata") or {})
    if (stream := streams.get(name)) is None:
        logger.warning("unknown stream ignored: %r", name[:NAME_LENGTH])
    else:
        _resolve_selection(entry, metadata)
        _resolve_keys(entry, metadata, stream.primary_keys)
        _resolve_method(entry, metadata, stream.valid_replication_keys, logger)
        automatic = (*stream.primary_keys, *filter(None, [entry["replication_key"]]))
        _complete_schema(entry, SCHEMAS.get_schema(name), automatic)
        if metadata:  # Without any, everything is selected.
            for field in automatic:
                metadata.setdefault(("properties", field), {})["inclusion"] = "automatic"
    entry["metadata"] = [
        {"breadcrumb": list(breadcrumb), "metadata": values} for breadcrumb, values in metadata.items()
    ]


def _resolve_name(entry: dict[str, Any], logger: logging.Logger) -> str:
    """Name a stream by its `tap_stream_id` alone, which is what the SDK's mapper knows it by too."""
    name = stream_id(entry) or ""
    if entry.get("stream") is not None and entry["stream"] != name:
        logger.info(
            "%r: `tap_stream_id` names the stream, and another `stream` in the catalog changes nothing: use "
            "`__alias__` in `stream_maps` to rename it",
            name[:NAME_LENGTH],
        )
        entry["stream"] = name
    entry["tap_stream_id"] = name
    return name


def _resolve_selection(entry: Mapping[str, Any], metadata: Metadata) -> None:
    """Copy the selection of entry and schema into the metadata, which the SDK reads; false anywhere deselects."""
    schema = entry["schema"]
    flags = {holder.get("selected") for holder in (metadata.get((), {}), entry, schema)}
    fields = list(_deselected_fields(schema, ()))
    if False in flags:
        metadata.setdefault((), {})["selected"] = False
    # An entry without metadata is selected, and is not any more once it has some.
    elif (True in flags) if metadata else fields:
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


def _resolve_keys(entry: dict[str, Any], metadata: Metadata, keys: Sequence[str]) -> None:
    """Set the key of an entry to that of the stream; refuse another."""
    for given in (entry.get("key_properties"), metadata.get((), {}).get("table-key-properties")):
        if given is not None and (not isinstance(given, list | tuple) or list(given) != list(keys)):
            raise RunError(
                f"{entry['tap_stream_id']}: the catalog's `key_properties` must be {_quoted(keys)}, as the tap's: "
                "use `__key_properties__` in `stream_maps` to change the key"
            )
    entry["key_properties"] = list(keys)


def _resolve_method(entry: dict[str, Any], metadata: Metadata, offered: Sequence[str], logger: logging.Logger) -> None:
    """Set the replication method of an entry and, if it is INCREMENTAL, the replication key."""
    name, root = entry["tap_stream_id"], metadata.get((), {})
    key = root.pop("replication-key", None)
    key = entry.get("replication_key") or key
    asked = (
        entry.get("replication_method"),
        entry.get("replication-method"),
        root.pop("replication-method", None),
        root.pop("forced-replication-method", None),
    )
    methods = {str(method).upper() for method in asked if method}
    if methods - {INCREMENTAL, FULL_TABLE}:
        raise RunError(f"{name}: the catalog's replication method is not offered: use {INCREMENTAL} or {FULL_TABLE}")
    is_incremental = INCREMENTAL in methods or (key and not methods)
    if is_incremental and not offered:
        logger.info("%s: always FULL_TABLE: the stream offers no replication key", name)
    if not is_incremental or not offered:
        entry |= {"replication_method": FULL_TABLE, "replication_key": None}
        return
    key = key or offered[0]
    if key not in offered:
        raise RunError(f"{name}: the catalog's replication key is not offered: use {_quoted(offered)}")
    entry |= {"replication_method": INCREMENTAL, "replication_key": key}


def _complete_schema(entry: dict[str, Any], own: Mapping[str, Any], needed: Sequence[str]) -> None:
    """Add the tap's own schema where there is none, and the fields that no record goes without where there is one."""
    properties = entry["schema"].get("properties")
    if not properties:
        entry["schema"] = copy.deepcopy(dict(own))
        return
    for field in needed:
        if field not in properties:
            properties[field] = copy.deepcopy(own["properties"][field])


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
