"""Catalogs are resolved before the SDK reads them: method, keys and automatic fields."""

from __future__ import annotations

import copy
import logging
from logging.handlers import BufferingHandler
from typing import TYPE_CHECKING, Any

import pytest

from tap_payments.catalog import resolve_catalog
from tap_payments.errors import RunError
from tap_payments.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = dict[str, Any]


def entry(root: Mapping[str, object] | None = None, name: str = "charges", **fields_of_entry: object) -> JSON:
    """Make a catalog entry with a key, a time and an amount, none of them selected."""
    fields = ("charge_id", "occurred", "amount")
    metadata: list[JSON] = [{"breadcrumb": [], "metadata": dict(root or {})}]
    metadata += [{"breadcrumb": ["properties", field], "metadata": {"selected": False}} for field in fields]
    schema = {"properties": {field: {"type": "string"} for field in fields}}
    return {"tap_stream_id": name, "schema": schema, "metadata": metadata, **fields_of_entry}


def resolve(*entries: JSON) -> tuple[list[JSON], list[str]]:
    handler = BufferingHandler(100)
    logger = logging.Logger("catalog")  # noqa: LOG001 - one that nothing else sees
    logger.addHandler(handler)
    catalog = {"streams": list(entries)}
    before = copy.deepcopy(catalog)
    resolved = resolve_catalog(catalog, STREAMS, logger)
    assert catalog == before, "the catalog that was given is changed"
    return resolved["streams"], [record.getMessage() for record in handler.buffer]


def method_and_key(resolved: JSON) -> tuple[str, str | None]:
    return resolved["replication_method"], resolved["replication_key"]


def inclusion(resolved: JSON, field: str) -> str | None:
    found = [item["metadata"] for item in resolved["metadata"] if list(item["breadcrumb"]) == ["properties", field]]
    assert len(found) == 1
    value: str | None = found[0].get("inclusion")
    return value


@pytest.mark.parametrize(
    "asked",
    [
        entry({"replication-method": "INCREMENTAL"}),
        entry({"replication-method": "incremental"}),
        entry({"forced-replication-method": "INCREMENTAL"}),
        entry({"replication-method": "INCREMENTAL", "replication-key": "occurred"}),
        entry({"replication-key": "occurred"}),
        entry(replication_method="INCREMENTAL"),
        entry(replication_method="INCREMENTAL", replication_key="occurred"),
        # The entry is as it was discovered, Meltano writes the metadata.
        entry({"replication-method": "INCREMENTAL"}, replication_method="FULL_TABLE", replication_key=None),
    ],
)
def test_incremental_by_one_word_in_the_entry_or_in_its_metadata(asked: JSON) -> None:
    (resolved,), _ = resolve(asked)
    assert method_and_key(resolved) == ("INCREMENTAL", "occurred")
    assert inclusion(resolved, "occurred") == inclusion(resolved, "charge_id") == "automatic"
    assert inclusion(resolved, "amount") is None


@pytest.mark.parametrize(
    "asked",
    [
        entry(),
        entry(replication_method="FULL_TABLE", replication_key="occurred"),
        entry({"replication-method": "FULL_TABLE", "replication-key": "occurred"}),
        entry({"forced-replication-method": "FULL_TABLE"}),
    ],
)
def test_full_table_is_what_is_read_otherwise(asked: JSON) -> None:
    (resolved,), log = resolve(asked)
    assert method_and_key(resolved) == ("FULL_TABLE", None)
    assert inclusion(resolved, "charge_id") == "automatic"
    assert inclusion(resolved, "occurred") is None
    assert not log


def test_a_stream_without_a_replication_key_stays_whole_with_a_log_line() -> None:
    (resolved,), log = resolve(entry({"replication-method": "INCREMENTAL"}, name="products"))
    assert method_and_key(resolved) == ("FULL_TABLE", None)
    assert len(log) == 1
    assert log[0].startswith("products: ")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (entry({"replication-method": "INCREMENTAL", "replication-key": "amount"}), "`occurred`"),
        (entry(replication_method="INCREMENTAL", replication_key="first_seen"), "`occurred`"),
        (entry({"replication-key": "amount"}), "`occurred`"),
        (entry({"replication-method": "LOG_BASED"}), "INCREMENTAL or FULL_TABLE"),
        (entry(replication_method="LOG_BASED"), "INCREMENTAL or FULL_TABLE"),
        (entry({"replication-method": "LOG_BASED"}, replication_method="INCREMENTAL"), "INCREMENTAL or FULL_TABLE"),
    ],
)
def test_unsupported_requests_are_refused_in_one_line(asked: JSON, words: str) -> None:
    with pytest.raises(RunError) as refusal:
        resolve(asked)
    text = str(refusal.value)
    assert text.startswith("charges: ")
    assert words in text
    assert "\n" not in text


def test_fields_without_metadata_get_theirs() -> None:
    bare = entry({"replication-method": "INCREMENTAL"})
    bare["metadata"] = bare["metadata"][:1]
    (resolved,), _ = resolve(bare)
    assert inclusion(resolved, "occurred") == inclusion(resolved, "charge_id") == "automatic"
