"""What is asked of a list, and what is known of its pages."""

from __future__ import annotations

from dataclasses import dataclass


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


@dataclass(frozen=True)
class PagingRules:
    """How a list is paged; the same for all its windows.

    Attributes:
        page_size: Records asked for a page.
        overlap: Records that two neighbouring pages share.
        single_page: Whether the API does not page: its one page is the list.
        check_total: Whether an end that the API's own total contradicts is refused.
        max_offset: The largest offset that the API answers; None where there is none.
        filterable: Whether the list can be asked for a span of time.
        earliest: Unix second from which on an open window is split, where it must be.
        now: Unix second up to which an open window is split.
    """

    page_size: int
    overlap: int = 0
    single_page: bool = False
    check_total: bool = True
    max_offset: int | None = None
    filterable: bool = False
    earliest: int = 0
    now: int = 0


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
