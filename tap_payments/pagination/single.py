"""The paginator for an API that does not page: one request brings the whole list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from tap_payments.errors import UnreadableListError
from tap_payments.pagination.unanchored import UnanchoredPaginator

if TYPE_CHECKING:
    from tap_payments.records.page import Page


class SinglePagePaginator(UnanchoredPaginator):
    """Takes the one page of a list."""

    @override
    def advance(self, response: Page) -> None:  # type: ignore[override]  # as in the base class
        """Take in the page.

        Args:
            response: The page.

        Raises:
            UnreadableListError: If it is full, or contradicts being the whole list.
        """
        length = len(response.keys)
        if length >= self._rules.page_size:
            raise UnreadableListError(
                f"the API does not page (`offset_param` is empty), but its page of {length} records is full: "
                "set `page_size` above the length of the list, or name the `offset_param`"
            )
        if (contradiction := self._contradiction(response)) is not None:
            raise UnreadableListError(f"the API does not page (`offset_param` is empty), but {contradiction}")
        self.new_indexes, self._finished = list(range(length)), True
