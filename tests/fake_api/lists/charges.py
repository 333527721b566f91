"""Made-up charges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fake_api import words
from tests.fake_api.cast import COMPANY, charge_key
from tests.fake_api.words import DAY, decimal, formatted, with_commas

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from tests.fake_api.data import Drawing

KEY, TIME = "charge_id", "occurred"
FILTER, MAX_OFFSET = "occurred", 50_000


def draw(moments: Sequence[int], drawing: Drawing, rng: Random) -> Iterator[dict[str, Any]]:
    """Make a charge for each moment; the newest ones are those of each customer in turn."""
    cast, chance = drawing.cast, rng.random
    people, subscriptions = cast.people, cast.subscriptions
    for number, moment in enumerate(moments):
        key = charge_key(number, drawing.seed)
        person = people[number if number < len(people) else int(chance() * len(people))]
        subscription = subscriptions[int(chance() * len(subscriptions))] if number % 2 else None
        product = subscription.product if subscription else cast.products[int(chance() * len(cast.products))]
        currency = product.currency
        status = words.CHARGE_STATUSES[int(chance() * len(words.CHARGE_STATUSES))]
        units = product.price * (1 + int(chance() * 3)) + int(chance() * 100)
        returned = (units if chance() < 0.7 else units // 3) if status == "refunded" else 0
        returned_at = moment + int(chance() * 30 * DAY) if returned else None
        amount, amount_refunded = decimal(units, currency), decimal(returned, currency)
        last_4 = f"{int(chance() * 10_000):04d}"
        brand = words.BRANDS[int(chance() * len(words.BRANDS))]
        paid = status in ("successful", "refunded", "disputed")
        gateway_key = f"py_{int(chance() * 16**14):014x}"
        yield {
            "charge_id": key,
            "object": "charge",
            "status": status,
            "status_text": status.capitalize(),
            "description": f"{product.name} for {person.name}",
            "amount": amount,
            "amount_refunded": amount_refunded,
            "added_tax": decimal(units // 6, currency),
            "currency": currency.code,
            "occurred": str(moment),
            "is_paid": paid,
            "amount_formatted": f"{currency.symbol}{amount}",
            "amount_symbol": currency.symbol,
            "amount_with_commas": with_commas(units, currency),
            "amount_refunded_formatted": f"{currency.symbol}{amount_refunded}",
            "company": COMPANY,
            "customer_id": person.key,
            "customer_name": person.name,
            "customer_email": person.email,
            "customer_email_domain": person.domain,
            "customer_phone": person.phone,
            "customer_country": person.country,
            "customer_username": person.username,
            "product_id": product.key,
            "product_desc": product.name,
            "subscription_id": subscription.key if subscription else None,
            "transaction_id": f"txn_{key[3:]}",
            "gateway_id": gateway_key,
            "gateway_url": f"https://pay.example/{gateway_key}",
            "manage_url": f"https://desk.example/{key}",
            "support_url": f"https://desk.example/{key}/help",
            "support_email": f"help+{last_4}@desk.example",
            "invoice_url": f"https://desk.example/{key}/invoice",
            "invoice_download_url": f"https://desk.example/{key}/pdf",
            "payment_method": "card",
            "payment_method_bank": words.BANKS[number % len(words.BANKS)],
            "payment_method_brand": brand,
            "payment_method_describe": f"{brand} ending in {last_4}",
            "last_4_digits": last_4,
            "statement_description": "EXAMPLE* " + currency.code,
            "failure_reason": words.FAILURES[number % len(words.FAILURES)] if status == "failed" else None,
            "refunded_at": None if returned_at is None else str(returned_at),
            "refunded_at_formatted": None if returned_at is None else formatted(returned_at),
            "occurred_formatted": formatted(moment),
            "occurred_relative": "some time ago",
            "accurate_at": str(moment + 60),
            "audited_job": "0",
            "email_last_sent": moment + 5,
            "name_email": f"{person.name} <{person.email}>",
            "name_send_email": person.name,
            "sent_receipt": "1" if paid else "0",
            "sent_invoice": "0",
            "sent_invoice_reminder": "0",
            "sent_dunning": "0" if paid else "1",
            "sent_void": "0",
            "sent_authorize": "0",
            "sent_refund_receipt": "1" if returned else "0",
            "methods_active": ["card"],
            "methods_supported": list(words.METHODS[: 1 + number % len(words.METHODS)]),
            "metadata": {} if number % words.EMPTY_METADATA_EVERY == 0 else {"order": f"№ {number}", "vip": "0"},
            "logs": [{"occurred": moment, "text": "Receipt sent"}] if paid else [],
        }
