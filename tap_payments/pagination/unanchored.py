"""The paginator for lists that cannot be anchored by time.

The API cannot filter them, or filters by a time that the records do not show, or their times rise. Where pages do not
join, reading goes back a page at a time until one does. Where the largest offset comes before the end, the span is cut
into windows by the filter alone, never by trust in the order of the list.
"""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_payments.errors import UnreadableListError
from tap_payments.pagination.pages import ORDER_WARNING, TIE_SHARE, WHOLE, Span, group_length, is_falling
from tap_payments.pagination.paginator import ListPaginator

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tap_payments.pagination.checks import OffsetCheck
    from tap_payments.pagination.pages import ListFacts, PagingRules
    from tap_payments.records.page import Page

# The share of the largest offset that a window is meant to fill.
FILL = 0.9
# The share below which a window is so sparse that all that is left is asked for at once.
SPARSE = 0.3
# Steps back, each twice as long as the one before, in search of the bottom of a list.
MAX_STEPS_BACK = 6
# The largest factor by which a window may be longer than the one before.
GROWTH = 8


class UnanchoredPaginator(ListPaginator):
    """Reads a list by offsets, and by windows of time where it is longer than the largest offset."""

    # Near the top of a list that moves, going back a page is often a return to the top.
    max_restarts = 100

    def __init__(self, rules: PagingRules, span: Span, facts: ListFacts) -> None:
        # The whole span, and the window of it under way: its upper end, and its length; 0 where it is the whole span.
        self._whole, self._length = span, 0
        self._top: int | None = span.until
        self._measured_top = rules.now if span.until is None else span.until
        # The keys of the pass that did not fit.
        self._sent: set[str] = set()
        self._lacks_times = self._looks_below = self._tried_rest = False
        self._steps_back = 0
        super().__init__(rules, span, facts)

    @override
    def _begin(self) -> None:
        super()._begin()
        self._falls = True
        # Whether the records of the last page share one second.
        self._is_group = False
        # The keys of this pass, and the times that its records show.
        self._pass: set[str] = set()
        self._oldest: float | None = None
        self._newest: float | None = None

    def resume(self, page: Page, offset: int, offsets: OffsetCheck) -> None:
        """Read on behind a page whose records are out.

        Args:
            page: The page.
            offset: Its offset.
            offsets: The check of offsets that has seen the pages so far.
        """
        self._offsets, self._value = offsets, offset
        self._falls = is_falling(page.times)
        self._remember(page, range(len(page.keys)))
        self._step(page)

    def look_below(self, page: Page, known: Collection[str], offset: int, asked: int) -> None:
        """Look for records below the last ones.

        Args:
            page: The last page that was read, whose records are out.
            known: The keys of the last records.
            offset: Where to look.
            asked: How many of the last records are expected there.
        """
        self._remember(page, ())
        self._looks_below, self._falls, self._boundary.keys = True, False, set(known)
        self._value, self._asked = offset, asked

    @property
    @override
    def remaining(self) -> Sequence[Span]:
        return [] if self._finished else [Span(self._whole.since, self._top)]

    @override
    def _take_empty(self, page: Page) -> None:
        if self._last is None:
            self._end_empty(page)
        elif self._probes or not self._rules.overlap or self.facts.longest <= self._rules.overlap:
            self._end(page)
        elif self._value > 0 or self._looks_below:
            self._go_back()
        else:
            self._restart()

    @override
    def _take_page(self, page: Page) -> None:
        if self._probes:
            self._probes = False
            self.facts.varies = True
            self._value = max(self._last_value + 1, self._value - self._rules.overlap)
            self._stall()
        elif self._last is None or not self._rules.overlap or self._is_joined(page):
            self._accept(page)
        elif self._value > 0 or self._looks_below:
            self._go_back()
        else:
            self._restart()
            self._accept(page)

    @override
    def _is_end(self, page: Page, news: Sequence[int]) -> bool:
        if self._looks_below:
            return not news and len(page.keys) <= self._asked and len(page.keys) < self.facts.longest
        return super()._is_end(page, news)

    def _go_back(self) -> None:
        """Go back a page: records above were deleted, and what moved up was not read."""
        self._stall()
        self._steps_back += 1
        if self._looks_below and self._steps_back > MAX_STEPS_BACK:
            self.facts.warn("moved too far to be read once more at its bottom: records without a time may be missed")
            self._finished = True
            return
        # The bottom may have moved far while the list was read.
        pages = 2 ** (self._steps_back - 1) if self._looks_below else 1
        self._value = max(0, self._value - pages * self._stride)

    def _accept(self, page: Page) -> None:
        """Take a page's news, and choose the next request."""
        news = self._news(page)
        if self._rules.overlap and self._is_end(page, news):
            self._end(page)
            return
        if self._falls and self._is_group and (news or len(page.keys) > self._asked):
            self.facts.warn(ORDER_WARNING)
        self._falls = self._falls and is_falling(page.times)
        self._lacks_times = self._lacks_times or None in page.times
        self.new_indexes = [index for index in news if page.keys[index] not in self._sent]
        if self._rules.is_filterable and self._rules.max_offset is not None:
            self._pass.update(page.keys)
            shown = [time for time in (self._oldest, self._newest, *page.times) if time is not None]
            self._oldest, self._newest = min(shown, default=None), max(shown, default=None)
        self._remember(page, news)
        is_short = len(page.keys) < self.facts.longest or (self._looks_below and len(page.keys) <= self._rules.overlap)
        if self._rules.overlap and not news and is_short:
            self._probe(page)
        else:
            self._step(page)

    def _step(self, page: Page) -> None:
        """Go to the next page, above the records that share the last one's second."""
        length, overlap, facts = len(page.keys), self._rules.overlap, self.facts
        group = group_length(page) if overlap and self._falls else 0
        is_full = length >= facts.full
        self._is_group = group >= max(length - 1, 2)
        if group >= length - 1:
            if is_full and length > 1 and group:
                self.facts.warn(ORDER_WARNING)
            group = 0
        elif group <= facts.full // TIE_SHARE:
            facts.ties = max(facts.ties, group)
        self._tail = floor(page.times[-1] or 0) if group else None
        even = max(group, facts.ties) if overlap and is_full and group else group
        self._go_to(self._value + max(1, length - overlap - even), is_full=is_full)

    @override
    def _go_to(self, offset: int, *, is_full: bool = True) -> None:
        """Go to an offset, or cut the span where it is above the largest."""
        largest = self._rules.max_offset
        if largest is None or offset <= largest:
            self._move_to(offset)
        elif self._looks_below:
            self.note_unread()
            self._finished = True
        elif self._value < largest and not (is_full and self._rules.is_filterable):
            self._move_to(largest)  # The last page that can be asked for still begins with records that were read.
        elif not self._rules.is_filterable:
            raise UnreadableListError(
                f"the list is longer than the largest offset, {largest}, and the API cannot filter it by time"
            )
        else:
            self._cut(largest)

    def note_unread(self) -> None:
        """Note that records which a filter by time hides are not read."""
        note = (
            f"is longer than the largest offset, {self._rules.max_offset}: records without a time, if it has any, are "
            "not read"
        )
        self.facts.notes[note] = None

    # Windows.

    def _cut(self, largest: int) -> None:
        """Read a shorter window from its own top: the one that was asked for is longer than the largest offset."""
        if self._length == 1 and (self._top is not None or self._span.since == self._rules.now - 1):
            raise UnreadableListError(
                f"more records than the largest offset, {largest}, reaches lie between the seconds "
                f"{self._since} and {self._until}, or the API does not honour the filter by time: they "
                "cannot all be read"
            )
        if self._lacks_times:
            self.facts.warn("has records without a time, which windows of time do not show: some may be missed")
        if self._whole == WHOLE:
            self.note_unread()
        length, top = self._length, self._measured_top
        if self._top is None:
            # Open at the top, the first window is measured from the newest record, if that came first; else from now.
            is_first = not length and self._falls and self._newest is not None
            top = min(self._rules.now, floor(self._newest or 0) + 1) if is_first else self._rules.now
            length = length and top - (self._span.since or 0)
        length = min(length or self._rules.now, max(top - self._bottom, 2))
        read = int((top - self._oldest) * FILL) if self._falls and self._oldest is not None else 0
        self._length, self._measured_top = read if 0 < read < length else max(1, length // 2), top
        self._sent = self._pass
        self._open_window()

    @property
    def _bottom(self) -> int:
        """The second down to which windows are measured."""
        return self._rules.earliest if self._whole.since is None else self._whole.since

    def _open_window(self) -> None:
        """Begin with the window below what is out."""
        since = self._measured_top - self._length
        self._span = Span(self._whole.since if since <= self._bottom else since, self._top)
        self._is_long = self._has_vanished = False
        self._begin()

    @override
    def _end(self, page: Page) -> None:
        super()._end(page)
        if self._span.since == self._whole.since:
            return
        self._finished, self._stalled = False, 0
        largest, count = self._rules.max_offset or 0, len(self._pass)
        factor = min(GROWTH, FILL * largest / count) if count else GROWTH
        self._top = self._measured_top = self._span.since or 0
        self._length = max(1, int(self._length * factor))
        if count < SPARSE * largest and not self._tried_rest:
            # What is left may be little: ask for all of it, once.
            self._length, self._tried_rest = max(1, self._top - self._bottom), True
        self._open_window()
