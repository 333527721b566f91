"""State that the streams of one sync share: settings, pace, progress, failures."""

from __future__ import annotations

import logging
import time
import traceback
from typing import TYPE_CHECKING

from tap_payments.api.fetcher import PageFetcher
from tap_payments.api.rate_limiter import RateLimiter
from tap_payments.errors import RunError, StoppedError, StreamError, describe_error
from tap_payments.output.progress import Progress
from tap_payments.pagination.pages import PagingRules

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from tap_payments.api.prefetch import Fetched, Token
    from tap_payments.output.progress import StreamProgress
    from tap_payments.providers import Listing
    from tap_payments.settings import Settings


class SyncContext:
    """One sync of the tap.

    Attributes:
        settings: The tap's settings.
        logger: The tap's logger.
        started: When the sync began, in Unix seconds.
        limiter: The pace of all requests; its `stop` ends every wait of the sync.
        progress: Counts and reports the work done.
        failed: The streams that failed; None where the first failure ends the sync.
    """

    def __init__(self, settings: Settings, logger: logging.Logger, stop: threading.Event) -> None:
        self.settings = settings
        self.logger = logger
        self.started = int(time.time())
        self.limiter = RateLimiter(settings.requests_per_minute, stop)
        self.progress = Progress(logger)
        self.failed: list[str] | None = None
        self._logged: set[str] = set()

    def paging_rules(self, listing: Listing, time_field: str) -> PagingRules:
        """Return how a list is paged.

        Args:
            listing: Its filter and largest offset.
            time_field: The time that its records show.
        """
        settings = self.settings
        return PagingRules(
            settings.page_size,
            overlap=settings.page_overlap,
            single_page=not settings.offset_param,
            check_total=settings.check_total,
            max_offset=listing.max_offset,
            is_filterable=listing.filter_field is not None,
            shows_filter_time=listing.filter_field == time_field,
            earliest=settings.provider.earliest,
            started=self.started,
        )

    def new_fetcher(
        self, request: Callable[[Token], Fetched], name: str, counts: StreamProgress, *, tries_once: bool
    ) -> PageFetcher[Token, Fetched]:
        """Return the fetcher of the pages of a stream.

        Args:
            request: Sends one request and returns its page.
            name: Stream and path, as messages name the request.
            counts: Counts the requests.
            tries_once: Whether the first failure is final.
        """
        settings = self.settings
        return PageFetcher(
            request,
            name=name,
            limiter=self.limiter,
            on_request=counts.count_request,
            on_retry=counts.count_retry,
            logger=self.logger,
            threads=settings.concurrency,
            max_retries=settings.max_retries,
            backoff_factor=settings.backoff_factor,
            tries_once=tries_once,
        )

    def fail_stream(self, name: str, error: Exception) -> None:
        """Log the error that ended a stream, where the sync goes on without it.

        Raises:
            Exception: If the error ends the sync.
        """
        if self.failed is None or isinstance(error, RunError | StoppedError):
            raise error
        # What reads pages ends here, not whenever the error is forgotten.
        traceback.clear_frames(error.__traceback__)
        self.logger.error("%s%s", "" if isinstance(error, StreamError) else f"{name}: ", describe_error(error))
        self.failed.append(name)

    def log_once(self, message: str, *, level: int = logging.INFO, once_per: str | None = None) -> None:
        """Log a fact once a sync, however often it comes up.

        Args:
            message: The fact.
            level: The level to log it at.
            once_per: The subject that one message is enough for, where messages about it differ.
        """
        subject = once_per or message
        if subject not in self._logged:
            self._logged.add(subject)
            self.logger.log(level, message)
