"""The paginator that walks a list by offsets.

By itself it reads lists that cannot be anchored by time: the API cannot filter them, or filters by a time that the
records do not show, or `page_overlap` is 0, or times turn out not to fall. Where pages do not join, it goes back a page
at a time until one does. Where the largest offset comes before the end, the span is cut into windows by the filter
alone, never by trust in the order of the list.

Words: *known* are the records of the last pages and of the boundary; the *boundary* is the oldest second read; *news*
are records that are not known. A page is *joined* where nothing can lie between it and what was read before.
"""

from __future__ import annotations

from math import floor, inf
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_payments.errors import ContradictionError, UnreadableListError
from tap_payments.pagination.base import ORDER_WARNING, BasePaginator
from tap_payments.pagination.pages import WHOLE, Span, group_length, is_falling, second_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_payments.pagination.pages import ListFacts, PagingRules
    from tap_payments.records.page import Page

# Groups of up to a tenth of a page are read twice, so that the distance between pages stays even.
TIE_SHARE = 10
# The share of the largest offset that a window is meant to fill.
FILL = 0.9
# The largest factor by which a window may be longer than the one before.
GROWTH = 8


class ListPaginator(BasePaginator):
    """Walks one span of a list by offsets, and by windows of time where it is longer than the largest offset.

    Feed each page to `advance`; `new_indexes` then holds the indexes of the records to emit, and `token` the next
    request, until `finished`.
    """

    # Maximum restarts of a span. More than with anchors: near the top of a list that moves, a step back is a restart.
    max_restarts = 100

    def __init__(self, rules: PagingRules, span: Span, facts: ListFacts) -> None:
        # The span that was asked for, of which `_span` is the current window, and the second that it is measured from.
        self._requested = span
        self._top = rules.started if span.until is None else span.until
        # The keys emitted by the pass that did not fit.
        self._emitted_before: set[str] = set()
        super().__init__(rules, span, facts)

    @override
    def _begin(self) -> None:
        super()._begin()
        # The times of the records of this pass, as far as windows may be needed.
        self._pass_times: dict[str, float | None] = {}

    @override
    def advance(self, page: Page) -> None:  # type: ignore[override]  # fed pages, so that it stays pure
        """Take in the page that `token` asked for.

        Args:
            page: The page.

        Raises:
            ContradictionError: If the page cannot be believed; the position has not changed then, and the same
                token may be fed again.
            UnreadableListError: If the rest of the list cannot be reached.
        """
        self._check_filter(page)
        if not page.keys:
            self._check_end(page)
        self.new_indexes = []
        is_filtered = self._is_filtered
        if not page.keys:
            self._take_empty(page)
        elif not self._is_whole_list(page):
            self._take_page(page)
        if not is_filtered:
            self.facts.total = page.total
        self._page_count += 1
        self._stalled += 1
        if not self._finished:
            self._check_stalled()
        if self._guess is not None:
            self._guessed_right = self.token == self._guess

    @property
    def remaining(self) -> Sequence[Span]:
        """The part of the span that is still to be read."""
        return [] if self._finished else [Span(self._requested.since, self._span.until)]

    def _take_empty(self, page: Page) -> None:
        """Take in a page without records."""
        if self._last is None and self._has_vanished:
            raise ContradictionError("its list is empty after records of it came")
        if self._last is None or self._expected_overlap == 0:
            self._end(page)
        else:
            self._step_back(page)

    def _take_page(self, page: Page) -> None:
        """Take in a page with records."""
        if self._last is None or not self._rules.overlap or self._is_joined(page):
            self._accept(page)
        else:
            self.facts.varies = self.facts.varies or self._expected_overlap == 0
            self._step_back(page)

    def _accept(self, page: Page) -> None:
        """Take a page's news, and choose the next request."""
        news = [index for index, key in enumerate(page.keys) if key not in self._known]
        length = len(page.keys)
        below = self._value + length
        is_end = bool(self._rules.overlap) and not news and length <= self._expected_overlap
        # Anything but the overlap alone: the second that fills the last page goes on.
        if self._fills_page and self._last and page.keys != self._last.keys[-self._expected_overlap :]:
            self.facts.warn(ORDER_WARNING)
        # Where pages vary in length, or this one is long for an end, it may have been cut: the end is looked for below.
        may_be_cut = self.facts.varies or (length > self._rules.overlap + 1 and 2 * length > self.facts.longest)
        if is_end and not (may_be_cut and self._is_in_reach(below)):
            self._end(page)
            return
        seconds = [second_of(time) for time in page.times]
        self._falls = self._falls and is_falling(seconds)
        self.new_indexes = [index for index in news if page.keys[index] not in self._emitted_before]
        if self._rules.is_filterable and self._rules.max_offset is not None:
            self._pass_times.update(zip(page.keys, page.times, strict=True))
        self._measure(page, has_news=bool(news))
        self._move_boundary(seconds, news)
        self._remember(page, seconds)
        if is_end:
            self._go_to(below)
        else:
            self._step(page)

    def _is_joined(self, page: Page) -> bool:
        """Whether nothing lies between the page and what was read.

        The records of one second, or without a time, may have changed places, so one of them proves nothing: another,
        newer where times fall, must come along, except at the top.
        """
        joins_any = self._joins_any or not self._value
        return any(
            key in self._known and (joins_any or self._is_apart(second_of(time)))
            for key, time in zip(page.keys, page.times, strict=True)
        )

    def _is_apart(self, second: int | None) -> bool:
        """Whether a record of this second cannot have changed places with those at the end of the last page."""
        last = self._last_second
        return second != last and (not self._falls or (second is not None and last is not None and second > last))

    def _step(self, page: Page) -> None:
        """Go to the next page, above the records that share the last one's second."""
        length, overlap, facts = len(page.keys), self._rules.overlap, self.facts
        # A list without times has no groups.
        group = group_length(page) if overlap and self._newest > -inf else 0
        is_full = length >= facts.full
        if group <= facts.full // TIE_SHARE:
            facts.longest_group = max(facts.longest_group, group)
        step = length - overlap - (max(group, facts.longest_group) if is_full and group else group)
        if is_full and group and (step < 1 or 2 * step < length - overlap) and self._anchor():
            return
        self._last_second = second_of(page.times[-1])
        self._fills_page = length > 1 and group > 0 and length - group <= 1
        self._joins_any = not group or self._fills_page
        if self._fills_page:
            # No record of another second can come along.
            step = length - overlap
            if is_full:
                self.facts.warn(ORDER_WARNING)
        self._go_to(self._value + max(1, step))

    def _go_to(self, offset: int) -> None:
        """Go to an offset; past the largest one, anchor, open a window, or stop at the largest."""
        length = len(self._last.keys) if self._last else 0
        if not self._is_in_reach(offset):
            if self._anchor():
                return
            largest = self._rules.max_offset or 0
            is_longer = self._rules.is_filterable and length >= self.facts.full
            if self._value >= largest or (is_longer and not self._is_inside):
                self._overrun(largest)
                return
            offset = largest
        self._expected_overlap = self._value + length - offset
        self._value = offset

    def _is_in_reach(self, offset: int) -> bool:
        return self._rules.max_offset is None or offset <= self._rules.max_offset

    @property
    def _is_inside(self) -> bool:
        """Whether all that is left to read begins with the boundary's own second, or the one above."""
        return False

    def _anchor(self) -> bool:
        """Anchor at the boundary if possible; return whether it was."""
        return False

    def _restart(self) -> None:
        """Begin the span again, since nothing that was read is found any more."""
        self._restarts += 1
        if self._restarts > self.max_restarts:
            raise UnreadableListError(
                f"the pages do not fit together: {self.max_restarts} times nothing that was read was found again: "
                "check `offset_param`, set `page_overlap: 0` if the API takes only whole pages as offsets, or run "
                "again when the list changes less"
            )
        self._has_vanished |= len(self._known) >= self.facts.full
        self._begin()

    def _step_back(self, page: Page) -> None:
        """Go back a page; at offset 0 begin the span again with this page."""
        if self._value > 0:
            self._jump(max(0, self._value - self._stride))
            return
        self._restart()
        if page.keys:
            self._accept(page)

    # Windows.

    def _overrun(self, largest: int) -> None:
        """Read a shorter window from its own top: the one that was asked for is longer than the largest offset."""
        if not self._rules.is_filterable:
            raise UnreadableListError(
                f"the list is longer than the largest offset, {largest}, and the API cannot filter it by time"
            )
        times = [time for time in self._pass_times.values() if time is not None]
        if len(times) < len(self._pass_times):
            self.facts.warn("has records without a time, which windows of time do not show: some may be missed")
        if self._requested == WHOLE:
            self._note_unread()
        if self._span.until is None:
            # Open at the top, the first window is measured from the newest record, if that came first; else from now.
            is_first = not self._emitted_before and self._falls and times
            self._top = min(self._rules.started, floor(max(times)) + 1) if is_first else self._rules.started
        length = self._top - (self._bottom if self._span.since is None else self._span.since)
        if length <= 1 and (self._span.until is not None or self._top == self._rules.started):
            raise UnreadableListError(
                f"more records than the largest offset, {largest}, reaches lie between the seconds "
                f"{self._since} and {self._until}, or the API does not honour the filter by time: they "
                "cannot all be read"
            )
        seconds_read = int((self._top - min(times)) * FILL) if self._falls and times else 0
        self._emitted_before = set(self._pass_times)
        self._open_window(seconds_read if 0 < seconds_read < length else max(1, length // 2), self._span.until)

    @property
    def _bottom(self) -> int:
        """The second down to which windows are measured."""
        return self._rules.earliest if self._requested.since is None else self._requested.since

    def _open_window(self, length: int, until: int | None) -> None:
        """Read the window of `length` seconds below `_top`."""
        since = self._top - length
        self._span = Span(self._requested.since if since <= self._bottom else since, until)
        self._has_vanished = False
        self._begin()

    @override
    def _end(self, page: Page) -> None:
        super()._end(page)
        since = self._span.since
        if since is None or since == self._requested.since:
            return
        self._finished = False
        count, length = len(self._pass_times), self._top - since
        factor = min(GROWTH, FILL * (self._rules.max_offset or 0) / count) if count else GROWTH
        self._top = since
        self._open_window(max(1, int(length * factor)), since)

    def _note_unread(self) -> None:
        """Note that records which a filter by time hides are out of reach."""
        note = (
            f"is longer than the largest offset, {self._rules.max_offset}: records without a time, if it has any, are "
            "not read"
        )
        self.facts.notes[note] = None
