"""Made-up subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fake_api import words
from tests.fake_api.cast import COMPANY
from tests.fake_api.words import DAY, decimal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from tests.fake_api.data import Drawing

TRIAL = 14 * DAY
PERIOD = 30 * DAY

KEY, TIME = "subscription_id", "first_seen"
FILTER, MAX_OFFSET = "created", 10_000


def draw(moments: Sequence[int], drawing: Drawing, rng: Random) -> Iterator[dict[str, Any]]:
    """Make a record for each subscription of the cast, one at each moment."""
    for number, (moment, subscription) in enumerate(zip(moments, drawing.cast.subscriptions, strict=False)):
        product, currency = subscription.product, subscription.product.currency
        status = rng.choice(words.SUBSCRIPTION_STATUSES)
        canceled_at = str(moment + rng.randrange(400) * DAY) if status == "canceled" else None
        interval, interval_count, readable_interval = product.interval
        quantity = rng.randint(1, 9)
        amount = decimal(product.price * quantity, currency)
        price = decimal(product.price, currency)
        yield {
            "subscription_id": subscription.key,
            "object": "subscription",
            "status": status,
            "status_text": status.replace("_", " ").capitalize(),
            "customer_id": subscription.person.key,
            "product_id": product.key,
            "product_desc": product.name,
            "amount": amount,
            "setup_amount": decimal(0, currency),
            "currency": currency.code,
            "first_seen": moment,
            "interval": interval,
            "interval_count": interval_count,
            "readable_interval": readable_interval,
            "quantity": str(quantity),
            "trial_period_days": "14",
            "trial_start": str(moment),
            "trial_end": str(moment + TRIAL),
            "current_period_start": str(moment + TRIAL),
            "current_period_end": str(moment + TRIAL + PERIOD),
            "canceled_at": canceled_at,
            "ended_at": canceled_at,
            "charges": rng.randrange(60),
            "company": COMPANY,
            "gateway_id": f"gw_{subscription.key}",
            "gateway_url": f"https://gateway.example/subscriptions/{subscription.key}",
            "manage_url": f"https://desk.example/subscriptions/{subscription.key}",
            "amount_formatted": f"{currency.symbol}{amount}",
            "amount_symbol": currency.symbol,
            "accurate_at": str(moment + 60),
            "last_email": str(moment + 5),
            "has_items": "1",
            "has_meta": "0" if number % words.EMPTY_METADATA_EVERY == 0 else "1",
            "items": [
                {
                    "item_id": f"item_{subscription.key[4:]}",
                    "description": product.name,
                    "amount": price,
                    "percent": "100",
                    "currency": currency.code,
                    "quantity": str(quantity),
                    "amount_formatted": f"{currency.symbol}{price}",
                }
            ],
            "methods_active": ["card"],
            "methods_supported": list(words.METHODS[: 1 + number % len(words.METHODS)]),
            "metadata": {} if number % words.EMPTY_METADATA_EVERY == 0 else {"seats": str(quantity)},
            "logs": [],
        }
