"""The log of the requests to a fake API, and the limit of their rate."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from threading import Lock


class InFlight:
    """Counts the requests that have arrived and are not answered yet."""

    def __init__(self) -> None:
        self._now = 0
        self._lock = Lock()

    def enter(self) -> int:
        """Count one more and return how many there are."""
        with self._lock:
            self._now += 1
            return self._now

    def leave(self) -> None:
        """Count one less."""
        with self._lock:
            self._now -= 1


@dataclass
class LoggedRequest:
    """One request.

    Attributes:
        time: When it came, by the monotonic clock, in seconds.
        stream: The list it asked for, or an empty string if its path is not one.
        path: Its path without the query.
        params: Its query.
        user_agent: Its `User-Agent` header.
        authorization_ok: Whether its user name and password were right.
        in_flight: How many requests were being served then, with this one.
        status: The status of the response; 0 as long as there is none.
        records: How many records the response carried; 0 if it was cut.
    """

    time: float
    stream: str
    path: str
    params: dict[str, str]
    user_agent: str
    authorization_ok: bool
    in_flight: int
    status: int = 0
    records: int = 0
    counted_in: InFlight | None = field(default=None, repr=False, compare=False)

    def answered(self, status: int, records: int) -> None:
        """Log the response, just before it leaves."""
        self.status, self.records = status, records
        self.done()

    def done(self) -> None:
        """Count the request as served, once."""
        counted_in, self.counted_in = self.counted_in, None
        if counted_in is not None:
            counted_in.leave()


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
