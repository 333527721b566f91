"""Which span of time an incremental run reads next, and how long it is. Pure: no network, no clock."""

from __future__ import annotations

from tap_payments.records.timestamps import Window

DAY = 86_400


class Windows:
    """The windows from a starting time to now, oldest first; neighbours share their boundary second.

    Read `current`; call `fitted` or `overflowed` when it was read to its end, or `halve` when it was abandoned.
    """

    def __init__(self, *, start: int | None, now: int, earliest: int, days: float) -> None:
        """Plan the windows of one run.

        Args:
            start: Unix second to begin at; None is the beginning of all records.
            now: Unix second at which the run began.
            earliest: Unix second that the first window ends at where there is no start.
            days: Length of a window where records are many.
        """
        self._shortest = max(1, int(days * DAY))
        self._length = self._shortest
        self._since = start
        self._now = now
        self._earliest = earliest
        self.finished = False

    @property
    def current(self) -> Window:
        """The window to read now."""
        if self._since is None:
            return Window(None, min(self._earliest, self._now))
        until = self._since + self._length
        return Window(self._since, until if until < self._now else None)

    @property
    def may_halve(self) -> bool:
        """Whether the current window is longer than windows are where records are many."""
        if self._since is None:
            return False
        return self._span() > self._shortest

    def halve(self) -> None:
        """Abandon the current window: it holds more than its length is meant for."""
        self._length = max(self._shortest, self._span() // 2)

    def fitted(self) -> None:
        """Go on: the current window was read to its end and was no longer than a page."""
        # The window that is open at the bottom does not show how dense the records after it are.
        length = self._length if self._since is None else self._length * 2
        self._go_on(length)

    def overflowed(self) -> None:
        """Go on: the current window was read to its end and took more than a page."""
        self._go_on(max(self._shortest, self._length // 2))

    def _span(self) -> int:
        """Length of the current window in seconds; the one open at the top ends now."""
        return self._length if self._since is None else min(self._length, max(self._now - self._since, 0))

    def _go_on(self, length: int) -> None:
        window = self.current
        if window.until is None:
            self.finished = True
        else:
            self._since, self._length = window.until, length
