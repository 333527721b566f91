"""The paginator for lists that may move while they are read.

Where records are inserted and deleted above the place that has been reached, an offset no longer means what it meant
a page ago. With an overlap each page begins with records of the page before, and the paginator notices. The records of
one second may come in another order at each request, so a page that follows begins above all those that share the last
one's second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from tap_payments.errors import ContradictionError, UnreadableListError
from tap_payments.pagination.descent import Descent
from tap_payments.pagination.history import second_of, tie_length
from tap_payments.pagination.paginator import ListPaginator

if TYPE_CHECKING:
    from collections.abc import Collection

    from tap_payments.pagination.history import Outline
    from tap_payments.pagination.pages import PageLengths, PagingRules
    from tap_payments.records.timestamps import Window

# Largest share of a page that is read twice to keep the distance between pages steady, as a divisor.
TIE_SHARE = 10


class OverlappingPaginator(ListPaginator):
    """Judges by the records that two pages share whether the list has moved, and where to go on."""

    def __init__(self, rules: PagingRules, window: Window | None = None, lengths: PageLengths | None = None) -> None:
        self._overlap = rules.overlap
        self._descent = Descent()
        super().__init__(rules, window, lengths)

    @override
    def _begin(self) -> None:
        # The keys of the lowest records read, which the last page of a list that stands still repeats.
        self._bottom_keys: frozenset[str] = frozenset()
        self._descent.begin()
        super()._begin()

    @override
    def _rewind(self) -> None:
        super()._rewind()
        self._descent.rewind()
        # The offset of a page of known records below which is being looked, and whether that was done already.
        self._probed_from: int | None = None
        self._is_probed = False
        # How many pages the last step went back.
        self._step_back = 0
        # The second of the last group, where the next page must begin with a record known to be newer.
        self._group_second: int | None = None

    @property
    @override
    def _is_steady(self) -> bool:
        return super()._is_steady and self._probed_from is None and not self._step_back

    @override
    def _stride(self) -> int:
        return self.lengths.full - self._overlap - self.lengths.ties

    @override
    def advance(self, response: Outline) -> None:  # type: ignore[override]
        self.fills_page = self.fills_page or self._is_of_one_second(response)
        super().advance(response)

    @override
    def _advance(self, page: Outline) -> None:
        known = self._known(page)
        if self._probed_from is not None:
            self._take_probe(page)
            return
        if not page.keys and self._value == 0 and self._history.last is not None:
            raise ContradictionError("its list is empty after records of it came")
        if not page.keys and (self._value == 0 or self._longest <= self._overlap):
            # A span of no more records than the overlap has no page of known records alone that is shorter.
            self._end(page)
            return
        joined = self._is_joined(page, known)
        if joined and len(known) == len(page.keys) < self._longest:
            is_doubtful = self._is_probed or self._step_back or self.lengths.vary
            if self._bottom_keys.issubset(page.keys) and not is_doubtful:
                self._end(page)
                return
            if not self._is_probed and (self._cap is None or self._value + len(page.keys) <= self._cap.largest):
                # Pages vary in length, or the last record read was deleted: only what lies below is proof.
                self._probed_from, self._value = self._value, self._value + len(page.keys)
                return
        self._is_probed = False
        self._count_progress(page, known, joined=joined)
        if joined or self._is_newer(page):
            self._take(page, known)
        elif self._value > 0:
            self._go_back()
        else:
            # Go on from the top of a list in which nothing is known any more.
            self._descent.restart(is_first=self._history.last is None)
            self._take(page, ())

    def _take_probe(self, page: Outline) -> None:
        """End the span where nothing lies below a page of known records; go on from that page where something does."""
        if not page.keys:
            self._end(page)
            return
        self._value, self._probed_from, self._is_probed = self._probed_from or 0, None, True

    def _is_joined(self, page: Outline, known: Collection[str]) -> bool:
        """Whether nothing lies between the page and what was read.

        The records of one second may have changed places, so one of them proves nothing: a newer one must come along.
        """
        if self._value == 0 or self._group_second is None:
            return bool(known)
        return any(
            time is not None and time > self._group_second and key in known
            for key, time in zip(page.keys, page.times, strict=True)
        )

    def _is_newer(self, page: Outline) -> bool:
        """Whether the page begins above the last record read, so that nothing lies between: inserts pushed it down."""
        last = self._history.last
        if last is None or self._history.is_ascending or not page.keys:
            return False
        first, reached = second_of(page.times[0]), second_of(last.times[-1])
        return first is not None and reached is not None and first > reached

    def _count_progress(self, page: Outline, known: Collection[str], *, joined: bool) -> None:
        """Count a page as progress, or as one of too many without."""
        if joined and page.keys[-1] not in known:
            orders_by_time = not self._history.is_ascending
            self._descent.progress(page, self._value, orders_by_time=orders_by_time, fills_page=self.fills_page)
        elif count := self._descent.stall():
            if self._longest <= self._overlap:
                raise UnreadableListError(
                    f"the API serves {self._longest} records a page at most: `page_overlap` must be less than that"
                )
            raise UnreadableListError(
                f"the pages do not fit together: {count} in a row brought no new record: check "
                "whether the API ignores the offset (`offset_param`), rounds it, or answers none above a certain one"
            )

    def _take(self, page: Outline, known: Collection[str]) -> None:
        """Accept a page, and go on above the records that share the last one's second."""
        length, last = len(page.keys), self._history.last
        is_lowest = page.keys[-1] not in known
        open_second = None if last is None or self._group_second is not None else second_of(last.times[-1])
        self._accept(page, known)
        self._step_back = 0
        self._descent.accept(self._value)
        if self._longest <= self._overlap:
            self._group_second, self._bottom_keys = None, frozenset(page.keys)
            self._go_to(self._value + length)
            return
        ties = 0 if self._history.is_ascending else tie_length(page)
        self.fills_page = self.fills_page or (ties > 0 and self._continues(page, open_second))
        # At least one record above the group must come again, and the offset must grow.
        self._group_second = second_of(page.times[-1]) if 0 < ties < length - 1 else None
        if is_lowest:
            self._bottom_keys = frozenset(page.keys[-(self._overlap if self._group_second is None else ties) :])
        if self._group_second is None:
            ties = 0
        elif ties <= max(1, self.lengths.full // TIE_SHARE):
            self.lengths.ties = max(self.lengths.ties, ties)
        self._go_to(self._value + max(1, length - self._overlap - max(ties, self.lengths.ties)))

    @override
    def _remember(self, page: Outline) -> None:
        if self._cap is not None:
            self._cap.remember(page, contiguous=False)
        self._history.remember(page)

    def _is_of_one_second(self, page: Outline) -> bool:
        """Whether the records of one second fill the page: in changing order, some may never be seen."""
        length = len(page.keys)
        return not self._history.is_ascending and 1 < length >= self.lengths.full and tie_length(page) == length

    def _continues(self, page: Outline, second: int | None) -> bool:
        """Whether the page has new records of the second that the page before ended with, and none above them."""
        return second is not None and any(second_of(page.times[place]) == second for place in self.fresh)

    def _go_back(self) -> None:
        """Go back by 1, 2, 4 ... pages: records above were deleted, and what moved up was not read."""
        self._step_back = self._step_back * 2 or 1
        self._descent.step_back(fills_page=self.fills_page)
        self._value = max(0, self._value - self._step_back * max(self._longest - self._overlap, 1))
