"""Names, amounts and times that the made-up records are drawn from."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from random import Random

START = 1_577_836_800  # 2020-01-01T00:00:00Z
END = 1_735_689_600  # 2025-01-01T00:00:00Z
DAY = 86_400


class Currency(NamedTuple):
    """A currency, its sign and how many decimals its amounts have."""

    code: str
    symbol: str
    decimals: int


CURRENCIES = (
    Currency("EUR", "€", 2),
    Currency("USD", "$", 2),
    Currency("GBP", "£", 2),
    Currency("JPY", "¥", 0),
    Currency("PLN", "zł", 2),
    Currency("SEK", "kr", 2),
    Currency("KWD", "د.ك", 3),
)

FIRST_NAMES = (
    "Łukasz", "Zoë", "Ünal", "北京", "Amélie", "Noor", "Søren", "Chloé", "Jürgen", "さくら", "Олена",
    "Ana", "Rafał", "Mehmet", "José", "Grace", "Nguyễn", "Björk", "Siân", "علي", "Priya", "D'Arcy",
    "Tomáš", "Ιωάννα",
)  # fmt: skip

LAST_NAMES = (
    "Kowalski", "O'Neill", "Öztürk", "王", "Müller", "García", "Ångström", "Dvořák", "田中",
    "Шевченко", "Smith", "Papadopoulos", "Øster", "Lefèvre", "van den Berg", "Trần", "Jónsdóttir",
    "Brontë", "حسن", "Patel", "Quist",
)  # fmt: skip

COUNTRIES = (
    ("PL", "Poland"), ("IE", "Ireland"), ("TR", "Türkiye"), ("CN", "China"), ("DE", "Germany"),
    ("ES", "Spain"), ("SE", "Sweden"), ("CZ", "Czechia"), ("JP", "Japan"), ("UA", "Ukraine"),
    ("US", "United States"), ("GR", "Greece"), ("CI", "Côte d'Ivoire"), ("VN", "Vietnam"),
    ("IS", "Iceland"), ("IN", "India"),
)  # fmt: skip

DOMAINS = ("example.com", "example.net", "example.org", "mail.example", "post.example")

CITIES = ("Kraków", "Galway", "İzmir", "München", "Málaga", "Malmö", "Plzeň", "京都", "Львів", "Abidjan")

PLANS = ("Starter", "Team", "Business", "Agency", "Café & Co.", "Größe L", "標準プラン", 'The "Big" one')

INTERVALS = (("month", "1", "Monthly"), ("year", "1", "Yearly"), ("week", "2", "Every 2 weeks"), ("day", "1", "Daily"))

BRANDS = ("Visa", "Mastercard", "American Express", "SEPA", "iDEAL")

BANKS = ("Bank Polski", "Crédit du Nord", "Sparkasse Köln", "First Example Bank", "みほん銀行")

FAILURES = ("Your card was declined.", "Insufficient funds.", "The card has expired.", "Carte refusée par la banque.")

METHODS = ("card", "sepa_debit", "ideal", "paypal", "bank_transfer")

CHARGE_STATUSES = ("successful",) * 14 + ("refunded",) * 2 + ("failed",) * 2 + ("disputed", "pending", "void")
"""Drawn from evenly, so that the repeated ones come more often."""

SUBSCRIPTION_STATUSES = ("active",) * 6 + ("trialing", "past_due", "canceled", "canceled", "unpaid")

EMPTY_METADATA_EVERY = 3
"""Every so many records have no metadata at all."""


def decimal(units: int, currency: Currency) -> str:
    """Return an amount, counted in the smallest unit of its currency, as a decimal string such as `"34.00"`."""
    if not currency.decimals:
        return str(units)
    whole, part = divmod(units, 10**currency.decimals)
    return f"{whole}.{part:0{currency.decimals}d}"


def with_commas(units: int, currency: Currency) -> str:
    """Return such an amount with a comma before every three digits of its whole part."""
    whole, dot, part = decimal(units, currency).partition(".")
    return f"{int(whole):,}{dot}{part}"


def newest_first(count: int, start: int, end: int, rng: Random) -> list[int]:
    """Draw so many times, in Unix seconds, from `start` up to and without `end`."""
    span = max(1, end - start)
    return sorted((start + int(rng.random() * span) for _ in range(count)), reverse=True)


def formatted(moment: int) -> str:
    """Return a time, in Unix seconds, as people read it."""
    return time.strftime("%d %b %Y, %H:%M", time.gmtime(moment))
