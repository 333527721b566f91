"""The SDK's own tests for taps, over an account of either provider."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.testing import get_tap_test_class

from tap_payments.tap import TapPayments
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.tap_runs import tap_config

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = {**dict.fromkeys(STREAMS, 20), "charges": 520}
# The classes take their settings when they are made, and read them when they run: the address is put in between.
CONFIGS: list[dict[str, Any]] = [
    {"provider": provider, "base_url": "https://api.example.com/v1/", "username": "sk_test"}
    for provider in ("generic", "chargedesk")
]


@pytest.fixture(scope="module", autouse=True)
def served() -> Iterator[None]:
    """Serve an account to each class of tests."""
    with ExitStack() as stack:
        for config in CONFIGS:
            account = make_account(**SIZES, php=config["provider"] == "chargedesk")
            config.update(tap_config(stack.enter_context(FakeAPI(account, provider=config["provider"]))))
        yield


TestGeneric, TestChargeDesk = (
    get_tap_test_class(TapPayments, config=config, parse_env_config=False) for config in CONFIGS
)
