"""Records reach the target with their declared types, over HTTP; `tests/unit/test_types.py` tries each type."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fake_api import FakeAPI
from tests.fake_api.faults import Body
from tests.fake_api.providers import STREAMS
from tests.support.declared_types import FIELDS, FITS, LONG, MARKED, TWENTY, as_it_is, exactly
from tests.support.in_process import expect_one_error, read_served_field, read_served_records, run_in_process
from tests.support.tap_runs import catalog_with, run_tap, tap_config


@pytest.mark.parametrize("unmodified", [True, False], ids=["unmodified path", "the SDK's path"])
@pytest.mark.parametrize("stream", STREAMS)
def test_every_declared_field_is_made_to_fit(stream: str, *, unmodified: bool) -> None:
    key = STREAMS[stream].key
    cases = [
        (field, *case)
        for field in FIELDS
        if field.stream == stream and field.path != (key,)
        for kind in field.kinds
        for case in FITS[kind]
        if unmodified or field.path != ("company",)
    ]
    wire = [f'{{"{key}":"key-{number}",{field.wire(value)}}}' for number, (field, value, _) in enumerate(cases)]
    wanted = [f'{{"{key}":"key-{number}",{field.wire(out)}}}' for number, (field, _, out) in enumerate(cases)]
    maps = {} if unmodified else {"stream_maps": {stream: {"company": "__NULL__"}}}
    with FakeAPI() as api:
        api.faults.add(Body(f'{{"data":[{",".join(wire)}]}}'.encode()))
        config = tap_config(api, offset_param="", page_size=10_000, **maps)
        run = run_in_process(config, catalog=catalog_with(only=[stream]))
    records = run.expect_success().exact_records(stream)
    assert len(records) == len(cases) > 100
    for (field, value, _), record, expected in zip(cases, records, wanted, strict=True):
        assert as_it_is(record) == exactly(expected), (field.named, value)


@pytest.mark.parametrize(
    ("value", "key"), [("17", "17"), ("34.00", "34.00"), (LONG, LONG), ("true", "true"), ("0", "0")]
)
def test_a_key_is_text(value: str, key: str) -> None:
    assert read_served_records(f'{{"charge_id":{value}}}').expect_success().keys("charges") == [key]


def test_an_item_that_does_not_fit_is_named_by_its_place() -> None:
    run = read_served_field("subscriptions", f'[{{}},{{"amount":"1"}},{{"amount":{MARKED}}}]', stream="customers")
    expect_one_error(run, "key-1", "`subscriptions[2].amount`")


@pytest.mark.parametrize("catalog", ["of a run with text", "of a run with decimals"])
@pytest.mark.parametrize("stream", STREAMS)
def test_amounts_as_text_are_the_same_without_a_format(stream: str, catalog: str) -> None:
    key = STREAMS[stream].key
    fields = [field for field in FIELDS if field.stream == stream and field.kinds == ("money",)]
    cases = [(field, *case) for field in fields for case in FITS["money"]]
    wire = [f'{{"{key}":"key-{number}",{field.wire(value)}}}' for number, (field, value, _) in enumerate(cases)]
    decimal = read_served_records(",".join(wire), stream=stream).expect_success()
    chosen = catalog_with(only=[stream])
    if catalog == "of a run with text":
        for entry in chosen["streams"]:
            entry["schema"] = {}
    with FakeAPI() as api:
        api.faults.add(Body(f'{{"data":[{",".join(wire)}]}}'.encode()))
        text = run_in_process(tap_config(api, amounts="text"), catalog=chosen).expect_success()
    assert len(cases) >= 28
    assert text.exact_records(stream) == decimal.exact_records(stream)
    schemas = [json.dumps(run.schemas[stream]) for run in (decimal, text)]
    assert schemas[0] != schemas[1] == schemas[0].replace('"format": "x-singer.decimal", ', "")


def test_undeclared_fields_that_pass_are_untouched() -> None:
    unknown = (
        f'{{"charge_id":"a","zz_number":{TWENTY},"zz_long":{LONG},"zz_money":34.00,"zz_exponent":1.50E-30,'
        f'"zz_flag":"0","zz_void":"","zz_list":[],"zz_deep":{{"a":[{{"b":-0.10,"c":[[[{LONG}.0]]]}}]}},'
        '"zz_text":"\\u0000 \\\\ \\" \\ud83d\\ude00 é \\u2028"}'
    )
    record = read_served_records(unknown, undeclared=True).expect_success().exact_records("charges")[0]
    assert as_it_is(record) == exactly(unknown)


@pytest.mark.parametrize("digits", [4_000, 50_000])
def test_huge_integers_are_exact(digits: int) -> None:
    number = "-" + "9" * digits
    fields = {"charge_id": '"a"'} | dict.fromkeys(("zz_unknown", "email_last_sent", "amount", "status"), number)
    wire = ",".join(f'"{name}":{value}' for name, value in fields.items())
    (record,) = read_served_records(f"{{{wire}}}", undeclared=True).expect_success().exact_records("charges")
    assert {record[name] for name in fields if name != "charge_id"} == {number}


@pytest.mark.parametrize(
    ("name", "opening", "closing"),
    [
        ("zz_unknown", "[", "]"),
        ("zz_unknown", '{"a":', "}"),
        ("metadata", '{"a":', "}"),
        ("logs", "[", "]"),
        ("status", "[", "]"),
        ("status", '{"a":', "}"),
    ],
)
@pytest.mark.parametrize("way", ["unmodified", "mapped", "batch"])
def test_deep_nesting_is_exact_or_refused(
    name: str, opening: str, closing: str, way: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    catalog = catalog_with(only=["charges"], undeclared=True)
    settings: dict[str, Any] = {"stream_maps": {"charges": {"company": "__NULL__"}}} if way == "mapped" else {}
    if way == "batch":
        root = tmp_path_factory.mktemp("batches").as_uri()
        settings["batch_config"] = {"encoding": {"format": "jsonl"}, "storage": {"root": root}}
    refused = 0
    # Where Python's decoders give up depends on its version: near 1,000, or, from 3.14 on, where the stack ends.
    for depth in (150, 400, 930, 20_000, 300_000):
        value = opening * depth + "0" + closing * depth
        with FakeAPI() as api:
            body = Body(f'{{"data":[{{"charge_id":"key-1","{name}":{value}}}]}}'.encode())
            api.faults.add(body, times=None, when=lambda params: params["offset"] == "0")
            run = run_in_process(tap_config(api, page_overlap=0, **settings), catalog=catalog)
        if run.exit_code:
            refused += 1
            expect_one_error(run, "charges: /v1/charges ", "nested")
        elif way != "batch":
            assert (value if name != "status" else json.dumps(value)).encode() in run.stdout
        assert depth > 150 or not run.exit_code
    assert refused


HALVES = ["cut \\ud83d", "\\udfff", "\\uD83Dx", "\\\\\\ud83d", "\\ude00\\ud83d", "\ud83d"]


@pytest.mark.parametrize("half", HALVES, ids=ascii)
@pytest.mark.parametrize("place", ["a record", "its fields", "a deselected field", "the key", "a key", "a name"])
def test_half_a_surrogate_pair_becomes_a_replacement_character(place: str, half: str) -> None:
    text = json.loads(f'"{half}"').encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert "\ufffd" in text
    record, wanted = {
        "a record": (f'{{"charge_id":"a","status":"{half}"}}', {"charge_id": "a", "status": text}),
        "its fields": (
            f'{{"charge_id":"a","metadata":{{"x":["{half}",1.10]}},"amount":1.10}}',
            {"charge_id": "a", "metadata": {"x": [text, 1.10]}, "amount": "1.10"},
        ),
        "a deselected field": (f'{{"charge_id":"a","company":"{half}"}}', {"charge_id": "a"}),
        "the key": (f'{{"charge_id":"{half}"}}', {"charge_id": text}),
        "a key": (f'{{"charge_id":"a","metadata":{{"{half}":1}}}}', {"charge_id": "a", "metadata": {text: 1}}),
        "a name": (f'{{"charge_id":"a","{half}":1}}', {"charge_id": "a"}),
    }[place]
    catalog = catalog_with(only=["charges"], deselect=["charges.company"])
    with FakeAPI() as api:
        body = f'{{"data":[{record},{{"charge_id":"b","status":"x\\\\ud83d \\ud83d\\ude00"}}]}}'
        api.faults.add(Body(body.encode("utf-8", "surrogatepass")))
        run = run_in_process(tap_config(api), catalog=catalog).expect_success()
    first, second = run.records("charges")[:2]
    assert first == wanted
    assert second == {"charge_id": "b", "status": "x\\ud83d \N{GRINNING FACE}"}
    warnings = run.logged("WARNING", "surrogate")
    # What does not go out is not always decoded.
    assert len(warnings) == 1 or (place == "a deselected field" and not warnings)
    assert all("charges: " in warning and "U+FFFD" in warning for warning in warnings)


def test_half_a_surrogate_pair_is_told_once_a_stream() -> None:
    with FakeAPI() as api:
        for stream in ("charges", "customers"):
            key = STREAMS[stream].key
            records = ",".join(f'{{"{key}":"{number}","description":"\\ud83d"}}' for number in range(3))
            api.faults.add(Body(f'{{"data":[{records}]}}'.encode()), stream=stream)
        run = run_in_process(tap_config(api), catalog=catalog_with(only=["charges", "customers"])).expect_success()
    charges, customers = run.logged("WARNING", "surrogate")
    assert "charges: " in charges
    assert "customers: " in customers


def test_nul_characters_are_exact() -> None:
    record = read_served_records('{"charge_id":"a\\u0000b","status":"\\u0000","metadata":{"\\u0000":"\\u0000"}}')
    assert record.expect_success().records("charges") == [
        {"charge_id": "a\0b", "status": "\0", "metadata": {"\0": "\0"}}
    ]


def test_a_record_of_5_megabytes_is_exact_as_a_process() -> None:
    text = "Größe ✓ " * 500_000
    wire = json.dumps({"data": [{"charge_id": "big", "description": text, "zz": [0.1] * 1_000}]}, ensure_ascii=False)
    with FakeAPI() as api:
        api.faults.add(Body(wire.encode()))
        catalog = catalog_with(only=["charges"], undeclared=True)
        run = run_tap(tap_config(api), catalog=catalog).expect_success()
    assert run.records("charges") == [{"charge_id": "big", "description": text, "zz": [0.1] * 1_000}]


def test_a_value_that_does_not_fit_as_a_process() -> None:
    with FakeAPI() as api:
        api.faults.add(Body(f'{{"data":[{{"charge_id":"key-1","is_paid":{MARKED}}}]}}'.encode()))
        run = run_tap(tap_config(api), catalog=catalog_with(only=["charges"]), env={"TAP_PAYMENTS_LOGLEVEL": "DEBUG"})
    expect_one_error(run, "charges: /v1/charges ", "key-1", "`is_paid`", "boolean")
