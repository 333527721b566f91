"""Records reach the target with their declared types, over HTTP; `tests/unit/test_types.py` tries each type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_api import FakeAPI
from tests.fake_api.faults import Body
from tests.fake_api.providers import STREAMS
from tests.support.in_process import (
    exactly,
    expect_one_error,
    read_served_field,
    read_served_records,
    read_stream,
    run_in_process,
)
from tests.support.states import batch_config
from tests.support.tap_runs import catalog_with, run_tap, tap_config

if TYPE_CHECKING:
    from pathlib import Path

LONG, TWENTY = "123456789012345678901234567890", "0.12345678901234567890"
ARRIVE = {"amount": "34.00", "added_tax": '""', "status": "1e5", "email_last_sent": f'"{LONG}"', "is_paid": '"1"'}
ARRIVE |= {"metadata": "[]", "logs": f'{{"0":{TWENTY}}}', "methods_active": "[1,[]]", "gateway_id": "true"}
GO_OUT = {"amount": '"34.00"', "added_tax": "null", "status": '"1e5"', "email_last_sent": LONG, "is_paid": "true"}
GO_OUT |= {"metadata": "{}", "logs": f"[{TWENTY}]", "methods_active": '["1","[]"]', "gateway_id": '"true"'}

# Has the SDK write the records.
MAPPED = {"stream_maps": {"charges": {"company": "__NULL__"}}}


def record(fields: dict[str, str], key: str = '"key-1"') -> str:
    """Return a charge, given its fields as JSON."""
    return "{" + ",".join(f'"{name}":{value}' for name, value in ({"charge_id": key} | fields).items()) + "}"


def sent(run: Any) -> list[Any]:
    """Return the records of a run with the digits of their numbers."""
    messages = [exactly(line) for line in run.expect_success().stdout.splitlines()]
    return [message["record"] for message in messages if message["type"] == "RECORD"]


@pytest.mark.parametrize("settings", [{}, {"amounts": "text"}], ids=["decimal", "text"])
@pytest.mark.parametrize("maps", [{}, MAPPED], ids=["unmodified path", "the SDK's path"])
def test_what_arrives_in_another_form_is_made_to_fit(maps: dict[str, Any], settings: dict[str, str]) -> None:
    # What the decoder refuses at first it coerces from then on.
    wire = ",".join([record(ARRIVE)] * 3 + [record(GO_OUT)])
    assert sent(read_served_records(wire, **maps, **settings)) == [exactly(record(GO_OUT))] * 4


@pytest.mark.parametrize("key", ["17", "34.00", LONG, "true", "0"])
def test_a_key_is_text(key: str) -> None:
    assert read_served_records(record({}, key)).expect_success().keys("charges") == [key]


def test_an_item_that_does_not_fit_is_named_by_its_place() -> None:
    run = read_served_field("subscriptions", '[{},{"amount":"1"},{"amount":"x"}]', stream="customers")
    expect_one_error(run, "key-1", "`subscriptions[2].amount`")


def test_undeclared_fields_that_pass_are_untouched() -> None:
    unknown = (
        f'{{"charge_id":"a","zz_number":{TWENTY},"zz_long":{LONG},"zz_money":34.00,"zz_exponent":1.50E-30,'
        f'"zz_flag":"0","zz_void":"","zz_list":[],"zz_deep":{{"a":[{{"b":-0.10,"c":[[[{LONG}.0]]]}}]}},'
        '"zz_text":"\\u0000 \\\\ \\" \\ud83d\\ude00 é \\u2028"}'
    )
    assert sent(read_served_records(unknown, undeclared=True)) == [exactly(unknown)]


@pytest.mark.parametrize("digits", [4_000, 50_000])
def test_huge_integers_are_exact(digits: int) -> None:
    number, names = "-" + "9" * digits, ("zz_unknown", "email_last_sent", "amount", "status")
    run = read_served_records(record(dict.fromkeys(names, number)), undeclared=True).expect_success()
    (found,) = run.exact_records("charges")
    assert {found[name] for name in names} == {number}


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
def test_deep_nesting_is_exact_or_refused(name: str, opening: str, closing: str, way: str, tmp_path: Path) -> None:
    ways: dict[str, Any] = {"unmodified": {}, "mapped": MAPPED, "batch": {"batch_config": batch_config(tmp_path)}}
    refused = 0
    # Where Python's decoders give up depends on its version: near 1,000, or, from 3.14 on, where the stack ends.
    for depth in (150, 400, 930, 20_000, 300_000):
        value = opening * depth + "0" + closing * depth
        with FakeAPI() as api:
            body = Body(f'{{"data":[{{"charge_id":"key-1","{name}":{value}}}]}}'.encode())
            api.faults.add(body, times=None, when=lambda params: params["offset"] == "0")
            run = read_stream(api, undeclared=True, page_overlap=0, **ways[way])
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
    broken, wanted = {
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
    whole = '{"charge_id":"b","status":"x\\\\ud83d \\ud83d\\ude00"}'
    run = read_served_records(f"{broken},{whole}", catalog=catalog).expect_success()
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
