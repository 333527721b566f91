"""Made-up lists of an account, the same for the same seed.

Every list is newest first and every record has every documented field. With `php=False` its values have the
declared types; with `php=True` they come as a PHP server sends them. `start` and `end` bound the times of the
records, in Unix seconds; `end` itself is left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tests.fake_api.cast import Cast, cast
from tests.fake_api.php import as_php
from tests.fake_api.providers import MODULES, STREAMS
from tests.fake_api.words import END, START, newest_first

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Record = dict[str, Any]

SCHEMAS = Path(__file__).parents[2] / "tap_payments" / "schemas"
# Values by their type, for declared fields that a generator does not name.
MADE_UP = {"string": "made up", "number": 1, "integer": 1, "boolean": True, "array": [], "object": {}}


def make_account(
    *, seed: int = 0, start: int = START, end: int = END, php: bool | int = False, **sizes: int
) -> dict[str, list[Record]]:
    """Make all lists of one account; what a record refers to is in them, unless its list is empty.

    Args:
        seed: What all chance comes from.
        start: The earliest time of a record, in Unix seconds.
        end: The end of the times, itself left out.
        php: Whether the records come as PHP sends them.
        sizes: How many records each list has.
    """
    if unknown := sizes.keys() - STREAMS.keys():
        raise KeyError(f"no such stream: {sorted(unknown)}")
    drawing = Drawing(sizes, seed, start, end, bool(php))
    return {stream: list(drawing.draw(stream)) for stream in STREAMS}


def tie(records: list[Record], size: int, *, first: int = 0) -> list[Record]:
    """Put `size` records, from index `first` on, on the second of the first of them; the list stays in order.

    Returns:
        The same list.
    """
    for record in records[first : first + size]:
        field = next(facts.time for facts in STREAMS.values() if {facts.key, facts.time} <= record.keys())
        record[field] = type(record[field])(records[first][field])
    return records


@dataclass(frozen=True)
class Drawing:
    """The lists of one account, drawn one record at a time; the attributes are those of `make_account`."""

    sizes: Mapping[str, int]
    seed: int = 0
    start: int = START
    end: int = END
    php: bool = False

    def size(self, stream: str) -> int:
        """Return the length of a list."""
        return self.sizes.get(stream, 0)

    def draw(self, stream: str) -> Iterator[Record]:
        """Return the records of a list, newest first."""
        records = self.draw_typed(stream)
        return as_php(records) if self.php else records

    def draw_typed(self, stream: str) -> Iterator[Record]:
        """Return the records of a list with values of the declared types."""
        rng = Random(f"{stream} {self.seed}")
        declared = json.loads((SCHEMAS / f"{stream}.json").read_text(encoding="utf-8"))["properties"]
        made_up = {name: MADE_UP[field["type"][0]] for name, field in declared.items() if "null" in field["type"]}
        moments = newest_first(self.size(stream), self.start, self.end, rng)
        for record in MODULES[stream].draw(moments, self, rng):
            yield record if len(record) == len(declared) else {**made_up, **record}

    @cached_property
    def cast(self) -> Cast:
        """Who takes part."""
        return cast(self.seed, **{name: self.size(name) for name in ("customers", "products", "subscriptions")})
