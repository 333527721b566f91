"""One page with as many tries as the settings allow, at the pace of the run."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from tap_payments.errors import RefusedCredentialsError, RequestError, RunError, StreamError, TransientError
from tap_payments.records.timestamps import describe

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from tap_payments.api.rate_limiter import RateLimiter

Token = TypeVar("Token")
Fetched = TypeVar("Fetched")

# Seconds after which waiting is left to whoever starts the runs.
MAX_WAIT = 300
# Largest share of a backoff that is added to it.
JITTER = 0.1


@dataclass(frozen=True)
class RetryPolicy:
    """How often a request is tried.

    Attributes:
        max_retries: Tries after the first one.
        backoff_factor: Seconds to wait before the first of them; each later one waits twice as long.
        tries_once: Whether the first failure is final, as a test of the connection does.
    """

    max_retries: int
    backoff_factor: float
    tries_once: bool = False

    def wait_after(self, error: TransientError, tries: int) -> float:
        """Return the seconds to wait: the longer of the backoff and what the API asks for."""
        backoff = min(self.backoff_factor * 2.0 ** (tries - 1), MAX_WAIT)
        # Many accounts on one schedule must not come back in step.
        backoff = min(backoff * random.uniform(1, 1 + JITTER), MAX_WAIT)  # noqa: S311 - no secret
        return max(backoff, error.retry_after or 0.0)


class RequestCounts(Protocol):
    """Counts requests."""

    def count_request(self, waited: float) -> None:
        """Count a request, and the seconds that it waited to be sent."""

    def count_retry(self) -> None:
        """Count a request that is sent again."""


class PageFetcher(Generic[Token, Fetched]):
    """Requests a page again while that may help, and fails the stream where it does not."""

    def __init__(  # noqa: PLR0913 - the parts that it is made of, given by name
        self,
        request: Callable[[Token], Fetched],
        *,
        name: str,
        retries: RetryPolicy,
        limiter: RateLimiter,
        counts: RequestCounts,
        logger: logging.Logger,
    ) -> None:
        """Send nothing yet.

        Args:
            request: Sends one request and returns its page; raises TransientError where another try may help.
            name: Stream and path, as messages name what is requested.
            retries: How often to try.
            limiter: The pace of the run.
            counts: Counts requests and retries.
            logger: Logs each retry.
        """
        self._request = request
        self._name = name
        self._retries = retries
        self._limiter = limiter
        self._counts = counts
        self._logger = logger

    def fetch(self, token: Token, guess: bool, failed: TransientError | None) -> Fetched:  # noqa: FBT001
        """Fetch one page.

        Args:
            token: Which page.
            guess: Whether the request is speculative; it is tried once then.
            failed: How an earlier try failed.

        Raises:
            TransientError: If a guess failed.
            StreamError: If the page cannot be had.
            RunError: If the credentials are refused.
            StoppedError: If the run is to stop.
        """
        tries = 0 if failed is None else failed.tries - 1
        while True:
            if failed is not None:
                tries += 1
                self._wait_to_retry(failed, tries)
            self._counts.count_request(self._limiter.acquire())
            try:
                return self._request(token)
            except RequestError as error:
                failure = RunError if isinstance(error, RefusedCredentialsError) else StreamError
                raise failure(f"{self._name} {error}") from None
            except TransientError as error:
                if guess:
                    if error.pauses_all:
                        self._limiter.pause(min(self._retries.wait_after(error, 1), MAX_WAIT))
                    raise
                failed = error

    def _wait_to_retry(self, error: TransientError, tries: int) -> None:
        """Wait after a try that failed, or fail the stream."""
        wait = self._retries.wait_after(error, tries)
        if wait > MAX_WAIT:
            back = describe(time.time() + wait)
            raise StreamError(f"{self._name} {error.reason} and asks to wait {wait:.0f} s: run again after {back}")
        if self._retries.tries_once:
            raise StreamError(f"{self._name} {error.reason}, and --test tries once: {error.advice}")
        if tries > self._retries.max_retries:
            times = f", {tries} times in a row" if tries > 1 else ""
            raise StreamError(f"{self._name} {error.reason}{times}: {error.advice}")
        self._logger.warning(
            "%s %s; trying again in %.12g s (%d of %d)",
            self._name,
            error.reason,
            round(wait, 1),
            tries,
            self._retries.max_retries,
        )
        self._counts.count_retry()
        if error.pauses_all:
            self._limiter.pause(wait)
        else:
            self._limiter.wait(wait)
