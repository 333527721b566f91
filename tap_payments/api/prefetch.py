"""Pages in the order they are asked for, while the next are already in flight.

Knows nothing of HTTP: what fetches a page is handed in.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from tap_payments.api.rate_limiter import POLL_INTERVAL
from tap_payments.errors import StoppedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Self

Token = TypeVar("Token")
Fetched = TypeVar("Fetched")


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
            fetch: Fetches one page. Takes whether the token is a guess, which is tried once, and the error with which
                an earlier try of it as a guess failed.
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def schedule(self, token: Token, guesses: Sequence[Token] = ()) -> None:
        """Schedule these pages, and discard whatever else was fetched ahead.

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
        """Return the page of a token that is scheduled, when it is there.

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
        """Let the threads end as soon as what they wait for has come, without waiting for them."""
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
            except BaseException as error:  # noqa: BLE001 - raised in the thread that takes the page
                job.error = error
            job.done.set()
