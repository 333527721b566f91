"""Stream maps that change nothing; the maps themselves are the SDK's."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from singer_sdk.mapper import NULL_STRING

from tap_payments.validation import NAME_LENGTH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

EMPTY = "is empty and changes nothing: Meltano drops null, so write `__NULL__` to remove a field or a stream"


def find_idle_maps(stream_maps: Mapping[str, Any], fields: Mapping[str, Collection[str] | None]) -> Iterator[str]:
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


def _is_for(stream: str, key: str, stream_map: object) -> bool:
    """Whether a map is applied to the records of a stream."""
    source = stream_map.get("__source__", key) if isinstance(stream_map, dict) else key
    return fnmatch(stream, str(source))
