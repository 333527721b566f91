"""Made-up customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fake_api import words
from tests.fake_api.cast import COMPANY, charge_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from tests.fake_api.data import Drawing

KEY, TIME = "customer_id", "first_seen"
FILTER, MAX_OFFSET = "first_seen", 50_000


def draw(moments: Sequence[int], drawing: Drawing, rng: Random) -> Iterator[dict[str, Any]]:
    """Make a record for each person of the cast, one at each moment, with the person's subscriptions."""
    people = drawing.cast.people
    last_charges = [charge_key(number, drawing.seed) for number in range(drawing.size("charges"))]
    subscribed: dict[str, list[dict[str, Any]]] = {}
    for subscription in drawing.draw_typed("subscriptions"):
        subscribed.setdefault(subscription["customer_id"], []).append(subscription)
    for number, (moment, person) in enumerate(zip(moments, people, strict=False)):
        street = f"{rng.randint(1, 200)} High Street, {rng.choice(words.CITIES)}, {person.readable_country}"
        yield {
            "customer_id": person.key,
            "object": "customer",
            "name": person.name,
            "first_name": person.first_name,
            "username": person.username,
            "email": person.email,
            "email_domain": person.domain,
            "send_email_to": person.email,
            "phone": person.phone,
            "fax": None,
            "website": f"https://{person.domain}/~{person.username}",
            "country": person.country,
            "readable_country": person.readable_country,
            "description": f"{person.name} ({person.readable_country})",
            "first_seen": moment,
            "charges": rng.randrange(200),
            "company": COMPANY,
            "customer_company": f"{person.name} & Söhne",
            "billing_address": street,
            "shipping_address": street,
            "invoice_details": "Line one\nLine two\tend",
            "tax_number": f"{person.country}{rng.randrange(10**9):09d}",
            "tax_number_abr": "VAT",
            "delinquent": rng.choice("0001"),
            "card_on_file": rng.choice("01"),
            "last_charge_id": last_charges[number] if number < len(last_charges) else None,
            "last_paid_charge": str(moment + 60),
            "gateway_id": f"gw_{person.key}",
            "gateway_url": f"https://gateway.example/customers/{person.key}",
            "manage_url": f"https://desk.example/customers/{person.key}",
            "accurate_at": str(moment + 60),
            "edited": "0",
            "tickets": "0",
            "has_items": "0",
            "unsubscribe_void": "0",
            "unsubscribe_refunds": "0",
            "unsubscribe_receipts": rng.choice("0001"),
            "unsubscribe_authorize": "0",
            "items": [],
            "subscriptions": subscribed.get(person.key, []),
            "methods_active": ["card"],
            "methods_supported": list(words.METHODS[: 1 + number % len(words.METHODS)]),
            "metadata": {} if number % words.EMPTY_METADATA_EVERY == 0 else {"source": 'Größe \\ "L" / é'},
            "logs": [],
        }
