"""Retries, and pages fetched ahead of their turn.

Knows nothing of HTTP: the function that requests a page is an argument.
"""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Generic, TypeVar

from tap_payments.api.rate_limiter import POLL_INTERVAL
from tap_payments.errors import (
    RefusedCredentialsError,
    RequestError,
    RunError,
    StoppedError,
    StreamError,
    TransientError,
)
from tap_payments.timestamps import describe

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Sequence

    from tap_payments.api.rate_limiter import RateLimiter
    from tap_payments.settings import Settings

Token = TypeVar("Token")
Fetched = TypeVar("Fetched")

# Longest wait in seconds; where the API asks for more, the stream fails.
MAX_WAIT = 300
# Largest share of a backoff that is added to it.
JITTER = 0.1


class PageFetcher(Generic[Token, Fetched]):
    """Fetches the pages of one stream."""

    def __init__(  # noqa: PLR0913 - the parts that it is made of, given by name
        self,
        request: Callable[[Token], Fetched],
        *,
        name: str,
        settings: Settings,
        limiter: RateLimiter,
        logger: logging.Logger,
        on_request: Callable[[float], None],
        on_retry: Callable[[], None],
        tries_once: bool = False,
    ) -> None:
        """Create a fetcher.

        Args:
            request: Sends one request and returns its page; raises TransientError where another try may help.
            name: Stream and path, as messages name the request.
            settings: The settings.
            limiter: The pace of the run.
            logger: Logs each retry.
            on_request: Called for each request with the seconds that it waited to be sent, from any thread.
            on_retry: Called for each request that is sent again.
            tries_once: Whether the first failure is final, as a test of the connection does.
        """
        self._request, self._name, self._settings, self._limiter = request, name, settings, limiter
        self._logger, self._on_request, self._on_retry, self._tries_once = logger, on_request, on_retry, tries_once
        self._prefetcher = Prefetcher(self._try, threads=settings.concurrency, stop=limiter.stop)
        self._next: Token | None = None
        self.close = self._prefetcher.close

    def schedule(self, tokens: Sequence[Token]) -> None:
        """Schedule the next page and those that will probably follow, which are tried once until their turn."""
        self._next = tokens[0]
        self._prefetcher.schedule(tokens)

    def fetch(self, token: Token, check: Callable[[Fetched], None]) -> Fetched:
        """Return a page, requested again while that may help.

        Args:
            token: Which page.
            check: Raises TransientError for a page that is not to be believed.

        Raises:
            StreamError: If no believable page came.
            RunError: If the credentials are refused.
            StoppedError: If the run is to stop.
        """
        self._next, tries = token, 0
        while True:
            try:
                page = self._prefetcher.take(token)
                check(page)
            except RequestError as error:
                failure = RunError if isinstance(error, RefusedCredentialsError) else StreamError
                raise failure(f"{self._name} {error}") from None
            except TransientError as error:
                tries += 1
                self._wait_to_retry(error, tries)
            else:
                return page

    def _try(self, token: Token) -> Fetched:
        """Send one request when the rate limit allows it."""
        self._on_request(self._limiter.acquire())
        try:
            return self._request(token)
        except TransientError as error:
            # `fetch` pauses after the next page itself: it knows how often that was tried.
            # After a longer wait than a run takes, the stream fails when the page's turn comes.
            if error.pauses_all and token != self._next and (wait := self._wait_after(error, 1)) <= MAX_WAIT:
                self._limiter.pause(wait)
                error.retry_after = None  # It need not be waited for again when its turn comes.
            raise

    def _wait_after(self, error: TransientError, tries: int) -> float:
        """Return the seconds to wait: the longer of the backoff and what the API asks for."""
        # Accounts on one schedule must not retry all at once.
        jitter = random.uniform(1, 1 + JITTER)  # noqa: S311 - no secret
        backoff = min(self._settings.backoff_factor * 2.0 ** (tries - 1) * jitter, MAX_WAIT)
        return max(backoff, error.retry_after or 0.0)

    def _wait_to_retry(self, error: TransientError, tries: int) -> None:
        """Wait after a try that failed, or fail the stream."""
        maximum, wait = self._settings.max_retries, self._wait_after(error, tries)
        reason = f"{self._name} {error.reason}"
        if wait > MAX_WAIT:
            back = describe(time.time() + wait)
            raise StreamError(f"{reason} and asks to wait {wait:.0f} s: run again after {back}")
        if self._tries_once:
            raise StreamError(f"{reason}, and --test tries once: {error.advice}")
        if tries > maximum:
            times = f", {tries} times in a row" if tries > 1 else ""
            raise StreamError(f"{reason}{times}: {error.advice}")
        self._logger.warning("%s; trying again in %.12g s (%d of %d)", reason, round(wait, 1), tries, maximum)
        self._on_retry()
        if error.pauses_all:
            self._limiter.pause(wait)
        else:
            self._limiter.wait(wait)


class Prefetcher(Generic[Token, Fetched]):
    """Fetches pages ahead of their turn, each once, in as many threads as pages may be in flight."""

    def __init__(self, fetch: Callable[[Token], Fetched], *, threads: int, stop: threading.Event) -> None:
        """Create a prefetcher.

        Args:
            fetch: Fetches one page; called from any of the threads.
            threads: How many pages may be in flight.
            stop: Set when the run is to end.
        """
        self._fetch, self._stop = fetch, stop
        self._threads, self._thread_count = threads, 0
        # Scheduled pages, the most urgent first.
        self._futures: dict[Token, Future[Fetched]] = {}
        self._closed = False
        self._changed = threading.Condition()

    def schedule(self, tokens: Sequence[Token]) -> None:
        """Schedule these pages, the first before the others, and discard all others that were fetched ahead."""
        with self._changed:
            self._futures = {token: self._futures.get(token) or Future() for token in tokens}
            self._changed.notify_all()
        while self._thread_count < min(self._threads, len(self._futures)):
            self._thread_count += 1
            # A daemon: a request that hangs must not keep the process from ending.
            threading.Thread(target=self._work, name=f"page-{self._thread_count}", daemon=True).start()

    def take(self, token: Token) -> Fetched:
        """Wait for a page and return it; one that is not scheduled is fetched before all others.

        Raises:
            StoppedError: If the run is to stop.
            Exception: Whatever the fetching raised. Taken again, the page is fetched again.
        """
        if token not in self._futures:
            self.schedule([token, *self._futures])
        future = self._futures[token]
        while not self._stop.is_set():
            if wait([future], POLL_INTERVAL).done:
                with self._changed:
                    del self._futures[token]
                return future.result()
        raise StoppedError

    def close(self) -> None:
        """Let the threads end as soon as their requests have, without waiting for them."""
        with self._changed:
            self._futures, self._closed = {}, True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while (claimed := self._claim()) is None:
                    if self._closed:
                        return
                    self._changed.wait()
            token, future = claimed
            try:
                future.set_result(self._fetch(token))
            except BaseException as error:  # noqa: BLE001 - raised in the thread that takes the page
                future.set_exception(error)

    def _claim(self) -> tuple[Token, Future[Fetched]] | None:
        """Mark the most urgent page that no thread fetches yet as running, and return it."""
        for token, future in self._futures.items():
            if not (future.running() or future.done()):
                future.set_running_or_notify_cancel()
                return token, future
        return None
