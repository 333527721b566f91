"""The account behind the fake API: lists of records that may change while they are read."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import inf
from sys import float_info
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tests.fake_api.providers import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Record = dict[str, Any]

# The place in time of a record without one: the oldest of a list, and, as in SQL, in no range.
NO_TIME = -inf
BEFORE_ALL = -float_info.max


class Window(NamedTuple):
    """A part of a list by time, in Unix seconds; `None` leaves an end open."""

    earliest: int | None = None
    latest: int | None = None


class Page(NamedTuple):
    """Records as JSON, in the order they are served, and how many the whole window has."""

    records: list[bytes]
    total: int


class Listing:
    """One list of an account, newest first, as JSON made once.

    Inside, three lists run side by side from the oldest record to the newest: a new record is then an append
    and a window two binary searches.

    Args:
        stream: The name of the list, a key of `STREAMS`.
        records: Its first records, in any order; those of one second keep the order they came in.
    """

    def __init__(self, stream: str, records: Iterable[Record] = ()) -> None:
        self.stream = stream
        self._key, self._time = STREAMS[stream].key, STREAMS[stream].time
        self._lock = RLock()
        encode = msgspec.json.Encoder().encode
        rows = [(self._time_of(record), self._key_of(record), encode(record)) for record in records]
        rows.reverse()
        rows.sort(key=lambda row: row[0])
        self._times = [row[0] for row in rows]
        self._keys = [row[1] for row in rows]
        self._encoded = [row[2] for row in rows]
        self._time_of_key = dict(zip(self._keys, self._times, strict=True))

    def __len__(self) -> int:
        return len(self._keys)

    def page(self, window: Window, offset: int, size: int, *, ascending: bool = False) -> Page:
        """Return `size` records of the window after skipping `offset` of them."""
        # A record without a time is in no range.
        before_all = NO_TIME if window.latest is None else BEFORE_ALL
        with self._lock:
            low = bisect_left(self._times, before_all if window.earliest is None else window.earliest)
            high = max(low, bisect_right(self._times, inf if window.latest is None else window.latest))
            if ascending:
                records = self._encoded[low + offset : max(low, min(high, low + offset + size))]
            else:
                records = self._encoded[max(low, high - offset - size) : max(low, high - offset)]
                records.reverse()
            return Page(records, high - low)

    def keys(self) -> list[str]:
        """Return the key of every record, newest first."""
        with self._lock:
            return self._keys[::-1]

    def records(self) -> list[Record]:
        """Return every record as it is served, newest first."""
        with self._lock:
            encoded = self._encoded[::-1]
        return [msgspec.json.decode(record) for record in encoded]

    def record(self, key: str) -> Record:
        """Return one record; `KeyError` if there is none."""
        with self._lock:
            found: Record = msgspec.json.decode(self._encoded[self._position(key)])
            return found

    def at(self, index: int) -> Record:
        """Return the record at an index, 0 being the newest."""
        with self._lock:
            found: Record = msgspec.json.decode(self._encoded[-1 - index])
            return found

    def insert(self, record: Record) -> None:
        """Put a record at its place by time, before those of the same second."""
        time, key = self._time_of(record), self._key_of(record)
        encoded = msgspec.json.encode(record)
        with self._lock:
            position = bisect_right(self._times, time)
            self._times.insert(position, time)
            self._keys.insert(position, key)
            self._encoded.insert(position, encoded)
            self._time_of_key[key] = time

    def delete(self, key: str) -> Record:
        """Take a record out and return it; `KeyError` if there is none."""
        with self._lock:
            position = self._position(key)
            del self._times[position], self._keys[position], self._time_of_key[key]
            deleted: Record = msgspec.json.decode(self._encoded.pop(position))
            return deleted

    def update(self, key: str, changes: Mapping[str, Any]) -> Record:
        """Change fields of a record, which moves only if its time is among them, and return it."""
        with self._lock:
            position = self._position(key)
            record: Record = {**msgspec.json.decode(self._encoded[position]), **changes}
            if self._key_of(record) == key and self._time_of(record) == self._times[position]:
                self._encoded[position] = msgspec.json.encode(record)
            else:
                self.delete(key)
                self.insert(record)
            return record

    def _position(self, key: str) -> int:
        time = self._time_of_key[key]
        return self._keys.index(key, bisect_left(self._times, time))

    def _key_of(self, record: Record) -> str:
        return str(record.get(self._key))

    def _time_of(self, record: Record) -> float:
        """Read the time of a record; `NO_TIME` where it has none that a list can be sorted by."""
        try:
            return int(record[self._time])
        except (KeyError, TypeError, ValueError):
            return NO_TIME


class Account:
    """All lists of one company; safe to change from any thread while it is served.

    Args:
        records: For each stream its records; a stream left out is empty. A value may be a `msgspec.Raw`, to
            send a spelling of JSON that Python would not write.
    """

    def __init__(self, records: Mapping[str, Iterable[Record]] | None = None) -> None:
        records = records or {}
        if unknown := records.keys() - STREAMS.keys():
            raise KeyError(f"no such stream: {sorted(unknown)}")
        self.listings = {stream: Listing(stream, records.get(stream, ())) for stream in STREAMS}

    def __getitem__(self, stream: str) -> Listing:
        return self.listings[stream]

    def insert(self, stream: str, record: Record) -> None:
        """Put a record into a list, at its place by time."""
        self[stream].insert(record)

    def delete(self, stream: str, key: str) -> Record:
        """Take a record out of a list and return it; `KeyError` if there is none."""
        return self[stream].delete(key)

    def update(self, stream: str, key: str, changes: Mapping[str, Any]) -> Record:
        """Change fields of a record and return it; `KeyError` if there is none."""
        return self[stream].update(key, changes)

    def keys(self, stream: str) -> list[str]:
        """Return the keys of a list, newest first."""
        return self[stream].keys()

    def records(self, stream: str) -> list[Record]:
        """Return the records of a list as they are served, newest first."""
        return self[stream].records()
