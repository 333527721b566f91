"""Pages in the order they are asked for, while the next are already in flight, at the pace allowed.

Knows nothing of HTTP: what fetches a page is handed in.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Token = TypeVar("Token")
Fetched = TypeVar("Fetched")

# Requests that are spaced by exactly the allowed pace are refused now and then: clocks differ, and networks bunch.
INTERVAL_MARGIN = 1.02
# Longest time, in seconds, after which a wait notices that the run is to stop.
POLL_INTERVAL = 0.2


class StoppedError(Exception):
    """The run was told to stop while it waited."""


class TransientError(Exception):
    """A try that failed in a way that another one may not.

    Attributes:
        reason: What happened, to follow the name of what was asked for.
        advice: What to do about it if it does not pass.
        retry_after: Seconds that the API asks to wait; None where it does not.
        holds_all: Whether all requests of the run are to wait, not just this one.
        tries: How many tries of the same request have failed so far.
    """

    def __init__(
        self,
        reason: str,
        *,
        advice: str = "",
        retry_after: float | None = None,
        holds_all: bool = False,
        tries: int = 1,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice
        self.retry_after = retry_after
        self.holds_all = holds_all
        self.tries = tries


class RateLimiter:
    """Spaces the requests of a run, from whatever thread they come."""

    def __init__(self, requests_per_minute: float | None, stop: threading.Event) -> None:
        """Begin a run.

        Args:
            requests_per_minute: How many requests are allowed; None is any number.
            stop: Set when the run is to end.
        """
        self._interval = 60 / requests_per_minute * INTERVAL_MARGIN if requests_per_minute else 0.0
        self._stop = stop
        self._lock = threading.Lock()
        self._next = 0.0
        self._held_until = 0.0

    def acquire(self) -> float:
        """Wait until a request may be sent.

        Returns:
            Seconds that it took.

        Raises:
            StoppedError: If the run is to stop.
        """
        begun = time.monotonic()
        while True:
            with self._lock:
                now = time.monotonic()
                left = max(self._next, self._held_until) - now
                if left <= 0:
                    # Counted from when it is really sent, so that requests which were held do not go in a bunch.
                    self._next = now + self._interval
                    return now - begun
            self.wait(left)

    def hold(self, seconds: float) -> None:
        """Send nothing for some seconds: the API says that requests come too fast."""
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + seconds)

    def wait(self, seconds: float) -> None:
        """Sleep, but not past the end of the run.

        Raises:
            StoppedError: If the run is to stop.
        """
        until = time.monotonic() + seconds
        while not self._stop.is_set():
            left = until - time.monotonic()
            if left <= 0:
                return
            self._stop.wait(min(left, POLL_INTERVAL))
        raise StoppedError


@dataclass
class _Job(Generic[Token, Fetched]):
    token: Token
    guess: bool
    failed: TransientError | None = None
    done: threading.Event = field(default_factory=threading.Event)
    outcome: Fetched | None = None
    error: BaseException | None = None


class Prefetcher(Generic[Token, Fetched]):
    """Fetches pages ahead of their turn in as many threads as pages may be in flight."""

    def __init__(
        self,
        fetch: Callable[[Token, bool, TransientError | None], Fetched],
        *,
        threads: int,
        stop: threading.Event,
    ) -> None:
        """Start nothing yet.

        Args:
            fetch: Fetches one page. Told whether the token is a guess, which is tried once, and with which error an
                earlier try of it as a guess failed.
            threads: How many pages may be in flight.
            stop: Set when the run is to end.
        """
        self._fetch = fetch
        self._stop = stop
        self._threads = threads
        self._started = 0
        self._idle = 0
        self._closed = False
        self._jobs: dict[Token, _Job[Token, Fetched]] = {}
        self._queue: deque[_Job[Token, Fetched]] = deque()
        self._changed = threading.Condition()

    def want(self, token: Token, guesses: Sequence[Token] = ()) -> None:
        """Have these pages fetched, and throw away whatever else was fetched ahead.

        Args:
            token: What will be taken next.
            guesses: What will probably be taken after it.
        """
        with self._changed:
            wanted = dict.fromkeys((token, *guesses))
            self._jobs = {key: job for key, job in self._jobs.items() if key in wanted}
            self._queue = deque(job for job in self._queue if job.token in wanted)
            for key in wanted:
                if key not in self._jobs:
                    self._submit(_Job(key, guess=key != token))

    def take(self, token: Token) -> Fetched:
        """Give the page of a token that is wanted, when it is there.

        Raises:
            StoppedError: If the run is to stop.
            Exception: Whatever the fetching raised.
        """
        job = self._jobs.pop(token)
        self._finish(job)
        if job.guess and isinstance(job.error, TransientError):
            # Its turn has come, so it is a guess no more and deserves the other tries.
            job = _Job(token, guess=False, failed=job.error)
            with self._changed:
                self._submit(job, first=True)
            self._finish(job)
        if job.error is not None:
            raise job.error
        return job.outcome  # type: ignore[return-value]  # set wherever there is no error

    def retry(self, token: Token, failed: TransientError) -> None:
        """Fetch a page again that was taken and not believed; it can be taken once more.

        Args:
            token: The page.
            failed: Why it was not believed.
        """
        with self._changed:
            job: _Job[Token, Fetched] = _Job(token, guess=False, failed=failed)
            self._jobs[token] = job
            self._submit(job, first=True)

    def close(self) -> None:
        """Let the threads end as soon as what they wait for has come; nobody waits for them."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._queue.clear()
            self._changed.notify_all()

    def _finish(self, job: _Job[Token, Fetched]) -> None:
        while not job.done.wait(POLL_INTERVAL):
            if self._stop.is_set():
                raise StoppedError
        if self._stop.is_set():
            raise StoppedError

    def _submit(self, job: _Job[Token, Fetched], *, first: bool = False) -> None:
        if not first:
            self._jobs[job.token] = job
        (self._queue.appendleft if first else self._queue.append)(job)
        if len(self._queue) > self._idle and self._started < self._threads:
            self._started += 1
            # A daemon: a request that hangs must not keep the process from ending.
            threading.Thread(target=self._work, name=f"page-{self._started}", daemon=True).start()
        self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._queue and not self._closed:
                    self._changed.wait()
                self._idle -= 1
                if self._closed:
                    return
                job = self._queue.popleft()
            try:
                job.outcome = self._fetch(job.token, job.guess, job.failed)
            except BaseException as error:  # noqa: BLE001 - told to the thread that takes the page
                job.error = error
            job.done.set()
