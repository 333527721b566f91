"""State that the streams of one sync share: settings, pace, progress, failures."""

from __future__ import annotations

import logging
import time
import traceback
from typing import TYPE_CHECKING

from tap_payments.api.rate_limiter import RateLimiter
from tap_payments.errors import RunError, StoppedError, StreamError, describe_error
from tap_payments.output.progress import Progress

if TYPE_CHECKING:
    import threading

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

    def fail_stream(self, name: str, error: Exception) -> None:
        """Log the error that ended a stream, where the sync goes on without it.

        Raises:
            Exception: If the error ends the sync.
        """
        if self.failed is None or isinstance(error, RunError | StoppedError):
            raise error
        # Without the frames of the traceback, generators that read pages are closed now.
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
