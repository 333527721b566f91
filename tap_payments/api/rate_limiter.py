"""The pace of requests, over all streams of a run."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tap_payments.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable

# Requests that are spaced by exactly the allowed pace are refused now and then: clocks differ, and networks bunch.
INTERVAL_MARGIN = 1.02
# Longest time, in seconds, after which a wait notices that the run is to stop.
POLL_INTERVAL = 0.2


class RateLimiter:
    """Spaces the requests of a run, from whatever thread they come."""

    def __init__(
        self,
        requests_per_minute: float | None,
        stop: threading.Event,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Begin a run.

        Args:
            requests_per_minute: How many requests are allowed; None is any number.
            stop: Set when the run is to end; every wait ends then.
            clock: Returns the time in seconds.
            sleep: Waits for some seconds.
        """
        self.stop = stop
        self._clock, self._sleep = clock, sleep
        self._interval = 60 / requests_per_minute * INTERVAL_MARGIN if requests_per_minute else 0.0
        self._lock = threading.Lock()
        self._next = 0.0
        self._paused_until = 0.0

    def acquire(self) -> float:
        """Wait until a request may be sent.

        Returns:
            Seconds that it took.

        Raises:
            StoppedError: If the run is to stop.
        """
        begun = self._clock()
        while True:
            with self._lock:
                now = self._clock()
                left = max(self._next, self._paused_until) - now
                if left <= 0:
                    # Counted from when it is really sent, so that requests which were paused do not go in a bunch.
                    self._next = now + self._interval
                    return now - begun
            self.wait(left)

    def pause(self, seconds: float) -> None:
        """Pause all requests for some seconds: the API received too many."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)

    def wait(self, seconds: float) -> None:
        """Sleep, but not past the end of the run.

        Raises:
            StoppedError: If the run is to stop.
        """
        until = self._clock() + seconds
        while not self.stop.is_set():
            left = until - self._clock()
            if left <= 0:
                return
            # Not `stop.wait`: where a signal finds it holding the event's lock, the handler could not set the event.
            self._sleep(min(left, POLL_INTERVAL))
        raise StoppedError
