"""The four lists: declarations, no code."""

from __future__ import annotations

from typing import ClassVar

from singer_sdk import SchemaDirectory, StreamSchema

from tap_payments import schemas
from tap_payments.sending import PaymentsStream

SCHEMAS = SchemaDirectory(schemas)


class Charges(PaymentsStream):
    """Payments, successful or not."""

    name = "charges"
    path = "charges"
    declared_keys: ClassVar[tuple[str, ...]] = ("charge_id",)
    time_field: ClassVar[str] = "occurred"
    offered_keys: ClassVar[tuple[str, ...]] = ("occurred",)
    schema: ClassVar[StreamSchema[str]] = StreamSchema(SCHEMAS)


class Customers(PaymentsStream):
    """Who pays."""

    name = "customers"
    path = "customers"
    declared_keys: ClassVar[tuple[str, ...]] = ("customer_id",)
    offered_keys: ClassVar[tuple[str, ...]] = ("first_seen",)
    schema: ClassVar[StreamSchema[str]] = StreamSchema(SCHEMAS)


class Products(PaymentsStream):
    """What is paid for: few, and changed in place, so always read whole."""

    name = "products"
    path = "products"
    declared_keys: ClassVar[tuple[str, ...]] = ("product_id",)
    schema: ClassVar[StreamSchema[str]] = StreamSchema(SCHEMAS)


class Subscriptions(PaymentsStream):
    """Payments that recur."""

    name = "subscriptions"
    path = "subscriptions"
    declared_keys: ClassVar[tuple[str, ...]] = ("subscription_id",)
    offered_keys: ClassVar[tuple[str, ...]] = ("first_seen",)
    schema: ClassVar[StreamSchema[str]] = StreamSchema(SCHEMAS)


STREAMS: dict[str, type[PaymentsStream]] = {
    "charges": Charges,
    "customers": Customers,
    "products": Products,
    "subscriptions": Subscriptions,
}
