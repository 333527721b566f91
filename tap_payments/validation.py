"""The forms of a catalog and of a state: what has another is refused in one line, before the SDK reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from jsonschema import Draft7Validator

from tap_payments.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Characters of a name in a file that a message repeats.
NAME_LENGTH = 100


# Names of the types in messages.
TYPE_NAMES = {"object": "an object", "array": "a list", "string": "text", "boolean": "true or false"}
# Null counts as missing.
OBJECT, TEXT, BOOLEAN = ({"type": [name, "null"]} for name in ("object", "string", "boolean"))
NAMES = {"type": ["array", "null"], "items": {"type": "string"}}
OBJECTS = {"type": ["array", "null"], "items": {"type": "object"}}
FIELD = {"$ref": "#/definitions/field"}
FIELD_KEYWORDS = {
    "selected": BOOLEAN,
    "type": {"type": ["string", "array", "null"], "items": {"type": "string"}},
    "required": NAMES,
    "anyOf": OBJECTS,
    "allOf": OBJECTS,
    "oneOf": OBJECTS,
    "properties": {**OBJECT, "additionalProperties": {"type": "object", "allOf": [FIELD]}},
    "items": FIELD,
}
METADATA = {
    "type": "object",
    "required": ["breadcrumb"],
    "properties": {
        "breadcrumb": {"type": "array", "items": {"type": "string"}},
        "metadata": {**OBJECT, "properties": {"selected": BOOLEAN}},
    },
}
ENTRY = {"selected": BOOLEAN, "metadata": {"type": ["array", "null"], "items": METADATA}, "schema": FIELD}
CATALOG = Draft7Validator(
    {
        "definitions": {"field": {**OBJECT, "properties": FIELD_KEYWORDS}},
        "required": ["streams"],
        "properties": {"streams": {"type": "array", "items": {"type": "object", "properties": ENTRY}}},
    }
)
BOOKMARK = {**OBJECT, "properties": {"replication_key": TEXT, "progress_markers": OBJECT}}
STATE = Draft7Validator({"properties": {"bookmarks": {**OBJECT, "additionalProperties": BOOKMARK}}})


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
    path, rule = _find_invalid(CATALOG, catalog)
    if len(path) == 1:
        _refuse_catalog(f"the catalog's `streams` must {rule}")
    names: set[str] = set()
    for index, entry in enumerate(catalog["streams"]):
        name = stream_id(entry) if isinstance(entry, dict) else None
        if name is None:
            rule = "have a `tap_stream_id`" if isinstance(entry, dict) else rule
            _refuse_catalog(f"stream {index + 1} of the catalog must {rule}")
        if name in names:
            _refuse_catalog(f"{name[:NAME_LENGTH]}: the catalog must have no second entry for it")
        names.add(name)
        if path[:2] == ["streams", index]:
            inside = [part[:NAME_LENGTH] for part in path[2:] if isinstance(part, str)]
            place = ".".join(inside) if inside[0] == "schema" else inside[-1]
            _refuse_catalog(f"{name[:NAME_LENGTH]}: the catalog's `{place}` must {rule}")


def check_state(state: Mapping[str, Any]) -> None:
    """Raise an error if a state has a form that the SDK cannot read; null counts as missing.

    Args:
        state: The value of a Singer STATE message.

    Raises:
        RunError: If it is malformed; the text is one line that names the place and the type.
    """
    path, rule = _find_invalid(STATE, state)
    if path:
        place = ".".join(str(part)[:NAME_LENGTH] for part in path)
        raise RunError(f"the state's `{place}` must {rule}: use the value of a STATE message of this tap")


def _find_invalid(validator: Draft7Validator, value: Mapping[str, Any]) -> tuple[list[str | int], str]:
    """Return the path of the first invalid place, and its rule, to follow `must`; no path if all is valid."""
    for error in validator.iter_errors(value):
        path, types = list(error.absolute_path), error.validator_value
        if error.validator == "required":
            (missing,) = error.validator_value
            return [*path, missing], f"be {TYPE_NAMES['array']}"
        form = TYPE_NAMES[types if isinstance(types, str) else types[0]]
        is_item = len(path) > len(("streams", 0)) and isinstance(path[-1], int)
        return path, f"hold only {form}" if is_item else f"be {form}"
    return [], ""


def _refuse_catalog(what: str) -> NoReturn:
    raise RunError(f"{what}: write it as --discover does")
