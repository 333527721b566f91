"""Made-up customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fake_api import words
from tests.fake_api.cast import COMPANY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from random import Random

    from tests.fake_api.cast import Person


def customers(
    moments: Sequence[int],
    people: Sequence[Person],
    rng: Random,
    last_charges: Sequence[str],
    subscribed: Mapping[str, list[dict[str, Any]]],
) -> Iterator[dict[str, Any]]:
    """Make a record for each person, one at each moment.

    Args:
        moments: The times, newest first.
        people: Who the customers are.
        rng: Where chance comes from.
        last_charges: The key of the last charge of each person; who comes after its end has none.
        subscribed: The subscriptions of each customer, by the customer's key.
    """
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
