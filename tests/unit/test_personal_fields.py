"""Every text field and every free-form field is marked as personal data, or is on a list with the reason why not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tap_payments.records.schema import PERSONAL, SCHEMAS
from tap_payments.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = dict[str, Any]

# Names of text fields that are not personal data, by the reason. A field of another name is added here, or marked.
NOT_PERSONAL = {
    "identifies a payment, a subscription, a product or an item": r"(?!gateway)\w*(?<!customer)_id|last_paid_charge",
    "identifies a payment gateway, or a payment or subscription there": r"(?<!customers\.)gateway_id",
    "is the account that is read, not one of its customers": "company",
    "is the provider's code, or its wording of one": r"object|status(_text)?|currency|amount_symbol|audited_job"
    r"|tax_number_abr|(readable_)?interval",
    "is an amount, a number or a share": r"(setup_)?amount(_refunded|_with_commas)?(_formatted)?|added_tax|quantity"
    r"|percent|interval_count|trial_period_days|billing_cycles_total",
    "is a time": r"occurred(_formatted|_relative)?|\w+_at(_formatted)?|(trial|current_period)_(start|end)|created",
    "is a flag, or the time at which something was done": r"(sent|has|unsubscribe)_\w+|delinquent|edited|chargeable",
    "is shared by far too many to identify anybody": r"(customer_|readable_)?country|payment_method(_bank|_brand)?",
    "is worded by the gateway's software": "failure_reason",
    "is about a product, which is on offer to everybody": r"(?<=products\.)(name|url|support_url)",
    "lists methods of payment by their codes": r"methods_(active|supported)\[\]",
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
UNMARKED = [path for path, (leaf, marked) in LEAVES.items() if not marked and "string" in leaf["type"]]


def test_each_text_is_personal_or_has_a_reason_not_to_be() -> None:
    reasons = [re.compile(rf"\.(?:{names})$") for names in NOT_PERSONAL.values()]
    unknown = [path for path in UNMARKED if not any(reason.search(path) for reason in reasons)]
    assert unknown == [], "mark these in the schema with `x-personal`, or list them with a reason"
    assert all(any(reason.search(path) for path in UNMARKED) for reason in reasons)


def test_what_is_free_in_form_is_personal() -> None:
    free = {path: marked for path, (leaf, marked) in LEAVES.items() if {"object", "array"} & {*leaf["type"]}}
    assert free
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
def test_no_replication_key_is_marked(name: str) -> None:
    schema, stream = SCHEMAS.get_schema(name), STREAMS[name]
    for key in (stream.time_field, *stream.valid_replication_keys):
        assert PERSONAL not in schema["properties"][key]
