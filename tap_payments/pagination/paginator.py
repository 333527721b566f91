"""The offset paginator: is fed pages, says what is new in them and what to ask next. No network, no clock.

A list may move while it is read: records are inserted and deleted above the place that has been reached, so that an
offset no longer means what it meant a page ago. With an overlap each page begins with records of the page before, and
the paginator notices. A listing may also have a largest offset; past it the paginator narrows the span of time instead.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from singer_sdk.pagination import OffsetPaginator

from tap_payments.pagination.history import PageOutline, SeenRecords

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Times a page may repeat at growing offsets before the API is said to ignore them. A list that moves repeats a page
# now and then, so more patience is due where moves are watched for.
REPEATS_WITHOUT_OVERLAP = 2
REPEATS_WITH_OVERLAP = 5
# Returns to the top of one list after which it counts as unreadable, not as moving.
MOST_RESTARTS = 100


class UnreadableListError(Exception):
    """The list cannot be read whole; the text says why, without the name of the stream."""


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
    """What reading a list has taught about the length of its pages; carried from one window to the next.

    Attributes:
        longest: The most records that any page held.
        full: The length of a page that may be followed by another: the size asked for, or the server's own cap once
            that is known.
    """

    full: int
    longest: int = 0


class ListPaginator(OffsetPaginator):
    """Walks one list, or one window of it, from its newest record to its oldest.

    Feed each page to `advance`; `fresh` then holds the places of the records to send, and `token` what to ask next,
    until `finished`.
    """

    def __init__(  # noqa: PLR0913 - each is one fact of the listing, given by name
        self,
        page_size: int,
        *,
        overlap: int = 0,
        max_offset: int | None = None,
        filterable: bool = False,
        since: int | None = None,
        until: int | None = None,
        lengths: PageLengths | None = None,
    ) -> None:
        """Begin at the top of the list.

        Args:
            page_size: Records asked for a page.
            overlap: Records that two neighbouring pages share.
            max_offset: The largest offset that the API answers.
            filterable: Whether the list can be asked for a span of time.
            since: Lower end of the window, Unix seconds.
            until: Upper end of the window, Unix seconds.
            lengths: What earlier windows of the same list taught about its pages.
        """
        super().__init__(start_value=0, page_size=page_size)
        self.fresh: list[int] = []
        self.ignores_offset = False
        self.lengths = lengths or PageLengths(full=page_size)
        self._overlap = overlap
        self._max_offset = max_offset
        self._filterable = filterable
        self._since = since
        self._until = until
        self._asked_offset: int | None = None
        self._seen = SeenRecords()
        self._previous_keys: Sequence[str] = ()
        self._repeats = 0
        self._step_back = 0
        self._restarts = 0
        self._probes = 0
        self._end_probed = False
        self._narrowings_unproven = 0
        self._narrowed_to: set[int] = set()
        self._known_total: int | None = None

    @property
    def token(self) -> PageToken:
        """What to ask for next."""
        return PageToken(self._value, self._since, self._until)

    def guesses(self, count: int) -> list[PageToken]:
        """Say which tokens follow `token` if the pages to come are as long as the last, full one.

        Args:
            count: How many to give at most.
        """
        steady = not (self._finished or self._repeats or self._step_back or self._narrowings_unproven)
        stride = self.lengths.full - self._overlap
        if not steady or stride < 1 or not self._seen.pages or len(self._seen.pages[-1].keys) < self.lengths.full:
            return []
        offsets = (self._value + stride * ahead for ahead in range(1, count + 1))
        return [
            PageToken(offset, self._since, self._until)
            for offset in offsets
            if (self._max_offset is None or offset <= self._max_offset)
            and (self._known_total is None or offset < self._known_total)
        ]

    @override
    def advance(self, response: PageOutline) -> None:  # type: ignore[override]  # fed outlines, so that it stays pure
        """Take in the page that `token` asked for.

        Args:
            response: The outline of the page.

        Raises:
            UnreadableListError: If the rest of the list cannot be reached.
        """
        page = response
        self._page_count += 1
        self.fresh = []
        self._check_range(page)
        repeated = self._count_repeat(page)
        self._asked_offset, self._previous_keys = self._value, page.keys
        if not self._came_back(page):
            return
        self._known_total = page.total
        self.lengths.longest = max(self.lengths.longest, len(page.keys))
        if self._overlap:
            self._advance_overlapping(page)
        elif not page.keys:
            self._finished = True
        elif repeated:
            self._advance_repeated(page)
        else:
            self._accept(page, known=self._seen.ties)

    # Pages that show that the list cannot be read.

    def _check_range(self, page: PageOutline) -> None:
        """Hold the page against the span of time that was asked for."""
        since, until = self._since, self._until
        if since is None and until is None:
            return
        times = [time for time in page.times if time is not None]
        if times and not any((since is None or time >= since) and (until is None or time <= until) for time in times):
            msg = "the API does not honour the filter by time: a page has no record in the span asked for"
            raise UnreadableListError(msg)

    def _count_repeat(self, page: PageOutline) -> bool:
        """Count pages that come again although the offset grew."""
        grew = self._asked_offset is not None and self._value > self._asked_offset
        if grew and page.keys and page.keys == self._previous_keys:
            self._repeats += 1
        else:
            self._repeats = 0
        if self._overlap and self._repeats >= REPEATS_WITH_OVERLAP:
            msg = f"the API ignores the offset: {self._repeats + 1} requests in a row brought the same page"
            raise UnreadableListError(msg)
        return self._repeats > 0

    def _advance_repeated(self, page: PageOutline) -> None:
        """Go on after a page that came before, or find that the API knows no offset."""
        if self._repeats < REPEATS_WITHOUT_OVERLAP:
            self._go_to(self._value + len(page.keys))
            return
        length = len(page.keys)
        if length >= self.page_size or (page.total is not None and page.total > length):
            msg = (
                f"the API ignores the offset: each page holds the same {length} records, "
                "so that the rest of the list cannot be reached"
            )
            raise UnreadableListError(msg)
        self.ignores_offset = True
        self._finished = True

    # Lists that move.

    def _advance_overlapping(self, page: PageOutline) -> None:
        """Judge by the records that two pages share whether the list has moved, and where to go on."""
        if not self._seen.pages:
            if page.keys:
                self._accept(page)
            else:
                self._finished = True
            return
        if self._is_end(page):
            self._finished = True
        elif self._seen.knows_any(page) or self._is_newer(page):
            self._step_back = 0
            self._accept(page, known=self._seen.known())
        elif self._value > 0:
            self._find_way_back(page)
        elif page.keys:
            self._restart(page)
        else:
            self._finished = True

    def _is_end(self, page: PageOutline) -> bool:
        """Whether the page holds nothing but the last records seen."""
        last = self._seen.pages[-1].keys[-self._overlap :]
        if not page.keys or page.keys[-1] != last[-1] or not set(last).issuperset(page.keys):
            return False
        # A server whose pages are no longer than the overlap would show nothing else in mid-list either.
        return self.lengths.longest > self._overlap or self._end_probed

    def _is_newer(self, page: PageOutline) -> bool:
        """Whether the page begins above the last record seen, so that nothing lies between: inserts pushed it down."""
        if self._seen.rises or not page.keys:
            return False
        time, last = page.times[0], self._seen.pages[-1].times[-1]
        return time is not None and last is not None and time > last

    def _find_way_back(self, page: PageOutline) -> None:
        """Go back by 1, 2, 4 ... pages: records above were deleted, and what moved up was not seen."""
        if self.lengths.longest <= self._overlap:
            self._end_probed = not page.keys
            self._probes += bool(page.keys)
            if self._probes > 1:
                msg = (
                    f"the API serves {self.lengths.longest} records a page at most: page_overlap must be less than that"
                )
                raise UnreadableListError(msg)
        self._step_back = self._step_back * 2 or 1
        stride = max(self.lengths.longest - self._overlap, 1)
        self._value = max(0, self._value - self._step_back * stride)

    def _restart(self, page: PageOutline) -> None:
        """Go on from the top of a list in which nothing is known any more."""
        self._restarts += 1
        if self._restarts > MOST_RESTARTS:
            msg = "the list changes faster than it can be read: its pages have no records in common"
            raise UnreadableListError(msg)
        self._step_back = 0
        self._accept(page)

    # A page that follows what was seen.

    def _accept(self, page: PageOutline, known: Iterable[str] = ()) -> None:
        """Take the page's new records, remember the page, and go forward."""
        known = set(known)
        self.fresh = [place for place, key in enumerate(page.keys) if key not in known]
        self._learn_cap()
        self._remember(page)
        length = len(page.keys)
        if page.total is not None and self._value + length >= page.total and not self._repeats:
            self._finished = True
        elif self.lengths.longest <= self._overlap:
            self._go_to(self._value + length)
        else:
            self._go_to(self._value + max(length - self._overlap, 0))

    def _learn_cap(self) -> None:
        """Learn that pages shorter than asked for are full ones, once such a page was followed by new records."""
        lengths = self.lengths
        followed = self.fresh and self._seen.pages and len(self._seen.pages[-1].keys) < lengths.full
        if followed and lengths.longest < lengths.full:
            lengths.full = lengths.longest

    def _remember(self, page: PageOutline) -> None:
        if self._max_offset is None and not self._overlap:
            # Such a list cannot be narrowed, and its moves are not watched for.
            self._seen.keep(page)
        else:
            self._seen.remember(page, overlaps=self._overlap > 0)

    # The largest offset.

    def _go_to(self, offset: int) -> None:
        if self._max_offset is not None and offset > self._max_offset:
            self._narrow()
        else:
            self._value = offset

    def _narrow(self) -> None:
        """Begin anew at the oldest time seen, since the API answers no larger offset."""
        cap, second = self._max_offset, self._seen.oldest_second
        if not self._filterable or second is None:
            msg = f"more records than the largest offset, {cap}, can reach, and no time to narrow the list by"
            raise UnreadableListError(msg)
        if self._seen.rises:
            msg = f"more records than the largest offset, {cap}, can reach, and they do not come newest first"
            raise UnreadableListError(msg)
        # Where all that was seen shares one second, narrowing to it would bring the same pages again; in a list that
        # comes oldest first, which nothing has shown yet, it would cut off the rest.
        if second in {self._until, self._seen.newest_second} or second in self._narrowed_to:
            if cap is not None and self._value < cap:
                self._value = cap  # The last page that can be asked for; it still begins with records seen.
                return
            msg = (
                f"more records share the second {second} than the largest offset, {cap}, can reach; "
                "the API has no way to read them"
            )
            raise UnreadableListError(msg)
        self._narrow_to(second)
        self._narrowings_unproven = 1

    def _narrow_to(self, second: int) -> None:
        self._narrowed_to.add(second)
        self._until = second
        self._value = 0
        self._asked_offset = None
        self._previous_keys = ()
        self._step_back = 0

    def _came_back(self, page: PageOutline) -> bool:
        """Whether the first page after a narrowing has a record sent before, as an inclusive filter must bring.

        If it has none, the window is narrowed at the next newer time instead, once.
        """
        if not self._narrowings_unproven or self._seen.knows_any(page):
            self._narrowings_unproven = 0
            return True
        newer = self._seen.seconds_above(self._until or 0)
        if self._narrowings_unproven > 1 or not newer:
            msg = (
                f"the filter by time does not bring back records of the second it was given ({self._until}), "
                "so that those past the largest offset cannot be reached"
            )
            raise UnreadableListError(msg)
        self._narrow_to(newer[0])
        self._narrowings_unproven = 2
        return False
