"""Which window of a span of time to read next, and how long it is. Pure: no network, no clock."""

from __future__ import annotations

from dataclasses import dataclass

from tap_payments.records.timestamps import Window

DAY = 86_400


@dataclass(frozen=True)
class Span:
    """A span of time to read window by window, in Unix seconds.

    Attributes:
        begin: Where the first window begins to be measured.
        end: Where the last window ends to be measured.
        bounds: What to ask for at its ends; None leaves the first window open at the bottom, or the last at the top.
    """

    begin: int
    end: int
    bounds: Window

    @property
    def length(self) -> int:
        """Its length in seconds."""
        return self.end - self.begin


class Windows:
    """The windows of a span of time, oldest first; neighbours share their boundary second.

    Read `current`; then call `fitted` or `overflowed` once it is read to its end, or `halve` if it was abandoned.
    """

    def __init__(self, span: Span, *, days: float, length: int | None = None) -> None:
        """Plan the windows of a span.

        Args:
            span: What to read.
            days: Length of a window where records are many.
            length: Length of the first window in seconds, if it is another.
        """
        self._shortest = max(1, int(days * DAY))
        self._length = self._shortest if length is None else length
        self._span = span
        self._since = span.begin
        self._is_first = True
        self.finished = False

    @property
    def current(self) -> Window:
        """The window to read now."""
        bounds = self._span.bounds
        until = self._since + self._length
        return Window(
            bounds.since if self._is_first else self._since, until if until < self._span.end else bounds.until
        )

    @property
    def reached(self) -> int:
        """Where the current window ends to be measured."""
        return min(self._since + self._length, self._span.end)

    @property
    def may_halve(self) -> bool:
        """Whether the current window is longer than windows are where records are many."""
        return self.reached - self._since > self._shortest

    def halve(self) -> None:
        """Abandon the current window: it holds more than its length is meant for."""
        self._length = max(self._shortest, (self.reached - self._since) // 2)

    def fitted(self) -> None:
        """Go on: the current window was read to its end and was no longer than a page."""
        self._go_on(self._length * 2)

    def overflowed(self) -> None:
        """Go on: the current window was read to its end and took more than a page."""
        self._go_on(self._length // 2)

    def _go_on(self, length: int) -> None:
        if self.reached >= self._span.end:
            self.finished = True
        self._since, self._length, self._is_first = self.reached, max(self._shortest, length), False
