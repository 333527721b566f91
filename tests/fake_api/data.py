"""Made-up lists of an account, the same for the same seed.

Every list is newest first and every record has every documented field. With `php=False` its values have the
declared types; with `php=True` they come as a PHP server sends them. `start` and `end` bound the times of the
records, in Unix seconds; `end` itself is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Any

from tests.fake_api.cast import Cast, cast, charge_key
from tests.fake_api.charges import charges as draw_charges
from tests.fake_api.customers import customers as draw_customers
from tests.fake_api.php import as_php
from tests.fake_api.products import products as draw_products
from tests.fake_api.providers import STREAMS
from tests.fake_api.subscriptions import subscriptions as draw_subscriptions
from tests.fake_api.words import END, START, newest_first

if TYPE_CHECKING:
    from collections.abc import Iterator

Record = dict[str, Any]


def make_account(  # noqa: PLR0913 -- the size of each list by its name
    *,
    charges: int = 0,
    products: int = 0,
    customers: int = 0,
    subscriptions: int = 0,
    seed: int = 0,
    start: int = START,
    end: int = END,
    php: bool = False,
) -> dict[str, list[Record]]:
    """Make all lists of one account; what a record refers to is in them, unless its list is empty."""
    drawing = Drawing(charges, products, customers, subscriptions, seed, start, end, php)
    return {stream: list(drawing.draw(stream)) for stream in STREAMS}


def tie(records: list[Record], size: int, *, first: int = 0) -> list[Record]:
    """Put `size` records, from place `first` on, on the second of the first of them; the list stays in order.

    Args:
        records: A list, newest first, which is changed.
        size: How many records share the second.
        first: The place of the newest of them.

    Returns:
        The same list.
    """
    for record in records[first : first + size]:
        field = "occurred" if "occurred" in record else "first_seen"
        record[field] = type(record[field])(records[first][field])
    return records


@dataclass(frozen=True)
class Drawing:
    """The lists of one account, drawn one record at a time.

    Attributes:
        charges: How many charges.
        products: How many products.
        customers: How many customers.
        subscriptions: How many subscriptions.
        seed: What all chance comes from.
        start: The earliest time of a record, in Unix seconds.
        end: The end of the times, itself left out.
        php: Whether the records come as PHP sends them.
    """

    charges: int = 0
    products: int = 0
    customers: int = 0
    subscriptions: int = 0
    seed: int = 0
    start: int = START
    end: int = END
    php: bool = False

    def draw(self, stream: str) -> Iterator[Record]:
        """Return the records of a list, newest first."""
        records = self._draw(stream)
        return as_php(records) if self.php else records

    @cached_property
    def _cast(self) -> Cast:
        return cast(self.seed, customers=self.customers, products=self.products, subscriptions=self.subscriptions)

    def _draw(self, stream: str) -> Iterator[Record]:
        rng = Random(f"{stream} {self.seed}")
        moments = newest_first(getattr(self, stream), self.start, self.end, rng)
        if stream == "charges":
            return draw_charges(moments, self._cast, self.seed, rng)
        if stream == "products":
            return draw_products(moments, self._cast, rng)
        if stream == "subscriptions":
            return draw_subscriptions(moments, self._cast, rng)
        last_charges = [charge_key(number, self.seed) for number in range(self.charges)]
        return draw_customers(moments, self._cast.people, rng, last_charges, self._subscribed())

    def _subscribed(self) -> dict[str, list[Record]]:
        """Return the subscriptions of each customer, by the customer's key."""
        subscribed: dict[str, list[Record]] = {}
        for subscription in self._draw("subscriptions"):
            subscribed.setdefault(subscription["customer_id"], []).append(subscription)
        return subscribed
