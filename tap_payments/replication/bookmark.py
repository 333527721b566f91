"""What a STATE says of an INCREMENTAL stream."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tap_payments.records.chunk import ReplicationState, RereadState
from tap_payments.records.timestamps import LATEST, is_past_latest, read_time

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# Keys in the state of a stream, beside the SDK's own.
OLDEST, POSITION, PAID_UNTIL = "reread_oldest", "reread_position", "reread_paid_until"


def read_bookmark(value: object) -> int | None:
    """Return the Unix second of a bookmark, rounded down; None where it is no time.

    Args:
        value: The bookmark in a STATE; a number that is too large for a time counts as the latest one there is.
    """
    time = LATEST if is_past_latest(value) else read_time(value)
    return None if time is None else math.floor(time)


class Bookmark:
    """Reads and writes how far the replication of one stream is."""

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

    def read(self) -> ReplicationState:
        """Return what the state says for this key: nothing without a bookmark, and None for what is no time."""
        bookmark, oldest, position, paid_until = (
            read_bookmark(self._state.get(name)) for name in ("replication_key_value", OLDEST, POSITION, PAID_UNTIL)
        )
        if bookmark is None or self._state.get("replication_key") not in {None, self._key}:
            return ReplicationState()
        rereading = None if position is None or paid_until is None else RereadState(position, paid_until)
        return ReplicationState(bookmark, oldest, rereading)

    def write(self, reached: ReplicationState) -> None:
        """Write how far replication is; what is None stays as it was."""
        bookmark, rereading = reached.bookmark, reached.rereading
        values = {
            "replication_key": self._key,
            "replication_key_value": str(bookmark) if self._as_text and bookmark is not None else bookmark,
            OLDEST: reached.oldest,
            POSITION: None if rereading is None else rereading.position,
            PAID_UNTIL: None if rereading is None else rereading.paid_until,
        }
        self._state.update({name: value for name, value in values.items() if value is not None})

    def clamp(self, latest: int) -> bool:
        """Set a bookmark that is later than `latest` back to it; it would keep a run from reading anything until then.

        Returns:
            Whether it was later.
        """
        second = self.read().bookmark
        if second is None or second <= latest:
            return False
        self.write(ReplicationState(latest))
        return True
