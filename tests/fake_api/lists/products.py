"""Made-up products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fake_api.cast import COMPANY
from tests.fake_api.words import decimal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from tests.fake_api.data import Drawing

KEY, TIME = "product_id", "first_seen"
FILTER, MAX_OFFSET = "created", 10_000


def draw(moments: Sequence[int], drawing: Drawing, rng: Random) -> Iterator[dict[str, Any]]:
    """Make a record for each product of the cast, one at each moment."""
    for moment, product in zip(moments, drawing.cast.products, strict=False):
        amount = decimal(product.price, product.currency)
        interval, interval_count, readable_interval = product.interval
        yield {
            "product_id": product.key,
            "object": "product",
            "name": product.name,
            "description": f"{product.name}, {readable_interval.lower()}",
            "url": f"https://shop.example/{product.key}",
            "status": rng.choice(("active", "active", "active", "archived")),
            "amount": amount,
            "setup_amount": decimal(rng.choice((0, 0, product.price // 10)), product.currency),
            "currency": product.currency.code,
            "first_seen": moment,
            "interval": interval,
            "interval_count": interval_count,
            "readable_interval": readable_interval,
            "quantity": "1",
            "trial_period_days": rng.choice(("0", "14", "30")),
            "billing_cycles_total": rng.choice((None, "12")),
            "chargeable": "1",
            "taxable": rng.randrange(2),
            "charges": rng.randrange(5_000),
            "company": COMPANY,
            "gateway_id": f"plan_{product.key[5:]}",
            "support_url": f"https://desk.example/help/{product.key}",
            "amount_formatted": f"{product.currency.symbol}{amount}",
            "amount_symbol": product.currency.symbol,
            "has_agent_log": "0",
            "logs": [],
        }
