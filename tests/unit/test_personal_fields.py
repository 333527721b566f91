"""Every text field and every free-form field is marked as personal data, or is on a list with the reason why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_payments.records.schema import PERSONAL, SCHEMAS
from tap_payments.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = dict[str, Any]

# Text fields that are not personal data, by the reason. A new field of a schema is added here, or marked.
NOT_PERSONAL = {
    "identifies a payment, a subscription, a product or an item, and no person": """
        charges.charge_id charges.product_id charges.subscription_id charges.transaction_id
        customers.last_charge_id customers.last_paid_charge products.product_id subscriptions.subscription_id
        subscriptions.product_id subscriptions.items[].item_id
    """,
    "identifies a payment gateway, or a payment or subscription there": """
        charges.gateway_id products.gateway_id subscriptions.gateway_id
    """,
    "is the account that is read, not one of its customers": """
        charges.company customers.company products.company subscriptions.company
    """,
    "is the provider's code, or its wording of one": """
        charges.object charges.status charges.status_text charges.currency charges.amount_symbol
        charges.audited_job customers.object customers.tax_number_abr products.object products.status
        products.currency products.amount_symbol products.interval products.readable_interval
        subscriptions.object subscriptions.status subscriptions.status_text subscriptions.currency
        subscriptions.amount_symbol subscriptions.interval subscriptions.readable_interval
        subscriptions.items[].currency
    """,
    "is an amount, a number or a share": """
        charges.amount charges.amount_refunded charges.added_tax charges.amount_formatted
        charges.amount_with_commas charges.amount_refunded_formatted products.amount products.setup_amount
        products.amount_formatted products.interval_count products.quantity products.trial_period_days
        products.billing_cycles_total subscriptions.amount subscriptions.setup_amount
        subscriptions.amount_formatted subscriptions.interval_count subscriptions.quantity
        subscriptions.trial_period_days subscriptions.items[].amount subscriptions.items[].percent
        subscriptions.items[].quantity subscriptions.items[].amount_formatted
    """,
    "is a time": """
        charges.occurred charges.occurred_formatted charges.occurred_relative charges.refunded_at
        charges.refunded_at_formatted charges.accurate_at customers.accurate_at subscriptions.trial_start
        subscriptions.trial_end subscriptions.current_period_start subscriptions.current_period_end
        subscriptions.canceled_at subscriptions.ended_at subscriptions.accurate_at
    """,
    "is a flag, or the time at which something was done": """
        charges.sent_receipt charges.sent_invoice charges.sent_invoice_reminder charges.sent_dunning
        charges.sent_void charges.sent_authorize charges.sent_refund_receipt customers.delinquent
        customers.edited customers.has_items customers.unsubscribe_void customers.unsubscribe_refunds
        customers.unsubscribe_receipts customers.unsubscribe_authorize products.chargeable
        products.has_agent_log subscriptions.has_items subscriptions.has_meta
    """,
    "is shared by far too many to identify anybody": """
        charges.customer_country customers.country customers.readable_country charges.payment_method
        charges.payment_method_bank charges.payment_method_brand
    """,
    "is worded by the gateway's software": "charges.failure_reason",
    "is about a product, which is on offer to everybody": "products.name products.url products.support_url",
    "lists methods of payment by their codes": """
        charges.methods_active[] charges.methods_supported[] customers.methods_active[]
        customers.methods_supported[] subscriptions.methods_active[] subscriptions.methods_supported[]
    """,
}


def declared_fields(declared: JSON, path: str) -> Iterator[tuple[str, JSON, bool]]:
    """Yield each field that has none inside, with its declaration and whether it, or what it stands in, is marked."""
    marked = bool(declared.get(PERSONAL))
    if declared.get("properties"):
        for name, inner in declared["properties"].items():
            for found, leaf, inside in declared_fields(inner, f"{path}.{name}"):
                yield found, leaf, marked or inside
    elif declared.get("items"):
        for found, leaf, inside in declared_fields(declared["items"], f"{path}[]"):
            yield found, leaf, marked or inside
    else:
        yield path, declared, marked


LEAVES = {
    path: (leaf, marked) for name in STREAMS for path, leaf, marked in declared_fields(SCHEMAS.get_schema(name), name)
}
LISTED = [name for names in NOT_PERSONAL.values() for name in names.split()]


def test_each_text_is_personal_or_has_a_reason_not_to_be() -> None:
    unmarked = {
        path
        for path, (leaf, marked) in LEAVES.items()
        # A subscription inside a customer is marked as one by itself: see below.
        if not marked and "string" in leaf["type"] and not path.startswith("customers.subscriptions[]")
    }
    assert unmarked - set(LISTED) == set(), "mark these in the schema with `x-personal`, or list them with a reason"
    assert set(LISTED) - unmarked == set(), "these are marked, or are no texts of the schemas"
    assert len(LISTED) == len(set(LISTED))


def test_what_is_free_in_form_is_personal() -> None:
    free = {path: marked for path, (leaf, marked) in LEAVES.items() if {"object", "array"} & {*leaf["type"]}}
    assert len(free) == 10
    assert all(free.values()), free


def test_a_mark_is_true_or_missing() -> None:
    def marks(declared: object) -> Iterator[object]:
        if isinstance(declared, dict):
            if PERSONAL in declared:
                yield declared[PERSONAL]
            for inner in declared.values():
                yield from marks(inner)

    assert {mark for name in STREAMS for mark in marks(SCHEMAS.get_schema(name))} == {True}


def test_a_subscription_inside_a_customer_is_marked_as_one_by_itself() -> None:
    inside = {path: marked for path, (_, marked) in LEAVES.items() if path.startswith("customers.subscriptions[]")}
    alone = {path: marked for path, (_, marked) in LEAVES.items() if path.startswith("subscriptions.")}
    assert {
        path.replace("customers.subscriptions[]", "subscriptions"): marked for path, marked in inside.items()
    } == alone


@pytest.mark.parametrize("name", STREAMS)
def test_no_replication_key_is_marked_and_the_required_field_is_the_key(name: str) -> None:
    schema, stream = SCHEMAS.get_schema(name), STREAMS[name]
    for key in (stream.time_field, *stream.valid_replication_keys):
        assert PERSONAL not in schema["properties"][key]
    assert schema["required"] == list(stream.primary_keys)


def test_the_identifier_of_a_customer_is_marked_wherever_it_stands() -> None:
    named = {path: marked for path, (_, marked) in LEAVES.items() if path.endswith(".customer_id")}
    assert len(named) == 4
    assert all(named.values())
