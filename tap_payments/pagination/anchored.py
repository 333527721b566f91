"""The paginator for lists that come newest first by the time that the API filters by.

The list is walked down by offsets. Whenever anything is in doubt, the walk is anchored by time instead of position:
`[max]` is the second above the boundary, and the offset is 0. Whatever is inserted or deleted above moves nothing under
an anchor, and nothing older can lie above it. Once times rise, or records lack them, the list is read on by offsets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from tap_payments.errors import UnreadableListError
from tap_payments.pagination.pages import WHOLE, Span
from tap_payments.pagination.paginator import ListPaginator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_payments.records.page import Page


class AnchoredPaginator(ListPaginator):
    """Walks down a list by offsets, and by anchors in time wherever pages do not join."""

    max_restarts = 20
    # Whether records without a time, which no filter shows, are looked for at the bottom of the whole list.
    _reads_bottom = False

    @override
    def _begin(self) -> None:
        super()._begin()
        self._is_anchored = False
        self._taken = 0

    @property
    @override
    def remaining(self) -> Sequence[Span]:
        if self._finished or self._boundary is None or not (self._has_fallen or self._reads_bottom):
            return super().remaining
        return [Span(self._requested.since, max(self._boundary + 1, self._requested.since or 0))]

    @override
    def _is_joined(self, page: Page) -> bool:
        if self._reads_bottom and any(time is not None and time >= (self._boundary or 0) for time in page.times):
            return True
        return super()._is_joined(page)

    @override
    def _accept(self, page: Page) -> None:
        super()._accept(page)
        self._taken += len(self.new_indexes)
        if self._is_anchored and not self._falls:
            self._begin()

    @property
    @override
    def _is_inside(self) -> bool:
        return self._is_anchored and (self._until or 0) <= (self._boundary or 0) + 1

    @property
    def _has_fallen(self) -> bool:
        """Whether times are known to fall: those of one second may rise."""
        return self._falls and (self._is_anchored or self._newest > self._lowest)

    @override
    def _anchor(self) -> bool:
        if not self._has_fallen or self._is_inside:
            return False
        self._anchor_above(self._boundary)
        return True

    def _anchor_above(self, second: int | None) -> None:
        self._until, self._is_anchored = self._above(second), True
        self._pass_times = {}
        self._jump(0)

    def _above(self, second: int | None) -> int:
        """Return the next second, within the span: a filter may leave its upper end out."""
        above, top = (second or 0) + 1, self._span.until
        return max(above if top is None else min(above, top + 1), 0)

    @override
    def _step_back(self, page: Page) -> None:
        """Anchor at the boundary; where that found nothing, above all known records; else begin the span again."""
        if not self._has_fallen:
            super()._step_back(page)
        elif self._value > 0:
            self._anchor_above(self._boundary)
        else:
            newest = max(second for second in self._known.values() if second is not None)
            if self._is_anchored and self._above(newest) > (self._until or 0):
                self._anchor_above(newest)
                self._boundary = None
            else:
                self._restart()

    @override
    def _overrun(self, largest: int) -> None:
        if self._reads_bottom:
            self._note_unread()
            if None in self._known.values():
                self.facts.warn("has records without a time: those above the largest offset are not read")
            self._finished = True
        elif self._falls:
            raise UnreadableListError(
                f"more records share the second {self._boundary} than the largest offset, {largest}, reaches: the API "
                "offers no way to read them all"
            )
        else:
            super()._overrun(largest)

    @override
    def _end(self, page: Page) -> None:
        """End the walk; look for records without a time, which no filter shows, at the bottom of the whole list."""
        super()._end(page)
        if not self._is_anchored or self._span != WHOLE:
            return
        offset = max(self._taken - self._rules.overlap, 0)
        if not self._is_in_reach(offset):
            self._note_unread()
            return
        self._finished, self._reads_bottom = False, True
        self._is_anchored = self._falls = False
        self._until, self._joins_any = None, True
        self._deepest = -1
        self._jump(offset)
        self._expected_overlap = self._rules.overlap
