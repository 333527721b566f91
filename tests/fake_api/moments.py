"""Times of records."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

START = 1_577_836_800
"""2020-01-01T00:00:00Z"""

END = 1_735_689_600
"""2025-01-01T00:00:00Z"""

DAY = 86_400


def newest_first(count: int, start: int, end: int, rng: Random) -> list[int]:
    """Draw so many times, in Unix seconds, from `start` up to and without `end`."""
    span = max(1, end - start)
    return sorted((start + int(rng.random() * span) for _ in range(count)), reverse=True)


def formatted(moment: int) -> str:
    """Return a time, in Unix seconds, as people read it."""
    return time.strftime("%d %b %Y, %H:%M", time.gmtime(moment))
