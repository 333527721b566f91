"""Wait for a condition without knowing when it comes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

POLL = 0.01  # seconds
# Seconds to wait for what takes a moment: enough on a machine that is busy with other work.
SOON = 60.0


def wait_until(condition: Callable[[], object], seconds: float = SOON) -> None:
    """Wait until a condition holds, and assert that it does in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(POLL)
