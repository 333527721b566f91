"""Amounts as the API words them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fake_api.words import Currency


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
