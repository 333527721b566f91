"""The paginator for lists that come newest first by the time that the API filters by.

The list is walked down by offsets. Whenever anything is in doubt, the walk is anchored by time instead of position:
`[max]` is the boundary, and the offset is 0. Whatever is inserted or deleted above moves nothing under an anchor, and
nothing older can lie above it.
"""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_payments.errors import UnreadableListError
from tap_payments.pagination.pages import ORDER_WARNING, TIE_SHARE, WHOLE, Span, group_length, is_falling
from tap_payments.pagination.paginator import ListPaginator
from tap_payments.pagination.unanchored import UnanchoredPaginator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_payments.records.page import Page


class AnchoredPaginator(ListPaginator):
    """Walks down a list by offsets, and by anchors in time wherever pages do not join."""

    @override
    def _begin(self) -> None:
        super()._begin()
        self._is_anchored = False
        # The keys of the pages above whose tops the anchor is, since the boundary brought nothing back.
        self._fallback_keys: set[str] = set()
        self._taken = 0

    @property
    @override
    def remaining(self) -> Sequence[Span]:
        if self._finished and self.successor is None:
            return []
        if self._boundary.second is None or self.successor is not None:
            return [self._span]
        return [Span(self._span.since, self._boundary.second + 1)]

    @override
    def _take_empty(self, page: Page) -> None:
        if self._fallback_keys:
            self._lose_anchor()
        elif self._last is None:
            self._end_empty(page)
        elif self._probes:
            self._finish(page)
        elif self._value == 0:
            self._lose_anchor()
        else:
            self._anchor()

    @override
    def _take_page(self, page: Page) -> None:
        self._check_anchor(page)
        if self._probes:
            self._take_probe()
        elif self._fallback_keys:
            self._take_fallback(page)
        elif self._last is None or self._is_joined(page):
            self._accept(page, self._news(page))
        elif self._value == 0:
            self._lose_anchor()
        else:
            self._anchor()

    def _check_anchor(self, page: Page) -> None:
        if self._is_anchored and any(time is not None and floor(time) > (self._until or 0) for time in page.times):
            raise UnreadableListError(
                "the API does not honour the filter by time: a page has a record newer than was asked for"
            )

    def _accept(self, page: Page, news: list[int]) -> None:
        """Take a page's news, and choose the next request."""
        if self._is_end(page, news):
            self._finish(page)
            return
        if not is_falling(page.times):
            self._give_up(page, news)
            return
        if any(not float(time).is_integer() for time in page.times if time is not None):
            self.facts.slack = 1
        if self._tail is None and self._value > 0:
            # Within one second: news, or more than was asked for, say that order or number may have changed.
            has_news = any(floor(page.times[index] or 0) == self._boundary.second for index in news)
            if has_news or (not news and len(page.keys) > self._asked):
                self.facts.warn(ORDER_WARNING)
        self.new_indexes = news
        self._taken += len(news)
        self._remember(page, news)
        self._tail = None if self._is_inside else self._boundary.second
        length = len(page.keys)
        is_short = length < self.facts.longest or (self._is_inside and length <= self._rules.overlap)
        if not news and is_short:
            self._probe(page)
            return
        self._step(page, is_stalled=not news)

    @property
    def _is_inside(self) -> bool:
        """Whether all that is left under the anchor begins with the boundary's own second."""
        return self._is_anchored and (self._until or 0) <= (self._boundary.second or 0) + self.facts.slack

    def _step(self, page: Page, *, is_stalled: bool) -> None:
        """Go to the next page, above the records that share the last one's second."""
        length, overlap, group = len(page.keys), self._rules.overlap, group_length(page)
        facts = self.facts
        if group <= facts.full // TIE_SHARE:
            facts.ties = max(facts.ties, group)
        step = length - overlap - max(group, facts.ties if length >= facts.full else 0)
        is_full = length >= facts.full
        is_short_step = step < 1 or (is_full and 2 * step < length - overlap)
        if (is_stalled and is_full) or is_short_step:
            if self._is_inside:
                if is_full and group == length:
                    self.facts.warn(ORDER_WARNING)
                self._go_to(self._value + max(1, length - overlap if group == length else step))
            elif is_full:
                self._anchor()
            elif length > overlap:
                # It may be as long as the server's pages are: what lies below must begin with known records.
                self._tail = None
                self._go_to(self._value + length - overlap)
            else:
                self._probe(page)
        else:
            self._go_to(self._value + step)

    def _take_probe(self) -> None:
        """Go on where something lies below a page without news."""
        self._probes = False
        self.facts.varies = True
        if self._is_inside:
            self._value = max(self._last_value + 1, self._value - self._rules.overlap)
            self._stall()
        else:
            self._anchor()

    @override
    def _go_to(self, offset: int) -> None:
        """Go to an offset, or to an anchor where it is above the largest."""
        largest = self._rules.max_offset
        if largest is None or offset <= largest:
            self._move_to(offset)
        elif not self._is_inside:
            self._anchor()
        elif self._value < largest:
            self._move_to(largest)
        else:
            raise UnreadableListError(
                f"more records share the second {self._boundary.second} than the largest offset, {largest}, reaches: "
                "the API offers no way to read them all"
            )

    def _anchor(self) -> None:
        """Go to the boundary, at offset 0."""
        self._stall()
        self._anchor_at((self._boundary.second or 0) + self.facts.slack)

    def _anchor_at(self, second: int) -> None:
        top = self._span.until
        self._until = second if top is None else min(second, top + 1)
        self._is_anchored, self._value = True, 0
        self._tail, self._probes = None, False

    def _lose_anchor(self) -> None:
        """Anchor above the boundary, which brought nothing back: at the tops of the last pages, then at the span's."""
        self._stall()
        # The upper end is left out of the filter, or what was read there has gone.
        self.facts.slack = 1
        self._fallback_keys |= self._known
        self._lost_anchors += 1
        self._check_found(self._lost_anchors)
        while self._is_anchored and self._recent:
            top = self._recent.pop().times[0]
            if top is not None and floor(top) + 1 > (self._until or 0):
                self._anchor_at(floor(top) + 1)
                return
        self._restart()

    def _take_fallback(self, page: Page) -> None:
        """Walk on from an anchor above the boundary, if it brought known records back."""
        if self._fallback_keys.isdisjoint(page.keys):
            self._lose_anchor()
            return
        news = [index for index, key in enumerate(page.keys) if key not in self._fallback_keys]
        self._fallback_keys = set()
        self._boundary.forget()
        self._accept(page, news)

    def _give_up(self, page: Page, news: list[int]) -> None:
        """Go on by offsets alone: times rise along the list, or records lack them."""
        self.new_indexes = news
        successor = UnanchoredPaginator(self._rules, self._span, self.facts)
        if not self._is_anchored:
            successor.resume(page, self._value, self._offsets)
        self.successor, self._finished = successor, True

    def _finish(self, page: Page) -> None:
        """End the walk; look for records without a time, which no filter shows, at the bottom of the whole list."""
        self._end(page)
        if not self._is_anchored or self._span != WHOLE:
            return
        again = min(self._taken, self._rules.overlap + len(self._boundary.keys), max(self.facts.longest - 1, 1))
        offset = self._taken - again
        successor = UnanchoredPaginator(self._rules, self._span, self.facts)
        if self._rules.max_offset is not None and offset > self._rules.max_offset:
            successor.note_unread()
        elif self._last is not None:
            successor.look_below(self._last, self._known, offset, again)
            self.successor = successor
