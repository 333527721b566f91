"""A Singer tap for payments APIs: charges, products, customers and subscriptions."""

from __future__ import annotations

__version__ = "0.1.0"
