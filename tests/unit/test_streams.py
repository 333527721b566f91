"""The declarations of streams and providers fit together."""

from __future__ import annotations

import pytest

from tap_payments.providers import PROVIDERS
from tap_payments.records.schema import SCHEMAS
from tap_payments.streams import STREAMS


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_declares_its_key_and_its_time(name: str) -> None:
    stream, schema = STREAMS[name], SCHEMAS.get_schema(name)
    assert vars(stream)["name"] == name
    assert schema["required"] == list(stream.primary_keys)
    assert {*stream.primary_keys, stream.time_field} <= schema["properties"].keys()
    # Bookmarks are made of the time that pages are read by.
    assert tuple(stream.valid_replication_keys) in {(), (stream.time_field,)}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_limits_lists_that_exist(provider: str) -> None:
    assert PROVIDERS[provider].listings.keys() <= STREAMS.keys()
