"""Programs that the tap is measured against: a bare loop, a tap of the SDK's template, dlt, Airbyte's engine."""
