"""The SDK's own tests for taps, over an account of either provider."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.testing import get_tap_test_class

from tap_payments.tap import TapPayments
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = {**dict.fromkeys(STREAMS, 20), "charges": 520}
# The classes take their settings when they are made, and read them when they run: the address is put in between.
GENERIC: dict[str, Any] = {
    "provider": "generic",
    "base_url": "https://api.example.com/v1/",
    "username": "generic",
    "password": "secret",
}
CHARGEDESK: dict[str, Any] = {"provider": "chargedesk", "username": "sk_test", "requests_per_minute": 1_000_000}


@pytest.fixture(scope="module", autouse=True)
def served() -> Iterator[None]:
    """Serve an account to each class of tests."""
    with ExitStack() as stack:
        for settings in (GENERIC, CHARGEDESK):
            api = FakeAPI(
                make_account(**SIZES, php=settings["provider"] == "chargedesk"),
                provider=settings["provider"],
                username=settings["username"],
                password=settings.get("password", ""),
            )
            settings["base_url"] = stack.enter_context(api).url
        yield


TestGeneric = get_tap_test_class(TapPayments, config=GENERIC, parse_env_config=False)
TestChargeDesk = get_tap_test_class(TapPayments, config=CHARGEDESK, parse_env_config=False)
