"""One odd value ends no run for ever: it is named with the way on, becomes null where asked, or is not checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tap_payments.errors import KEY_VALUE_ADVICE, VALUE_ADVICE
from tests.fake_api import FakeAPI
from tests.fake_api.faults import Body
from tests.support.in_process import BODY_MARKER, expect_one_error, read_served_field, read_served_records, read_stream
from tests.support.states import batch_config, sent_keys
from tests.support.tap_runs import JSON, catalog_with

if TYPE_CHECKING:
    from pathlib import Path

MARKED = json.dumps(BODY_MARKER)
ODD = "1,234.50"
NULL: JSON = {"on_invalid_value": "null"}
TO_NULL = "invalid values become null"


@pytest.mark.parametrize(
    "maps", [{}, {"stream_maps": {"customers": {"email": "__NULL__"}}}], ids=["direct path", "the SDK's path"]
)
def test_the_innermost_invalid_value_becomes_null_where_that_is_asked_for(maps: JSON) -> None:
    value = f'[{{"amount":"1.00"}},{{"amount":{MARKED},"items":[{{"amount":{MARKED}}},7]}},{MARKED}]'
    records = f'{{"customer_id":"a","metadata":{MARKED},"subscriptions":{value}}},{{"customer_id":"b","metadata":5}}'
    run = read_served_records(records, stream="customers", **NULL, **maps).expect_success()
    subscriptions = [{"amount": "1.00"}, {"amount": None, "items": [{"amount": None}, None]}, None]
    nulled = {"customer_id": "a", "metadata": None, "subscriptions": subscriptions}
    assert run.records("customers") == [nulled, {"customer_id": "b", "metadata": None}]
    fields = ("metadata", *(f"subscriptions{path}" for path in ("[].amount", "[].items[].amount", "[].items[]", "[]")))
    assert len(run.logged("WARNING", TO_NULL)) == len(fields)
    assert all(len(run.logged(f"customers: field `{field}`", TO_NULL)) == 1 for field in fields)
    assert run.logged("Run complete", "customers: 2 records", "6 invalid values made null")
    assert BODY_MARKER not in run.stderr


@pytest.mark.parametrize("setting", [{}, NULL], ids=["error", "null"])
def test_a_replication_key_is_never_made_null(setting: JSON) -> None:
    catalog = catalog_with(only=["customers"], incremental=["customers"])
    run = read_served_field("first_seen", MARKED, stream="customers", catalog=catalog, **setting)
    expect_one_error(run, "customers: /v1/customers ", "key-1", "`first_seen`", KEY_VALUE_ADVICE)
    assert VALUE_ADVICE not in run.errors[0]
    assert run.records("customers") == []


def test_a_key_and_a_field_whose_schema_allows_no_null_are_never_made_null() -> None:
    expect_one_error(read_served_records('{"charge_id":null,"amount":"1"}', **NULL), "charges", "lacks its key")
    catalog = catalog_with(only=["charges"])
    for entry in catalog["streams"]:
        entry["schema"]["properties"]["amount"] = {"type": "number"}
    for value in (MARKED, "null", "NaN"):
        run = read_served_field("amount", value, catalog=catalog, **NULL)
        expect_one_error(run, "charges: /v1/charges ", "key-1", "`amount`", KEY_VALUE_ADVICE)


def test_a_field_that_is_deselected_is_not_checked_on_top_or_inside() -> None:
    record = f'{{"charge_id":"a","amount":"{ODD}","is_paid":NaN,"logs":5}}'
    catalogs = [
        catalog_with(only=["charges"], deselect=deselect)
        for deselect in (["charges.amount"], ["charges.amount", "charges.is_paid", "charges.logs"])
    ]
    read_served_records(record, catalog=catalogs[0]).expect_failure("`is_paid`")
    assert read_served_records(record, catalog=catalogs[1]).expect_success().records("charges") == [{"charge_id": "a"}]

    charges = next(entry for entry in catalogs[0]["streams"] if entry["tap_stream_id"] == "charges")
    number = {"type": ["number", "null"]}
    charges["schema"]["properties"]["metadata"]["properties"] = {"score": number, "seats": number}
    breadcrumb = ["properties", "metadata", "properties", "score"]
    charges["metadata"].append({"breadcrumb": breadcrumb, "metadata": {"selected": False}})
    for odd in (MARKED, "NaN", '"\\ud83d"'):
        run = read_served_field("metadata", f'{{"score":{odd},"seats":"7"}}', catalog=catalogs[0]).expect_success()
        assert run.records("charges") == [{"charge_id": "key-1", "metadata": {"seats": 7}}]


WORDS = ["NaN", "-Infinity", "1e99999", "0e99999999999999999999"]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", ["amount", "email_last_sent", "logs"])
def test_what_no_decoder_takes_for_a_number_is_an_invalid_value(name: str, word: str) -> None:
    records = f'{{"charge_id":"key-0","amount":1.10}},{{"charge_id":"key-1","{name}":{word},"currency":"EUR"}}'
    run = read_served_records(records)
    expect_one_error(run, "charges: /v1/charges ", "key-1", f"`{name}`", VALUE_ADVICE)
    assert word not in run.stderr
    assert run.keys("charges") == ["key-0"]
    nulled = read_served_records(records, **NULL).expect_success()
    second = {"charge_id": "key-1", name: None, "currency": "EUR"}
    assert nulled.records("charges") == [{"charge_id": "key-0", "amount": "1.10"}, second]
    assert len(nulled.logged("WARNING", TO_NULL)) == 1
    assert nulled.logged("Run complete", "1 invalid value made null")


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("status", '{"a":WORD}', '{"a":"WORD"}'),
        ("metadata", '{"x":[{"b":WORD},1.10]}', {"x": [{"b": "WORD"}, 1.10]}),
        ("methods_active", '["a",WORD]', ["a", "WORD"]),
        ("zz_unknown", '[{"c":WORD}]', [{"c": "WORD"}]),
        ("charge_id", "WORD", "WORD"),
    ],
)
def test_where_text_may_stand_it_is_the_text_as_it_arrived(name: str, value: str, wanted: object, word: str) -> None:
    run = read_served_field(name, value.replace("WORD", word), undeclared=True)
    (record,) = run.expect_success().records("charges")
    assert record[name] == json.loads(json.dumps(wanted).replace("WORD", word))


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("time", ["1704067205000", '"yesterday"', "1e99999"])
def test_an_incremental_stream_whose_times_cannot_be_read_says_so_once(time: str, batch: bool, tmp_path: Path) -> None:  # noqa: FBT001
    with FakeAPI() as api:
        for page in ("0", "1"):
            records = ",".join(f'{{"charge_id":"{page}{number}","occurred":{time}}}' for number in range(3))
            api.faults.add(Body(f'{{"took":NaN,"data":[{records}],"total_count":NaN}}'.encode()))
        catalog = catalog_with(only=["charges"], incremental=["charges"])
        settings: JSON = {"batch_config": batch_config(tmp_path)} if batch else {}
        run = read_stream(api, catalog=catalog, page_overlap=0, **settings).expect_success()
    assert len(sent_keys(run.messages)) == 6
    assert run.bookmark("charges") is None
    (warning,) = run.logged("WARNING", "charges: ", "`occurred`")
    assert "milliseconds" in warning
    assert time.strip('"') not in warning


@pytest.mark.parametrize(("time", "method"), [("1704067205000", []), ("null", ["charges"]), ('""', ["charges"])])
def test_a_time_that_is_missing_or_not_used_is_no_reason_to_say_so(time: str, method: list[str]) -> None:
    run = read_served_field("occurred", time, catalog=catalog_with(only=["charges"], incremental=method))
    assert not run.logged("milliseconds")
