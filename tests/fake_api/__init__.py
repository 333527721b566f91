"""A payments API on loopback, with the documented behaviour of two providers and faults to order."""

from __future__ import annotations

from tests.fake_api.chaos import Chaos
from tests.fake_api.data import make_account
from tests.fake_api.server import FakeAPI

__all__ = ["Chaos", "FakeAPI", "make_account"]
