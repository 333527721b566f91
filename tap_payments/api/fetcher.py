"""Pages fetched at the pace of the run, with retries of requests that failed in a way that may pass."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Generic

from tap_payments.api.prefetch import Fetched, Prefetcher, Token
from tap_payments.errors import RefusedCredentialsError, RequestError, RunError, StreamError, TransientError
from tap_payments.records.timestamps import describe

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Sequence

    from tap_payments.api.rate_limiter import RateLimiter

# Seconds after which waiting is left to whoever starts the runs.
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
        limiter: RateLimiter,
        on_request: Callable[[float], None],
        on_retry: Callable[[], None],
        logger: logging.Logger,
        threads: int,
        max_retries: int,
        backoff_factor: float,
        tries_once: bool = False,
    ) -> None:
        """Take the parts that fetch a page.

        Args:
            request: Sends one request and returns its page; raises TransientError where another try may help.
            name: Stream and path, as messages name the request.
            limiter: The pace of the run.
            on_request: Called for each request with the seconds that it waited to be sent, from any thread.
            on_retry: Called for each request that is sent again.
            logger: Logs each retry.
            threads: How many pages may be in flight.
            max_retries: Tries after the first one.
            backoff_factor: Seconds to wait before the first of them; each later one waits twice as long.
            tries_once: Whether the first failure is final, as a test of the connection does.
        """
        self._request, self._name, self._limiter, self._logger = request, name, limiter, logger
        self._on_request, self._on_retry = on_request, on_retry
        self._max_retries, self._backoff_factor, self._tries_once = max_retries, backoff_factor, tries_once
        self._prefetcher = Prefetcher(self._try, threads=threads, stop=limiter.stop)
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
        """Send one request at its time."""
        self._on_request(self._limiter.acquire())
        try:
            return self._request(token)
        except TransientError as error:
            # `fetch` pauses after the next page itself: it knows how often that was tried.
            if error.pauses_all and token != self._next:
                self._limiter.pause(min(self._wait_after(error, 1), MAX_WAIT))
            raise

    def _wait_after(self, error: TransientError, tries: int) -> float:
        """Return the seconds to wait: the longer of the backoff and what the API asks for."""
        # Many accounts on one schedule must not come back in step.
        jitter = random.uniform(1, 1 + JITTER)  # noqa: S311 - no secret
        backoff = min(self._backoff_factor * 2.0 ** (tries - 1) * jitter, MAX_WAIT)
        return max(backoff, error.retry_after or 0.0)

    def _wait_to_retry(self, error: TransientError, tries: int) -> None:
        """Wait after a try that failed, or fail the stream."""
        maximum, wait = self._max_retries, self._wait_after(error, tries)
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
