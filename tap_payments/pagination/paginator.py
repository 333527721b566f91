"""The offset paginator: which records of a page are new, and which page to ask for next. No network, no clock.

A list may move while it is read: records are inserted and deleted above the place that has been reached, so that an
offset no longer means what it meant a page ago. With an overlap each page begins with records of the page before, and
the paginator notices. The records of one second may come in another order at each request, so a page that follows
begins above all those that share the last one's second.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING

from singer_sdk.pagination import OffsetPaginator
from typing_extensions import override

from tap_payments.errors import TOTAL_ADVICE, ContradictionError, UnreadableListError
from tap_payments.pagination.history import RECENT_PAGES, Outline, PageHistory, second_of, tie_length
from tap_payments.pagination.offset_cap import OffsetCap
from tap_payments.records.timestamps import Window

if TYPE_CHECKING:
    from collections.abc import Collection

# Repeats of a page at growing offsets after which the API is said to ignore them.
MAX_REPEATS = 2
# Pages in a row without progress, and returns to offset 0 with nothing known, after which a list is unreadable.
MAX_WITHOUT_PROGRESS = 100
MAX_RESTARTS = 100
# Steps back that are allowed for each page that reached further down, beyond the first ones; these are fewer where
# records of one second fill a page, since no overlap helps against a change of their order.
STEPS_BACK_PER_PAGE, FREE_STEPS_BACK, FREE_STEPS_BACK_IN_TIES = 4, 2_000, 200
# Pages without an overlap that repeat a page of long before. A list that moves a lot repeats a few.
MAX_RECURRENCES = 20
# Largest share of a page that is read twice to keep the distance between pages steady, as a divisor.
TIE_SHARE = 10


@dataclass(frozen=True)
class PageToken:
    """What to ask for.

    Attributes:
        offset: Records to skip.
        since: Oldest Unix second wanted, inclusive; None is no bound.
        until: Newest Unix second wanted, inclusive; None is no bound.
    """

    offset: int = 0
    since: int | None = None
    until: int | None = None


@dataclass
class PageLengths:
    """What reading a list has taught about its pages; carried from one window to the next.

    Attributes:
        full: The length of a page that may be followed by another: the size asked for, or the server's own cap once
            that is known.
        longest: The most records that any page held.
        ties: The most records of one second seen at the end of a page, as far as they are few.
        vary: Whether a page that was shorter than another was followed by new records.
    """

    full: int
    longest: int = 0
    ties: int = 0
    vary: bool = False


class ListPaginator(OffsetPaginator):
    """Walks one list, or one window of it, from its newest record to its oldest.

    Feed each page to `advance`; `fresh` then holds the places of the records to emit, and `token` what to ask next,
    until `finished`.

    Attributes:
        fresh: Places of the new records on the page fed last.
        ignores_offset: Whether one page counted as the whole list, since the API repeats it at every offset.
        fills_page: Whether the records of one second filled a page, so that some may be missed if their order changes.
    """

    def __init__(  # noqa: PLR0913 - each is one fact of the listing, given by name
        self,
        page_size: int,
        *,
        overlap: int = 0,
        single_page: bool = False,
        check_total: bool = True,
        max_offset: int | None = None,
        filterable: bool = False,
        since: int | None = None,
        until: int | None = None,
        earliest: int = 0,
        now: int = 0,
        lengths: PageLengths | None = None,
    ) -> None:
        """Begin at the top of the list.

        Args:
            page_size: Records asked for a page.
            overlap: Records that two neighbouring pages share.
            single_page: Whether the API does not page: its one page is the list.
            check_total: Whether an end that the API's own total contradicts is refused.
            max_offset: The largest offset that the API answers.
            filterable: Whether the list can be asked for a span of time.
            since: Lower end of the window, Unix seconds.
            until: Upper end of the window, Unix seconds.
            earliest: Unix second from which on an open window is split, where it must be.
            now: Unix second up to which an open window is split.
            lengths: What earlier windows of the same list taught about its pages.
        """
        super().__init__(start_value=0, page_size=page_size)
        self.fresh: list[int] = []
        self.ignores_offset = False
        self.fills_page = False
        self.lengths = lengths or PageLengths(full=page_size)
        self._overlap = 0 if single_page else overlap
        self._single_page = single_page
        self._check_total = check_total
        self._span = Window(since, until)
        self._cap: OffsetCap | None = None
        if max_offset is not None:
            self._cap = OffsetCap(max_offset, filterable=filterable, span=self._span, earliest=earliest, now=now)
        self._total: int | None = None
        self._restarts = 0
        self._steps_back = 0
        self._pages_down = 0
        self._landmark: frozenset[str] = frozenset()
        self._landmark_at = 0
        self._recurrences = 0
        self._guessed: PageToken | None = None
        self._guessed_right = True
        self._begin()

    def _begin(self) -> None:
        """Begin at the top of a span of which nothing is known."""
        self._history = PageHistory()
        # The keys of the lowest records read, which the last page of a list that stands still repeats.
        self._bottom_keys: frozenset[str] = frozenset()
        self._longest = 0
        self._lowest_second: int | None = None
        self._without_progress = 0
        self._rewind()

    def _rewind(self) -> None:
        """Go to offset 0 of the span."""
        if self._cap is not None:
            self._span = self._cap.span
        self._value = 0
        self._deepest = self._reached = -1
        # The offset of a page of known records below which is being looked, and whether that was done already.
        self._probed_from: int | None = None
        self._is_probed = False
        self._repeats = 0
        self._step_back = 0
        # The second of the last group, where the next page must begin with a record known to be newer.
        self._group_second: int | None = None

    @property
    def token(self) -> PageToken:
        """What to ask for next."""
        return PageToken(self._value, self._span.since, self._span.until)

    @property
    def limits(self) -> list[str]:
        """What a reader of the list should know of it, to follow its name."""
        limits = []
        if self.fills_page:
            limits.append(
                "has records of one second that fill a page; if their order changes between requests, some may be "
                "missed: raise `page_size` if the API allows it"
            )
        if self.ignores_offset:
            length = self.lengths.longest
            limits.append(f"ignores the offset; its one page of {length} records counts as the whole list")
        return limits

    def guesses(self, count: int) -> list[PageToken]:
        """Return the tokens that follow `token` if the pages to come are as long as the last, full one.

        Args:
            count: How many to return at most; after a wrong guess it is one, until a guess was right again.
        """
        self._guessed = None
        stride, last = self._stride(self.lengths.full, self.lengths.ties), self._history.last
        is_steady = self._probed_from is None and not (
            self._finished or self._repeats or self._step_back or (self._cap and self._cap.is_unproven)
        )
        if not is_steady or stride < 1 or last is None or len(last.keys) < self.lengths.full:
            return []
        largest = None if self._cap is None else self._cap.largest
        offsets = (
            self._value + stride * ahead for ahead in range(1, (count if self._guessed_right else min(count, 1)) + 1)
        )
        tokens = [
            PageToken(offset, self._span.since, self._span.until)
            for offset in offsets
            if (largest is None or offset <= largest) and (self._total is None or offset < self._total)
        ]
        self._guessed = tokens[0] if tokens else None
        return tokens

    @override
    def advance(self, response: Outline) -> None:  # type: ignore[override]  # fed outlines, so that it stays pure
        """Take in the page that `token` asked for.

        Args:
            response: The outline of the page.

        Raises:
            ContradictionError: If the answer cannot be believed; nothing has changed then, and the same token may be
                fed again.
            UnreadableListError: If the rest of the list cannot be reached.
        """
        page = response
        self._check_range(page)
        self.fresh = []
        self.fills_page = self.fills_page or self._is_of_one_second(page)
        cap = self._cap
        if self._single_page:
            self._take_single_page(page)
        elif cap is not None and cap.is_unproven and not cap.prove(self._known(page), self._history):
            self._rewind()
        elif self._overlap:
            self._advance_overlapping(page)
        else:
            self._advance_plain(page)
        self._total = page.total
        self._page_count += 1
        if self._guessed is not None:
            self._guessed_right = self.token == self._guessed

    # Pages that show that the list cannot be read.

    def _check_range(self, page: Outline) -> None:
        """Check that the page has a record in the span of time that was asked for."""
        since, until = self._span.since, self._span.until
        if since is None and until is None:
            return
        times = [floor(time) for time in page.filter_times if time is not None]
        if times and not any((since is None or time >= since) and (until is None or time <= until) for time in times):
            raise UnreadableListError(
                "the API does not honour the filter by time: a page has no record in the span asked for"
            )

    def _contradiction(self, page: Outline) -> ContradictionError | None:
        """Return what the page itself says against being the last one."""
        reached = self._value + len(page.keys)
        if page.has_more:
            return ContradictionError(f"its list ends after {reached} records while its `has_more` is true")
        if self._check_total and page.total is not None and page.total > reached:
            what = f"its list ends after {reached} records while its `total_count` is {page.total}"
            return ContradictionError(what, TOTAL_ADVICE)
        return None

    def _end(self, page: Outline) -> None:
        """End the span with this page, and the list with the last span.

        Raises:
            ContradictionError: If the page itself says that more follow.
        """
        if (contradiction := self._contradiction(page)) is not None:
            raise contradiction
        if self._cap is not None and self._cap.next_span():
            self._begin()
        else:
            self._finished = True

    def _take_single_page(self, page: Outline) -> None:
        length = len(page.keys)
        if length >= self.page_size:
            raise UnreadableListError(
                f"the API does not page (`offset_param` is empty), but its page of {length} records is full: "
                "set `page_size` above the length of the list, or name the `offset_param`"
            )
        if (contradiction := self._contradiction(page)) is not None:
            raise UnreadableListError(f"the API does not page (`offset_param` is empty), but {contradiction}")
        self.lengths.longest = max(self.lengths.longest, length)
        self.fresh = list(range(length))
        self._finished = True

    # Without an overlap.

    def _advance_plain(self, page: Outline) -> None:
        """Advance by what came; an empty page is the end, a page that comes again and again is not."""
        last = self._history.last
        if not page.keys:
            self._end(page)
            return
        if last is not None and self._value > 0 and page.keys == last.keys:
            self._take_repeat(page)
            return
        self._repeats = 0
        self._check_recurrence(page)
        self._accept(page, self._known(page))
        self._go_to(self._value + len(page.keys))

    def _take_repeat(self, page: Outline) -> None:
        """Skip a page that came before, or find that the API ignores the offset."""
        length = len(page.keys)
        if self._repeats + 1 < MAX_REPEATS:
            self._repeats += 1
            self._go_to(self._value + length)
            return
        says_more = page.has_more or (self._check_total and page.total is not None and page.total > length)
        # An API that pages in another way sends its first page each time, and that has a round length.
        is_first = self._page_count <= MAX_REPEATS
        if length >= self.page_size or length % 10 == 0 or length % 25 == 0 or says_more or not is_first:
            raise UnreadableListError(
                f"the API ignores the offset: each page holds the same {length} records, so that the rest of the list "
                'cannot be reached: check `offset_param`, or set it to "" if the API does not page'
            )
        self.ignores_offset = True
        self._finished = True

    def _check_recurrence(self, page: Outline) -> None:
        """Notice that the same pages come again and again at growing offsets, by Brent's algorithm for cycles."""
        count = self._page_count
        if count - self._landmark_at > RECENT_PAGES and not self._landmark.isdisjoint(page.keys):
            self._recurrences += 1
            if self._recurrences > MAX_RECURRENCES:
                raise UnreadableListError(
                    "the same pages come again and again at growing offsets: check `offset_param`"
                )
        if count & (count - 1) == 0:
            self._landmark, self._landmark_at = frozenset(page.keys), count

    # With an overlap.

    def _advance_overlapping(self, page: Outline) -> None:
        """Judge by the records that two pages share whether the list has moved, and where to go on."""
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
                # Pages vary in length, or the last record read is gone: only what lies below can tell.
                self._probed_from, self._value = self._value, self._value + len(page.keys)
                return
        self._is_probed = False
        self._count_progress(page, known, joined=joined)
        if joined or self._is_newer(page):
            self._accept_overlapping(page, known)
        elif self._value > 0:
            self._go_back()
        else:
            self._restart(page)

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
        """Count pages in a row that reach no further down the list; records above known ones are no progress."""
        if joined and page.keys[-1] not in known:
            self._without_progress = 0
            if self._reaches_down(page):
                self._pages_down += self._value > self._reached
                self._reached = max(self._reached, self._value)
            return
        self._without_progress += 1
        # What was read may have to be read once more, from where a step back found the list again.
        if self._without_progress > MAX_WITHOUT_PROGRESS + self._pages_down:
            if self._longest <= self._overlap:
                raise UnreadableListError(
                    f"the API serves {self._longest} records a page at most: `page_overlap` must be less than that"
                )
            raise UnreadableListError(
                f"the pages do not fit together: {self._without_progress} in a row brought no new record: check "
                "whether the API ignores the offset (`offset_param`), rounds it, or answers none above a certain one"
            )

    def _reaches_down(self, page: Outline) -> bool:
        """Whether the page ends lower than any page before, by its times or, within one second, by its offset."""
        second, lowest = second_of(page.times[-1]), self._lowest_second
        if second is None or self._history.is_ascending:
            return True
        if lowest is None or second < lowest:
            self._lowest_second = second
            return True
        return second == lowest and (self.fills_page or self._value > self._deepest)

    def _accept_overlapping(self, page: Outline, known: Collection[str]) -> None:
        """Take a page, and go on above the records that share the last one's second."""
        length, last = len(page.keys), self._history.last
        is_lowest = page.keys[-1] not in known
        open_second = None if last is None or self._group_second is not None else second_of(last.times[-1])
        self._accept(page, known)
        self._step_back = 0
        self._deepest = max(self._deepest, self._value)
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
        self._go_to(self._value + max(1, self._stride(length, max(ties, self.lengths.ties))))

    def _stride(self, length: int, ties: int) -> int:
        """Return the distance from a page to the next."""
        return length - self._overlap - ties if self._overlap else length

    def _is_of_one_second(self, page: Outline) -> bool:
        """Whether the records of one second fill the page: in changing order, some may never be seen."""
        length = len(page.keys)
        if not self._overlap or self._history.is_ascending:
            return False
        return 1 < length >= self.lengths.full and tie_length(page) == length

    def _continues(self, page: Outline, second: int | None) -> bool:
        """Whether the page has new records of the second that the page before ended with, and none above them."""
        return second is not None and any(second_of(page.times[place]) == second for place in self.fresh)

    def _go_back(self) -> None:
        """Go back by 1, 2, 4 ... pages: records above were deleted, and what moved up was not read."""
        self._step_back = self._step_back * 2 or 1
        self._steps_back += 1
        free = FREE_STEPS_BACK_IN_TIES if self.fills_page else FREE_STEPS_BACK
        if self._steps_back > free + STEPS_BACK_PER_PAGE * self._pages_down:
            raise UnreadableListError(
                "the pages do not fit together: what was read is not found again near its place: check `offset_param`, "
                "or raise `page_size`"
            )
        stride = max(self._stride(self._longest, 0), 1)
        self._value = max(0, self._value - self._step_back * stride)

    def _restart(self, page: Outline) -> None:
        """Go on from the top of a list in which nothing is known any more."""
        if self._history.last is not None:
            self._restarts += 1
        if self._restarts > MAX_RESTARTS:
            raise UnreadableListError(
                f"the pages do not fit together: {MAX_RESTARTS} times nothing was known at offset 0: check "
                "`offset_param`, or run again when the list changes less"
            )
        self._lowest_second, self._deepest = None, -1
        self._accept_overlapping(page, ())

    # A page that follows what was read.

    def _known(self, page: Outline) -> set[str]:
        """Return the keys of the page that went out before and are remembered."""
        known = self._history.overlap(page)
        return known if self._cap is None else known | self._cap.overlap(page)

    def _accept(self, page: Outline, known: Collection[str]) -> None:
        """Take the page's new records, and remember the page."""
        lengths, last = self.lengths, self._history.last
        self.fresh = [place for place, key in enumerate(page.keys) if key not in known]
        if self.fresh and last is not None and len(last.keys) < self._longest:
            lengths.vary = True
        # Pages shorter than asked for are full ones, once such a page was followed by new records.
        if self.fresh and last is not None and len(last.keys) < lengths.full and lengths.longest < lengths.full:
            lengths.full = max(lengths.longest, 1)
        self._longest = max(self._longest, len(page.keys))
        lengths.longest = max(lengths.longest, self._longest)
        if self._cap is not None:
            contiguous = not self._overlap and last is not None and page.keys[:1] != last.keys[-1:]
            self._cap.remember(page, contiguous=contiguous)
        if self._overlap or self._cap is not None:
            self._history.remember(page)
        else:
            # Such a list cannot be narrowed, and its moves are not watched for.
            self._history.pages.append(page)

    def _go_to(self, offset: int) -> None:
        """Go to an offset, or to a narrower span where the offset is above the largest."""
        if self._cap is None or offset <= self._cap.largest:
            self._value = offset
        elif not self._cap.advance(at_cap=self._value >= self._cap.largest):
            # The last page that can be asked for still begins with records that were read.
            self._value = self._cap.largest
        elif self._cap.is_unproven:
            self._rewind()
        else:
            self._begin()
