"""The streams: declarations, no code."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tap_payments.client import PaymentsStream
from tap_payments.records.schema import SCHEMAS, DeclaredSchema

if TYPE_CHECKING:
    from singer_sdk import StreamSchema


class ChargesStream(PaymentsStream):
    """Payments, successful or not."""

    name = "charges"
    path = "charges"
    primary_keys: ClassVar[tuple[str, ...]] = ("charge_id",)
    time_field: ClassVar[str] = "occurred"
    valid_replication_keys: ClassVar[tuple[str, ...]] = ("occurred",)
    schema: ClassVar[StreamSchema[str]] = DeclaredSchema(SCHEMAS)


class CustomersStream(PaymentsStream):
    """Customers."""

    name = "customers"
    path = "customers"
    primary_keys: ClassVar[tuple[str, ...]] = ("customer_id",)
    time_field: ClassVar[str] = "first_seen"
    valid_replication_keys: ClassVar[tuple[str, ...]] = ("first_seen",)
    schema: ClassVar[StreamSchema[str]] = DeclaredSchema(SCHEMAS)


class ProductsStream(PaymentsStream):
    """Products: few, and changed in place, so always FULL_TABLE."""

    name = "products"
    path = "products"
    primary_keys: ClassVar[tuple[str, ...]] = ("product_id",)
    time_field: ClassVar[str] = "first_seen"
    schema: ClassVar[StreamSchema[str]] = DeclaredSchema(SCHEMAS)


class SubscriptionsStream(PaymentsStream):
    """Recurring payments."""

    name = "subscriptions"
    path = "subscriptions"
    primary_keys: ClassVar[tuple[str, ...]] = ("subscription_id",)
    time_field: ClassVar[str] = "first_seen"
    valid_replication_keys: ClassVar[tuple[str, ...]] = ("first_seen",)
    schema: ClassVar[StreamSchema[str]] = DeclaredSchema(SCHEMAS)


STREAMS: dict[str, type[PaymentsStream]] = {
    stream.name: stream for stream in (ChargesStream, CustomersStream, ProductsStream, SubscriptionsStream)
}
