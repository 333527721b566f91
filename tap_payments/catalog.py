"""What a catalog asks for, made explicit before the SDK reads it: which streams are INCREMENTAL, and by which key."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tap_payments.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

INCREMENTAL, FULL_TABLE = "INCREMENTAL", "FULL_TABLE"


def settle_catalog(
    catalog: Mapping[str, Any],
    *,
    keys: Mapping[str, Sequence[str]],
    replication_keys: Mapping[str, Sequence[str]],
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Settle method, replication key and automatic fields of each entry.

    `replication-method: INCREMENTAL` suffices, in the entry or in its metadata, where Meltano writes it.

    Args:
        catalog: A Singer catalog.
        keys: The key of each stream.
        replication_keys: The replication keys that each stream offers; none where it is always read whole.
        tell: Logs a line.

    Returns:
        A catalog of its own.

    Raises:
        RunError: If the catalog asks for what is not offered.
    """
    settled = copy.deepcopy(dict(catalog))
    for entry in settled.get("streams") or []:
        name = entry.get("tap_stream_id")
        if name not in keys:
            continue
        metadata = entry.get("metadata") or []
        root: dict[str, Any] = next((item["metadata"] for item in metadata if not item["breadcrumb"]), {})
        method, key = _asked(entry, root, name)
        if method == INCREMENTAL and not replication_keys[name]:
            tell(f"{name}: always read whole, since no list of it can be asked for what is new")
            method, key = FULL_TABLE, None
        elif method == INCREMENTAL:
            key = key or replication_keys[name][0]
            if key not in replication_keys[name]:
                offered = ", ".join(f"`{offered}`" for offered in replication_keys[name])
                msg = f"{name}: the catalog's replication key is not offered: use {offered}"
                raise RunError(msg)
        entry["replication_method"] = method
        entry["replication_key"] = key if method == INCREMENTAL else None
        for said_twice in ("replication-key", "replication-method", "forced-replication-method"):
            root.pop(said_twice, None)
        entry["key_properties"] = entry.get("key_properties") or root.get("table-key-properties") or list(keys[name])
        if metadata:  # Without any, everything is selected.
            for field in (*keys[name], *([key] if key else [])):
                _metadata_of(metadata, field)["inclusion"] = "automatic"
    return settled


def _asked(entry: Mapping[str, Any], root: Mapping[str, Any], name: str) -> tuple[str, str | None]:
    """Give the method and the key that an entry and its metadata ask for."""
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


def _metadata_of(metadata: list[dict[str, Any]], field: str) -> dict[str, Any]:
    """Give the metadata of a field; it is made where there is none."""
    breadcrumb = ["properties", field]
    for item in metadata:
        if list(item["breadcrumb"]) == breadcrumb:
            found: dict[str, Any] = item.setdefault("metadata", {})
            return found
    made: dict[str, Any] = {}
    metadata.append({"breadcrumb": breadcrumb, "metadata": made})
    return made
