"""Validation of settings, catalogs and states: what is invalid is refused in one line, before the SDK reads it.

A setting is named with its rule, never with its value; a place in a catalog or state with the type it must have.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from jsonschema import Draft7Validator, validators
from singer_sdk.plugin_base import JSONSchemaValidator

from tap_payments import settings as declared
from tap_payments.errors import RunError
from tap_payments.providers import PROVIDERS
from tap_payments.timestamps import read_iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Characters of a name in a file that a message repeats.
NAME_LENGTH = 100
HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "a JSON object",
    "string": "text",
}
PATTERNS = {
    declared.NOT_BLANK: "text that is not empty",
    declared.USER_NAME: "text that is not empty and has no colon: HTTP Basic ends the user name there",
    declared.PARAMETER: "the name of a query parameter",
    declared.PARAMETER_OR_EMPTY: "the name of a query parameter, or empty",
    declared.HEADER: "ASCII text that is not empty and has no control characters",
}
# The JSON Schema keywords, in the order of their rules, and the words that follow `must be`.
KEYWORDS: dict[str, Callable[[Any], str]] = {
    "type": lambda types: " or ".join(TYPES[name] for name in types if name != "null"),
    "enum": lambda values: "one of " + ", ".join(f"`{value}`" for value in values),
    "pattern": PATTERNS.__getitem__,
    "minimum": lambda bound: f"at least {bound}",
    "exclusiveMinimum": lambda bound: f"more than {bound}",
    "maximum": lambda bound: f"at most {bound}",
}


def describe_rule(keywords: Mapping[str, Any]) -> str:
    """Return what a value must be, in words that follow `must be`.

    Args:
        keywords: Keywords of a JSON Schema and their values; unknown ones are passed over.
    """
    # A pattern and an enumeration imply that the value is text.
    implied = {"type"} if keywords.keys() & {"pattern", "enum"} else set()
    rules = [word(keywords[name]) for name, word in KEYWORDS.items() if name in keywords.keys() - implied]
    *others, last = rules or ["of the form that --about describes"]
    return f"{', '.join(others)} and {last}" if others else last


def check_config(config: dict[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Return the settings that are invalid by themselves, each with its rule, and fill in the defaults.

    Args:
        config: A configuration without nulls; completed in place, as the SDK's own validator does.
        schema: The JSON Schema of the configuration.
    """
    broken: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for error in SettingsValidator(schema).iter_errors(config):
        if error.path:
            # What is wrong inside an object is not worded: its keys may be anybody's.
            broken[error.path[0]][error.validator if len(error.path) == 1 else ""] = error.validator_value
    return [
        *(f"setting `{name}` is missing: it is required" for name in schema["required"] if name not in config),
        *(f"setting `{name}` must be {describe_rule(keywords)}" for name, keywords in broken.items()),
        *(
            f"setting `{name}` must {rule}"
            for name, find_rule in CHECKS.items()
            if name in config and name not in broken and (rule := find_rule(config[name]))
        ),
    ]


def find_conflicts(settings: declared.Settings, config: Mapping[str, Any]) -> Iterator[str]:
    """Yield which settings do not go together, where each is valid by itself."""
    if settings.base_url == "/":
        others = " or ".join(f"`provider: {name}`" for name, provider in PROVIDERS.items() if provider.base_url)
        yield f"setting `base_url` is missing: it is required, except with {others}"
    if settings.page_overlap >= settings.page_size:
        yield "setting `page_overlap` must be less than `page_size`"
    if settings.limit_param == settings.offset_param:
        yield "setting `limit_param` must differ from `offset_param`"
    if settings.personal_data == "hash" and not settings.hash_key.strip():
        yield "setting `hash_key` must be set for `personal_data: hash`"
    if config.get("emit_activate_version_messages"):
        if config.get("batch_config"):
            yield "setting `emit_activate_version_messages` must not be used together with `batch_config`"
        if not settings.page_overlap:
            yield (
                "setting `emit_activate_version_messages` must not be used with `page_overlap: 0`, "
                "which cannot tell a deleted record from one that was missed"
            )


def _is_number(_checker: object, value: object) -> bool:
    """Whether a value is a finite number; JSON Schema knows neither NaN nor infinity."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and Decimal(value).is_finite()


def _is_integer(checker: object, value: Any) -> bool:
    """Whether a value is a whole number, `5.0` and decimals included."""
    return _is_number(checker, value) and value == int(value)


#: The SDK's validator, which fills in defaults, with its own idea of a number.
SettingsValidator = validators.extend(
    JSONSchemaValidator,
    type_checker=JSONSchemaValidator.TYPE_CHECKER.redefine_many({"integer": _is_integer, "number": _is_number}),
)


def _check_url(url: str) -> str | None:
    """Return the rule that a base URL breaks, to follow `must`."""
    url = url.strip()
    # `urlsplit` leaves out tabs and line ends, which others do not.
    try:
        parts = urlsplit(url if re.fullmatch(r"[!-~]*", url) else "")
        port = parts.port
    except ValueError:
        return "be a URL such as https://api.example.com/v1/"
    if "@" in parts.netloc:
        return "not contain credentials: they belong in `username` and `password`"
    if parts.scheme not in {"http", "https"} or not HOST.fullmatch(parts.netloc) or port == 0:
        return "be a URL such as https://api.example.com/v1/"
    if parts.query or parts.fragment or "\\" in url:
        return "be a URL without query or fragment"
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        return "begin with https://, since the credentials would travel in the clear; http is for a loopback host only"
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_credential(text: str) -> str | None:
    """Return the rule that a user name, a password or another secret breaks, to follow `must`."""
    return None if text.isprintable() else "not contain control characters"


def _check_date(text: str) -> str | None:
    """Return the rule that a start date breaks, to follow `must`."""
    start = read_iso(text.strip())
    if start is None:
        return "be an ISO 8601 date or date-time, such as 2024-01-31 or 2024-01-31T12:00:00Z"
    return "not be in the future" if start > time.time() else None


def _check_batches(batches: Mapping[str, Any]) -> str | None:
    """Return the rule that a batch configuration breaks, to follow `must`; from 0.55 on the SDK takes any format."""
    is_known = ((batches.get("encoding") or {}).get("format") or "jsonl") in {"jsonl", "parquet"}
    return None if is_known else f"be {describe_rule({})}"


# Rules that JSON Schema cannot express.
CHECKS: dict[str, Callable[[Any], str | None]] = {
    "batch_config": _check_batches,
    "base_url": _check_url,
    "username": _check_credential,
    "password": _check_credential,
    "hash_key": _check_credential,
    "start_date": _check_date,
}

# Catalogs and states; null counts as missing.
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
            return [*path, missing], f"be {TYPES['array']}"
        form = TYPES[types if isinstance(types, str) else types[0]]
        is_item = len(path) > len(("streams", 0)) and isinstance(path[-1], int)
        return path, f"hold only {form}" if is_item else f"be {form}"
    return [], ""


def _refuse_catalog(what: str) -> NoReturn:
    raise RunError(f"{what}: write it as --discover does")
