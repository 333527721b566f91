"""How far down a list reading has come, and the bounds on pages that bring it no further."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_payments.errors import UnreadableListError
from tap_payments.pagination.history import second_of

if TYPE_CHECKING:
    from tap_payments.pagination.history import Outline

# Pages in a row without progress, and returns to offset 0 with nothing known, after which a list is unreadable.
MAX_WITHOUT_PROGRESS = 100
MAX_RESTARTS = 100
# Steps back that are allowed for each page that reached further down, beyond the first ones; these are fewer where
# records of one second fill a page, since no overlap helps against a change of their order.
STEPS_BACK_PER_PAGE, FREE_STEPS_BACK, FREE_STEPS_BACK_IN_TIES = 4, 2_000, 200


class Descent:
    """Counts what brings the reading of a moving list no further, so that it always ends."""

    def __init__(self) -> None:
        self._restarts = 0
        self._steps_back = 0
        # Pages that reached further down than any before.
        self._pages_down = 0
        self.begin()

    def begin(self) -> None:
        """Begin with a span of which nothing is known."""
        self._lowest_second: int | None = None
        self._without_progress = 0
        self.rewind()

    def rewind(self) -> None:
        """Begin at offset 0 of the span again."""
        self._deepest = self._reached = -1

    def accept(self, offset: int) -> None:
        """Count a page as read.

        Args:
            offset: Its offset.
        """
        self._deepest = max(self._deepest, offset)

    def progress(self, page: Outline, offset: int, *, orders_by_time: bool, fills_page: bool) -> None:
        """Count a page that ends with a new record, joined to what was read.

        Args:
            page: The page.
            offset: Its offset.
            orders_by_time: Whether times fall along the list, as far as it was read.
            fills_page: Whether records of one second fill a page of the list.
        """
        self._without_progress = 0
        if self._is_lower(page, offset, orders_by_time=orders_by_time, fills_page=fills_page):
            self._pages_down += offset > self._reached
            self._reached = max(self._reached, offset)

    def _is_lower(self, page: Outline, offset: int, *, orders_by_time: bool, fills_page: bool) -> bool:
        """Whether the page ends lower than any page before, by its times or, within one second, by its offset."""
        second, lowest = second_of(page.times[-1]), self._lowest_second
        if second is None or not orders_by_time:
            return True
        if lowest is None or second < lowest:
            self._lowest_second = second
            return True
        return second == lowest and (fills_page or offset > self._deepest)

    def stall(self) -> int:
        """Count a page without progress; records above known ones are none.

        Returns:
            How many there were in a row, where that is too many; otherwise 0.
        """
        self._without_progress += 1
        # What was read may have to be read once more, from where a step back found the list again.
        return self._without_progress if self._without_progress > MAX_WITHOUT_PROGRESS + self._pages_down else 0

    def step_back(self, *, fills_page: bool) -> None:
        """Count a step back.

        Args:
            fills_page: Whether records of one second fill a page of the list.

        Raises:
            UnreadableListError: If there were too many.
        """
        self._steps_back += 1
        free = FREE_STEPS_BACK_IN_TIES if fills_page else FREE_STEPS_BACK
        if self._steps_back > free + STEPS_BACK_PER_PAGE * self._pages_down:
            raise UnreadableListError(
                "the pages do not fit together: what was read is not found again near its place: check `offset_param`, "
                "or raise `page_size`"
            )

    def restart(self, *, is_first: bool) -> None:
        """Count a return to offset 0 where nothing is known any more.

        Args:
            is_first: Whether nothing was read before, so that it is none.

        Raises:
            UnreadableListError: If there were too many.
        """
        self._restarts += not is_first
        if self._restarts > MAX_RESTARTS:
            raise UnreadableListError(
                f"the pages do not fit together: {MAX_RESTARTS} times nothing was known at offset 0: check "
                "`offset_param`, or run again when the list changes less"
            )
        self._lowest_second, self._deepest = None, -1
