"""The largest offset that an API answers, and the span of time that keeps a reader below it."""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

from tap_payments.errors import UnreadableListError
from tap_payments.records.timestamps import Window

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_payments.pagination.history import Outline, PageHistory


def _second_of(time: float | None) -> int | None:
    """Return the whole second of a time, rounded up as an inclusive upper bound must be."""
    return None if time is None else ceil(time)


class OffsetCap:
    """Narrows or splits the span of time that is asked for, so that no larger offset is needed.

    A list that comes newest first is narrowed: its upper end becomes the oldest second read so far, inclusive, and the
    records of that second that went out are known. Where the records do not show the time that the API filters by, or
    do not come newest first by it, the span is split in half instead, and each half is read from its beginning.

    Attributes:
        largest: The largest offset.
        span: The span of time to ask for.
        is_unproven: Whether the filter has still to show that it brings back records of its upper end.
    """

    def __init__(self, largest: int, *, filterable: bool, span: Window, earliest: int, now: int) -> None:
        """Begin with a whole span.

        Args:
            largest: The largest offset that the API answers.
            filterable: Whether the list can be filtered by time.
            span: What to read.
            earliest: Unix second from which on an open lower end is split.
            now: Unix second up to which an open upper end is split.
        """
        self.largest = largest
        self._filterable = filterable
        self._earliest = earliest
        self._now = now
        self._pending: list[Window] = []
        self._must_split = False
        self._begin(span)

    def _begin(self, span: Window) -> None:
        self.span = self._whole = span
        self.is_unproven = False
        self._attempts = 0
        self._narrowed_to: set[int] = set()
        self._newest: int | None = None
        self._oldest: int | None = None
        self._keys_at_oldest: set[str] = set()
        self._last_second: int | None = None

    def remember(self, page: Outline, *, contiguous: bool) -> None:
        """Take note of the times of a page that was read.

        Args:
            page: The page.
            contiguous: Whether it begins right below the page before.
        """
        seconds = [_second_of(time) for time in page.filter_times]
        if None in seconds:
            # The filter may mean another time than the one that is shown, so nothing is known of the order.
            self._must_split = True
        known = [second for second in seconds if second is not None]
        before = [self._last_second] if contiguous and self._last_second is not None else []
        if any(later > earlier for earlier, later in pairwise(before + known)):
            self._must_split = True
        if not known:
            return
        self._last_second = known[-1]
        self._newest = max(known) if self._newest is None else max(self._newest, *known)
        oldest = min(known)
        if self._oldest is None or oldest < self._oldest:
            self._oldest = oldest
            self._keys_at_oldest = set()
        if oldest == self._oldest:
            self._keys_at_oldest.update(key for key, second in zip(page.keys, seconds, strict=True) if second == oldest)

    def overlap(self, page: Outline) -> set[str]:
        """Return the keys of a page that went out with the oldest second."""
        return self._keys_at_oldest.intersection(page.keys)

    def advance(self, *, at_cap: bool) -> bool:
        """Choose the span to read on with, from offset 0.

        Args:
            at_cap: Whether the largest offset itself has been asked for.

        Returns:
            Whether there is such a span; otherwise the page at the largest offset is still to be read.

        Raises:
            UnreadableListError: If the rest cannot be reached.
        """
        if not self._filterable:
            raise UnreadableListError(f"{self._reach()}, and the list cannot be filtered by time")
        if self._must_split:
            self._split()
            return True
        second = self._oldest
        # Where all that was read shares one second, narrowing to it would bring the same pages again.
        if second is None or second in {self.span.until, self._newest} or second in self._narrowed_to:
            if at_cap:
                raise UnreadableListError(
                    f"more records share the second {second} than the largest offset, {self.largest}, can reach; "
                    "the API has no way to read them"
                )
            return False
        self._narrow(second)
        self._attempts = 1
        return True

    def next_span(self) -> bool:
        """Go on to a span that is still to be read; return whether there is one.

        Raises:
            UnreadableListError: If the order of the list forbade to narrow it, and it cannot be split either.
        """
        if self._narrowed_to and self._must_split:
            # What narrowing passed over may hold records that did not come in their order.
            self._split()
            return True
        if not self._pending:
            return False
        self._begin(self._pending.pop())
        return True

    def prove(self, known: Iterable[str], history: PageHistory) -> bool:
        """Check that the first page after narrowing has a record that went out before.

        Args:
            known: The keys on the page that are known.
            history: The pages read last, for a newer second to narrow to.

        Returns:
            Whether it has; otherwise the span was narrowed to the next newer second, which is tried once.

        Raises:
            UnreadableListError: If a second try brought none either.
        """
        if known:
            self.is_unproven = False
            return True
        until = self.span.until or 0
        seconds = {_second_of(time) for page in history.pages for time in page.filter_times}
        newer = sorted(second for second in seconds if second is not None and second > until)
        if self._attempts > 1 or not newer:
            raise UnreadableListError(
                f"the filter by time does not bring back records of the second it was given ({self.span.until}), "
                "so that those past the largest offset cannot be reached"
            )
        self._narrow(newer[0])
        self._attempts = 2
        return False

    def _narrow(self, second: int) -> None:
        self._narrowed_to.add(second)
        self.span = Window(self._whole.since, second)
        self.is_unproven = True

    def _split(self) -> None:
        since, until = self._whole.since, self._whole.until
        high = self._now if until is None else until
        low = since
        if low is None:
            low = self._earliest if self._earliest < high - 1 else 0
        middle = (low + high) // 2
        if not low < middle < high:
            raise UnreadableListError(f"{self._reach()}, between the seconds {low} and {high}")
        self._pending.append(Window(since, middle))
        self._begin(Window(middle, until))

    def _reach(self) -> str:
        return f"there are more records than the largest offset, {self.largest}, can reach"
