"""The forms of a catalog and of a state: what has another is refused in one line, before the SDK reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_payments.errors import RunError
from tap_payments.replication.state import TIMES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

# Characters of a name in a file that a message repeats.
NAME_LENGTH = 100


def stream_id(entry: Mapping[str, Any]) -> str | None:
    """Return what identifies the stream of a catalog entry; `stream` does where there is no `tap_stream_id`."""
    names = (entry.get("tap_stream_id"), entry.get("stream"))
    return next((name for name in names if isinstance(name, str) and name), None)


def check_catalog(catalog: Mapping[str, Any]) -> None:
    """Raise an error if a catalog has a form that the SDK cannot read; null counts as missing.

    Args:
        catalog: A Singer catalog.

    Raises:
        RunError: If it is malformed; the text is one line that names the place and the type.
    """
    entries = catalog.get("streams")
    if not isinstance(entries, list):
        _refuse_catalog("the catalog's `streams` must be a list")
    names = set()
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            _refuse_catalog(f"stream {number} of the catalog must be an object")
        name = stream_id(entry)
        if name is None:
            _refuse_catalog(f"stream {number} of the catalog must have a `tap_stream_id`")
        if name in names:
            _refuse_catalog(f"{_short(name)}: the catalog must have no second entry for it")
        names.add(name)
        where = f"{_short(name)}: the catalog's"
        _check_selected(where, entry)
        _check_metadata(where, entry.get("metadata"))
        if entry.get("schema") is not None:
            _check_schema(where, "schema", entry["schema"])


def _check_selected(where: str, holder: Mapping[str, Any]) -> None:
    if not isinstance(holder.get("selected"), bool | None):
        _refuse_catalog(f"{where} `selected` must be true or false")


def _check_metadata(where: str, metadata: object) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, list) or not all(isinstance(item, dict) for item in metadata):
        _refuse_catalog(f"{where} `metadata` must be a list of objects")
    for item in metadata:
        if not _is_list_of_text(item.get("breadcrumb")):
            _refuse_catalog(f"{where} metadata must have a `breadcrumb` that is a list of names, [] for the stream")
        if not isinstance(item.get("metadata"), dict | None):
            _refuse_catalog(f"{where} metadata must have a `metadata` that is an object")
        _check_selected(where, item.get("metadata") or {})


def _check_schema(where: str, path: str, schema: object) -> None:
    """Check a schema and those inside it.

    Args:
        where: What a message begins with.
        path: The place of the schema, such as `schema.properties.amount`.
        schema: What stands there.
    """
    if not isinstance(schema, dict):
        _refuse_catalog(f"{where} `{path}` must be an object")
    _check_selected(where, schema)
    types, properties = schema.get("type"), schema.get("properties")
    if not isinstance(types, str | None) and not _is_list_of_text(types):
        _refuse_catalog(f"{where} `{path}.type` must be the name of a type or a list of them")
    if not _is_list_of_text(schema.get("required", [])):
        _refuse_catalog(f"{where} `{path}.required` must be a list of names")
    for choice in ("anyOf", "allOf", "oneOf"):
        choices = schema.get(choice, [])
        if not isinstance(choices, list) or not all(isinstance(one, dict) for one in choices):
            _refuse_catalog(f"{where} `{path}.{choice}` must be a list of objects")
    if not isinstance(properties, dict | None):
        _refuse_catalog(f"{where} `{path}.properties` must be an object")
    for name, inner in (properties or {}).items():
        _check_schema(where, f"{path}.properties.{_short(name)}", inner)
    if schema.get("items") is not None:
        _check_schema(where, f"{path}.items", schema["items"])


def check_state(state: Mapping[str, Any]) -> None:
    """Raise an error if a state has a form that the SDK cannot read; null counts as missing.

    Args:
        state: The value of a Singer STATE message.

    Raises:
        RunError: If it is malformed; the text is one line that names the place and the type.
    """
    bookmarks = state.get("bookmarks")
    if not isinstance(bookmarks, dict | None):
        _refuse_state("the state's `bookmarks` must be an object")
    for name, bookmark in (bookmarks or {}).items():
        where = f"the state's `bookmarks.{_short(name)}"
        if bookmark is None:
            continue
        if not isinstance(bookmark, dict):
            _refuse_state(f"{where}` must be an object")
        if not isinstance(bookmark.get("replication_key"), str | None):
            _refuse_state(f"{where}.replication_key` must be the name of a field")
        for key in TIMES:
            if isinstance(bookmark.get(key), bool | list | dict):
                _refuse_state(f"{where}.{key}` must be a time")
        if not isinstance(bookmark.get("progress_markers"), dict | None):
            _refuse_state(f"{where}.progress_markers` must be an object")
        _check_partitions(where, bookmark.get("partitions"))


def _check_partitions(where: str, partitions: object) -> None:
    if partitions is None:
        return
    if not isinstance(partitions, list) or not all(isinstance(part, dict) for part in partitions):
        _refuse_state(f"{where}.partitions` must be a list of objects")
    contexts: list[object] = []
    for part in partitions:
        if not isinstance(part.get("context"), dict) or part["context"] in contexts:
            _refuse_state(f"{where}.partitions` must each have a `context` of their own")
        if not isinstance(part.get("progress_markers", {}), dict):
            _refuse_state(f"{where}.partitions` must have objects as `progress_markers`")
        contexts.append(part["context"])


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _short(name: str) -> str:
    return name[:NAME_LENGTH]


def _refuse_catalog(what: str) -> NoReturn:
    msg = f"{what}: write it as --discover does"
    raise RunError(msg)


def _refuse_state(what: str) -> NoReturn:
    msg = f"{what}: use the value of a STATE message of this tap"
    raise RunError(msg)
