"""`python -m tap_payments` is `tap-payments`."""

from __future__ import annotations

from tap_payments.tap import TapPayments

TapPayments.cli()
