"""A payments API on loopback, with the documented behaviour of two providers and faults to order."""

from __future__ import annotations

from tests.sandbox.data import make_account
from tests.sandbox.server import Sandbox
from tests.sandbox.storm import Storm

__all__ = ["Sandbox", "Storm", "make_account"]
