"""Stream maps that change nothing, and fields that flattening gives one name; the maps themselves are the SDK's."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from singer_sdk.helpers._flattening import flatten_key
from singer_sdk.mapper import NULL_STRING

from tap_payments.errors import RunError
from tap_payments.validation import NAME_LENGTH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from singer_sdk.helpers._flattening import FlatteningOptions

    Maps = Mapping[str, Any]

EMPTY = "is empty and changes nothing: Meltano drops null, so write `__NULL__` to remove a field or a stream"


def find_idle_maps(stream_maps: Maps, fields: Mapping[str, Collection[str] | None]) -> Iterator[str]:
    """Yield a line for each map, and each removal of a field, that changes nothing.

    Args:
        stream_maps: The setting.
        fields: The fields that each stream may have; None where undeclared ones pass.
    """
    if not stream_maps:
        yield f"setting `stream_maps` {EMPTY}"
    for key, stream_map in stream_maps.items():
        if key.startswith("__"):
            continue
        name = f"setting `stream_maps`: {key[:NAME_LENGTH]!r}"
        sources = [stream for stream in fields if _is_for(stream, key, stream_map)]
        if not sources:
            yield f"{name} is a map of no stream and changes nothing: the streams are {', '.join(fields)}"
        elif stream_map == {}:
            yield f"{name} {EMPTY}"
        elif isinstance(stream_map, dict):
            for field, expression in stream_map.items():
                known = any((declared := fields[stream]) is None or field in declared for stream in sources)
                if expression in (None, NULL_STRING) and not known and not field.startswith("__"):
                    yield f"{name} removes {field[:NAME_LENGTH]!r}, a field that is not there: check its name"


def refuse_collision(stream: str, schema: Mapping[str, Any], stream_maps: Maps, options: FlatteningOptions) -> None:
    """Raise an error if flattening gives two fields one name.

    Args:
        stream: Name of the stream.
        schema: Its selected schema.
        stream_maps: The setting, whose maps may make fields.
        options: How fields are flattened.

    Raises:
        RunError: If two fields get one name; the text names both.
    """
    made = (
        (field,)
        for key, stream_map in stream_maps.items()
        if isinstance(stream_map, dict) and _is_for(stream, key, stream_map)
        for field, expression in stream_map.items()
        if expression not in (None, NULL_STRING) and not field.startswith("__")
    )
    found: dict[str, tuple[str, ...]] = {}
    for path in (*_leaves(schema, (), options.max_level), *made):
        name = flatten_key(path[-1], list(path[:-1]), options.separator, max_key_length=options.max_key_length)
        other = found.setdefault(name, path)
        if other != path:
            both = " and ".join(f"`{'.'.join(one)[:NAME_LENGTH]}`" for one in (other, path))
            msg = (
                f"{stream}: flattening gives {both} one name: set another `flattening_separator` or a larger "
                "`flattening_max_key_length`, or deselect one of them"
            )
            raise RunError(msg)


def _is_for(stream: str, key: str, stream_map: object) -> bool:
    """Whether a map is applied to the records of a stream."""
    source = stream_map.get("__source__", key) if isinstance(stream_map, dict) else key
    return fnmatch(stream, str(source))


def _leaves(schema: Mapping[str, Any], parents: tuple[str, ...], levels: int) -> Iterator[tuple[str, ...]]:
    """Yield the path of each field that is a column once it is flattened."""
    for name, declared in schema.get("properties", {}).items():
        path = (*parents, name)
        if "object" in declared.get("type", ()) and "properties" in declared and len(path) <= levels:
            yield from _leaves(declared, path, levels)
        else:
            yield path
