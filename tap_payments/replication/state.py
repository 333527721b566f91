"""State of an INCREMENTAL stream: how far it is, and the spans that are still to be read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from tap_payments.pagination.pages import WHOLE, Span
from tap_payments.timestamps import read_time

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

TIMES = ("replication_key_value", "newest", "oldest", "reread_position", "reread_time")
KEYS = {"unread", *TIMES}
UNUSABLE = (
    "the STATE is of another version or replication key, or has values that are not times: the rest is read again"
)


@dataclass(frozen=True)
class StreamState:
    """Progress of a stream's replication, in Unix seconds.

    At every STATE, each record that the list had when it was read, no newer than `newest` and in no span of `unread`,
    is out.

    Attributes:
        replication_key_value: The `newest` of the last run that came to its end; None before there is one.
        newest: The newest time read; None where there is none.
        oldest: The time of the oldest record; None where it is not known.
        unread: Spans that are not out, newest first: what is due, and what lies before `start_date`.
        reread_position: Where re-reading goes on; None is the oldest record.
        reread_time: The start of the last run that added to `unread` what is to be re-read; None where none has.
    """

    replication_key_value: int | None = None
    newest: int | None = None
    oldest: int | None = None
    unread: tuple[Span, ...] = ()
    reread_position: int | None = None
    reread_time: int | None = None


def read_state(saved: Mapping[str, Any], key: str) -> tuple[StreamState, str | None]:
    """Read the state of a stream, as far as it can be used; the rest begins anew.

    Args:
        saved: The stream's part of a STATE, of whatever form.
        key: The replication key.

    Returns:
        The state, and a warning where not all of it can be used.
    """
    if not KEYS & saved.keys():
        return StreamState(), None
    if saved.get("replication_key") not in (None, key):
        return StreamState(), UNUSABLE
    times = {name: _read_second(saved.get(name)) for name in TIMES}
    # Null counts as missing: `load_state` drops it, as some targets do.
    is_usable = all(times[name] is not None or saved.get(name) is None for name in TIMES)
    unread = _read_spans(saved.get("unread"))
    if unread is None:
        # A bookmark alone is of another tap or version: everything up to it counts as read.
        is_of_ours = saved.get("unread") is not None or saved.get("newest") is not None
        is_usable, unread = False, (WHOLE,) if is_of_ours else ()
    if times["newest"] is None:
        times["newest"] = times["replication_key_value"]
    return StreamState(unread=unread, **times), None if is_usable else UNUSABLE


def write_state(state: StreamState, saved: MutableMapping[str, Any], key: str, *, as_text: bool) -> None:
    """Write the state of a stream; every key, since what merges states, as Meltano does, deletes none.

    Args:
        state: The state.
        saved: The stream's part of a STATE; changed in place.
        key: The replication key.
        as_text: Whether the replication key is declared a string, and so its value is one.
    """
    bookmark = state.replication_key_value
    saved.update(asdict(state), replication_key=key, unread=[list(span) for span in state.unread])
    if as_text and bookmark is not None:
        saved["replication_key_value"] = str(bookmark)


def _read_second(value: object) -> int | None:
    time = read_time(value)
    return None if time is None else floor(time)


def _read_spans(value: object) -> tuple[Span, ...] | None:
    """Return spans, with lower ends rounded down and upper ends up; None if one is malformed."""
    spans = []
    for pair in value if isinstance(value, list) else [None]:
        if not isinstance(pair, list) or len(pair) != len(Span._fields):
            return None
        since, until = map(read_time, pair)
        if (since is None, until is None) != (pair[0] is None, pair[1] is None):
            return None
        if since is not None and until is not None and since > until:
            return None
        spans.append(Span(None if since is None else floor(since), None if until is None else ceil(until)))
    return tuple(spans)
