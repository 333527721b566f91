"""Lists of records with no more than a key and a time, where a test is about places and times alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fake_api.providers import PROVIDERS, STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY = 86_400


def minimal_records(stream: str, times: Iterable[float], *, prefix: str = "r") -> list[dict[str, Any]]:
    """Make a record for each time, in Unix seconds, newest first; charges have theirs as digits.

    The time that ChargeDesk filters a list by stands in its records, too.
    """
    facts, filtered = STREAMS[stream], PROVIDERS["chargedesk"].filters.get(stream)
    return [
        ({filtered: time} if filtered else {})
        | {facts.key: f"{prefix}{number}", facts.time: str(time) if stream == "charges" else time}
        for number, time in enumerate(sorted(times, reverse=True))
    ]


def evenly_spaced(count: int, start: int, end: int) -> list[int]:
    """Return so many times at equal distances, from `start` up to and without `end`."""
    return [start + (end - start) * number // count for number in range(count)]
