"""Lists of records with no more than a key and a time, where a test is about places and times alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fake_api.providers import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY = 86_400


def minimal_records(stream: str, times: Iterable[float], *, prefix: str = "r") -> list[dict[str, Any]]:
    """Make a record for each time, in Unix seconds, newest first; charges have theirs as digits.

    Subscriptions and products show the time of their filter too, `created`; it is the same.
    """
    facts = STREAMS[stream]
    newest_first = sorted(times, reverse=True)
    created = stream in {"subscriptions", "products"}
    return [
        {facts.key: f"{prefix}{number}", facts.time: str(time) if stream == "charges" else time}
        | ({"created": time} if created else {})
        for number, time in enumerate(newest_first)
    ]


def evenly_spaced(count: int, start: int, end: int) -> list[int]:
    """Return so many times at equal distances, from `start` up to and without `end`."""
    return [start + (end - start) * number // count for number in range(count)]
