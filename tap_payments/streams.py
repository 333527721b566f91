"""The streams: declarations, no code."""

from __future__ import annotations

from tap_payments.client import PaymentsStream


class ChargesStream(PaymentsStream):
    """Payments, successful or not."""

    name = "charges"
    path = "charges"
    primary_keys = ("charge_id",)
    time_field = "occurred"
    valid_replication_keys = (time_field,)


class CustomersStream(PaymentsStream):
    """Customers."""

    name = "customers"
    path = "customers"
    primary_keys = ("customer_id",)
    time_field = "first_seen"
    valid_replication_keys = (time_field,)


class ProductsStream(PaymentsStream):
    """Products: few, and changed in place, so always FULL_TABLE."""

    name = "products"
    path = "products"
    primary_keys = ("product_id",)
    time_field = "first_seen"


class SubscriptionsStream(PaymentsStream):
    """Recurring payments."""

    name = "subscriptions"
    path = "subscriptions"
    primary_keys = ("subscription_id",)
    time_field = "first_seen"
    valid_replication_keys = (time_field,)


STREAMS: dict[str, type[PaymentsStream]] = {
    stream.name: stream for stream in (ChargesStream, CustomersStream, ProductsStream, SubscriptionsStream)
}
