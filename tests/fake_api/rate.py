"""The limit of requests in a sliding window of time."""

from __future__ import annotations

from collections import deque
from threading import Lock


class RateLimit:
    """Remembers when requests were let through."""

    def __init__(self) -> None:
        self._passed: deque[float] = deque()
        self._lock = Lock()

    def passes(self, now: float, allowed: int, window: float) -> bool:
        """Whether a request at `now` is within the `allowed` ones of the last `window` seconds."""
        with self._lock:
            while self._passed and self._passed[0] <= now - window:
                self._passed.popleft()
            if len(self._passed) >= allowed:
                return False
            self._passed.append(now)
            return True
