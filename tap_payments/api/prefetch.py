"""Pages in the order of their requests, while the next ones are already in flight.

Knows nothing of HTTP: the function that fetches a page is an argument.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Generic, TypeVar

from tap_payments.api.rate_limiter import POLL_INTERVAL
from tap_payments.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Token = TypeVar("Token")
Fetched = TypeVar("Fetched")


class Prefetcher(Generic[Token, Fetched]):
    """Fetches pages ahead of their turn, each once, in as many threads as pages may be in flight."""

    def __init__(self, fetch: Callable[[Token], Fetched], *, threads: int, stop: threading.Event) -> None:
        """Take the function that fetches a page.

        Args:
            fetch: Fetches one page; called from any of the threads.
            threads: How many pages may be in flight.
            stop: Set when the run is to end.
        """
        self._fetch, self._stop = fetch, stop
        self._threads, self._started = threads, 0
        # Scheduled pages, the most urgent first.
        self._futures: dict[Token, Future[Fetched]] = {}
        self._closed = False
        self._changed = threading.Condition()

    def schedule(self, tokens: Sequence[Token]) -> None:
        """Schedule these pages, the first before the others, and discard all others that were fetched ahead."""
        with self._changed:
            self._futures = {token: self._futures.get(token) or Future() for token in tokens}
            self._changed.notify_all()
        while self._started < min(self._threads, len(self._futures)):
            self._started += 1
            # A daemon: a request that hangs must not keep the process from ending.
            threading.Thread(target=self._work, name=f"page-{self._started}", daemon=True).start()

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
        """Return the most urgent page that no thread fetches yet, as fetched from now on."""
        for token, future in self._futures.items():
            if not (future.running() or future.done()):
                future.set_running_or_notify_cancel()
                return token, future
        return None
