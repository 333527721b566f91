"""What the streams of one run share."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_payments.api.prefetch import RateLimiter
from tap_payments.output.progress import Progress

if TYPE_CHECKING:
    import threading


@dataclass
class Run:
    """One run of the tap.

    Attributes:
        started: When it began, in Unix seconds.
        stop: Set when it is to end: every wait ends then.
        pace: When the next request may be sent.
        progress: What has been done so far.
    """

    logger: logging.Logger
    requests_per_minute: float | None
    stop: threading.Event
    started: int = field(default_factory=lambda: int(time.time()))
    pace: RateLimiter = field(init=False)
    progress: Progress = field(init=False)
    _told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.pace = RateLimiter(self.requests_per_minute, self.stop)
        self.progress = Progress(self.logger)

    def log_once(self, message: str, *, level: int = logging.INFO) -> None:
        """Log a fact that holds for the whole run, however many streams it touches."""
        if message not in self._told:
            self._told.add(message)
            self.logger.log(level, message)
