"""FULL_TABLE: the list is read whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_payments.records.chunk import Chunk
from tap_payments.records.timestamps import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_payments.records.chunk import ReadPages


class FullTable:
    """Reads a list from its top to its end."""

    def __init__(self, read_pages: ReadPages) -> None:
        """Read nothing yet.

        Args:
            read_pages: Reads a window.
        """
        self._read_pages = read_pages

    def chunks(self) -> Iterator[Chunk]:
        """Yield the new records of each page."""
        for fetched, places in self._read_pages(Window(), False):  # noqa: FBT003 - it is not given up
            outline = fetched.outline
            reached = next((time for time in reversed(outline.times) if time), None)
            yield Chunk(fetched, places, reached=reached, total=outline.total)
