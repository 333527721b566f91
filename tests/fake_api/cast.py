"""Who takes part in an account: the people, products and subscriptions its records name.

Made from a seed and a number alone, so that lists made apart with one seed speak of the same ones.
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from tests.fake_api import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fake_api.words import Currency

COMPANY = "cd_example_company"


def record_key(prefix: str, number: int, seed: int) -> str:
    """Return the key of a record; within a prefix none comes twice, as both factors are odd."""
    mixed = number * 0x9E3779B97F4A7C15 + seed * 0xBF58476D1CE4E5B9
    return f"{prefix}_{mixed % 2**64:016x}"


charge_key = partial(record_key, "ch")


class Person(NamedTuple):
    """A customer."""

    key: str
    first_name: str
    name: str
    username: str
    email: str
    domain: str
    phone: str
    country: str
    readable_country: str


class Product(NamedTuple):
    """Something that is sold, and its price in the smallest unit of its currency."""

    key: str
    name: str
    price: int
    currency: Currency
    interval: tuple[str, str, str]


class Subscription(NamedTuple):
    """A customer's subscription to a product."""

    key: str
    person: Person
    product: Product


class Cast(NamedTuple):
    """All who take part, none of the three empty."""

    people: Sequence[Person]
    products: Sequence[Product]
    subscriptions: Sequence[Subscription]


def cast(seed: int, *, customers: int, products: int, subscriptions: int) -> Cast:
    """Return as many of each as requested, and at least one."""
    rng = Random(f"people {seed}")
    people = [_person(number, seed, rng) for number in range(max(1, customers))]
    rng = Random(f"products {seed}")
    goods = [_product(number, seed, rng) for number in range(max(1, products))]
    rng = Random(f"subscriptions {seed}")
    deals = [
        Subscription(record_key("sub", number, seed), rng.choice(people), rng.choice(goods))
        for number in range(max(1, subscriptions))
    ]
    return Cast(people, goods, deals)


def _person(number: int, seed: int, rng: Random) -> Person:
    first_name = rng.choice(words.FIRST_NAMES)
    username, domain = f"user{seed}.{number}", rng.choice(words.DOMAINS)
    country, readable_country = rng.choice(words.COUNTRIES)
    names = first_name, f"{first_name} {rng.choice(words.LAST_NAMES)}", username, f"{username}@{domain}", domain
    phone = f"+{rng.randrange(10**9, 10**11)}"
    return Person(record_key("cus", number, seed), *names, phone, country, readable_country)


def _product(number: int, seed: int, rng: Random) -> Product:
    return Product(
        key=record_key("prod", number, seed),
        name=f"{rng.choice(words.PLANS)} {number}",
        price=rng.randrange(99, 99_999),
        currency=rng.choice(words.CURRENCIES),
        interval=rng.choice(words.INTERVALS),
    )
