"""The log of the requests to a fake API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class LoggedRequest:
    """One request.

    Attributes:
        time: When it came, by the monotonic clock, in seconds.
        stream: The list it asked for, or an empty string if its path is not one.
        in_flight: How many requests were being served then, with this one.
        status: The status of the response; 0 as long as there is none.
        records: How many records the response carried; 0 if it was cut.
    """

    time: float
    stream: str
    path: str
    params: dict[str, str]
    user_agent: str
    authorization_ok: bool
    in_flight: int
    status: int = 0
    records: int = 0
    on_done: Callable[[], object] | None = field(default=None, repr=False, compare=False)

    def answered(self, status: int, records: int = 0) -> None:
        """Log the response, just before it leaves."""
        self.status, self.records = status, records
        self.done()

    def done(self) -> None:
        """Count the request as served, once."""
        on_done, self.on_done = self.on_done, None
        if on_done is not None:
            on_done()
