"""Faults by chance, the same for the same seed, and lists that move while they are read."""

from __future__ import annotations

from collections import Counter
from dataclasses import KW_ONLY, dataclass
from random import Random
from threading import Lock
from typing import TYPE_CHECKING

from tests.fake_api.faults import Drop, DropMidBody, Status, Truncate
from tests.fake_api.providers import STREAMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fake_api.account import Account
    from tests.fake_api.faults import Fault

TRANSIENT: tuple[Fault, ...] = (
    *(Status(429, {"Retry-After": "0"}), Status(500), Status(502), Status(503), Status(504)),
    *(Drop(), DropMidBody(), DropMidBody(reset=True), Truncate()),
)
"""Faults that go away when the request is tried again."""


@dataclass
class Chaos:
    """Random faults for every request, and random changes of the list it asks for.

    With requests one after another the same seed makes the same faults.

    Attributes:
        rate: The share of requests that meet one of the `kinds` of faults.
        max_in_a_row: The most faults the same request meets before it succeeds; `None` for no limit.
        moves: The share of pages before which the list changes, by three records at most.
        thrown: How many faults happened, by kind.
        deleted: For each stream, the keys it took out, in order.
        inserted: For each stream, the keys it put in, in order.
    """

    seed: int
    rate: float = 0.3
    kinds: Sequence[Fault] = TRANSIENT
    _: KW_ONLY
    max_in_a_row: int | None = 3
    moves: float = 0.0

    def __post_init__(self) -> None:
        self.thrown: Counter[str] = Counter()
        self.deleted: dict[str, list[str]] = {stream: [] for stream in STREAMS}
        self.inserted: dict[str, list[str]] = {stream: [] for stream in STREAMS}
        self._random = Random(self.seed)
        self._in_a_row: Counter[tuple[str, frozenset[tuple[str, str]]]] = Counter()
        self._lock = Lock()

    def due(self, stream: str, params: dict[str, str]) -> Fault | None:
        """Draw the fault this request shall meet, if any."""
        request = stream, frozenset(params.items())
        with self._lock:
            spent = self.max_in_a_row is not None and self._in_a_row[request] >= self.max_in_a_row
            if self._random.random() >= self.rate or spent or not self.kinds:
                del self._in_a_row[request]
                return None
            fault = self._random.choice(self.kinds)
            self._in_a_row[request] += 1
            self.thrown[fault.name] += 1
            return fault

    def move(self, account: Account, stream: str) -> None:
        """Delete or insert a few records of a list, or leave it."""
        with self._lock:
            if self._random.random() >= self.moves:
                return
            change = self._random.choice((self._delete, self._insert))
            for _ in range(self._random.randint(1, 3)):
                # A list that is emptied while it is read ends a run, so one record stays.
                if len(account[stream]) > (change == self._delete):
                    change(account, stream)

    def _delete(self, account: Account, stream: str) -> None:
        """Take out a record from anywhere."""
        index = self._random.randrange(len(account[stream]))
        key = str(account[stream].at(index)[STREAMS[stream].key])
        account.delete(stream, key)
        self.deleted[stream].append(key)

    def _insert(self, account: Account, stream: str) -> None:
        """Put in a record newer than all others, like one of them."""
        listing, facts = account[stream], STREAMS[stream]
        record = listing.at(self._random.randrange(len(listing)))
        newest = listing.at(0)[facts.time]
        key = f"{stream[:2]}_chaos{self.seed}n{len(self.inserted[stream])}"
        record[facts.key] = key
        record[facts.time] = type(newest)(int(newest) + self._random.randint(0, 2))
        if "created" in record:
            record["created"] = record[facts.time]
        account.insert(stream, record)
        self.inserted[stream].append(key)
