"""The bookmark of a stream in a STATE."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tap_payments.records.timestamps import LATEST, is_past_latest, read_time

if TYPE_CHECKING:
    from collections.abc import MutableMapping


def read_bookmark(value: object) -> int | None:
    """Return the Unix second of a bookmark, rounded down; None where it is no time.

    Args:
        value: The bookmark in a STATE; a number that is too large for a time counts as the latest one there is.
    """
    time = LATEST if is_past_latest(value) else read_time(value)
    return None if time is None else math.floor(time)


class Bookmark:
    """Reads and writes the bookmark of one stream."""

    def __init__(self, state: MutableMapping[str, Any], *, key: str, as_text: bool) -> None:
        """Take the state of a stream.

        Args:
            state: The part of a STATE that is the stream's; changed in place.
            key: The replication key.
            as_text: Whether the key is declared a string, and so its bookmark is one.
        """
        self._state = state
        self._key = key
        self._as_text = as_text

    def read(self) -> int | None:
        """Return the bookmark in Unix seconds; None where there is none for this key."""
        if self._state.get("replication_key") not in {None, self._key}:
            return None
        return read_bookmark(self._state.get("replication_key_value"))

    def write(self, second: int) -> None:
        """Set the bookmark to a Unix second."""
        self._state["replication_key"] = self._key
        self._state["replication_key_value"] = str(second) if self._as_text else second

    def clamp(self, latest: int) -> bool:
        """Set a bookmark that is later than `latest` back to it; it would keep a run from reading anything until then.

        Returns:
            Whether it was later.
        """
        second = self.read()
        if second is None or second <= latest:
            return False
        self.write(latest)
        return True
