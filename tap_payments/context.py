"""What the streams of one sync share."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_payments.api.rate_limiter import RateLimiter
from tap_payments.output.progress import Progress

if TYPE_CHECKING:
    import threading

    from tap_payments.settings import Settings


@dataclass
class SyncContext:
    """One sync of the tap.

    Attributes:
        settings: What there is to set.
        logger: The tap's logger.
        stop: Set when the sync is to end: every wait ends then.
        started: When it began, in Unix seconds.
        limiter: When the next request may be sent.
        progress: What has been done so far.
    """

    settings: Settings
    logger: logging.Logger
    stop: threading.Event
    started: int = field(default_factory=lambda: int(time.time()))
    limiter: RateLimiter = field(init=False)
    progress: Progress = field(init=False)
    _logged: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.limiter = RateLimiter(self.settings.requests_per_minute, self.stop)
        self.progress = Progress(self.logger)

    def log_once(self, message: str, *, level: int = logging.INFO, once_per: str | None = None) -> None:
        """Log a fact once a sync, however often it comes up.

        Args:
            message: The fact.
            level: The level to log it at.
            once_per: What it is logged once for, where other messages about that count too.
        """
        subject = once_per or message
        if subject not in self._logged:
            self._logged.add(subject)
            self.logger.log(level, message)
