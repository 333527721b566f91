"""What the tap is measured against: a bare loop, a tap as the SDK's template makes it, dlt, Airbyte's engine."""
