"""Records reach the target with their declared types, over HTTP; `tests/unit/test_types.py` tries each type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.in_process import exactly, expect_one_error, read_served_field, read_served_records
from tests.support.states import batch_config
from tests.support.tap_runs import catalog_with

if TYPE_CHECKING:
    from pathlib import Path

LONG, TWENTY = "123456789012345678901234567890", "0.12345678901234567890"
ARRIVE = {"amount": "34.00", "added_tax": '""', "status": "1e5", "email_last_sent": f'"{LONG}"', "is_paid": '"1"'}
ARRIVE |= {"metadata": "[]", "logs": f'{{"0":{TWENTY}}}', "methods_active": "[1,[]]", "gateway_id": "true"}
GO_OUT = {"amount": '"34.00"', "added_tax": "null", "status": '"1e5"', "email_last_sent": LONG, "is_paid": "true"}
GO_OUT |= {"metadata": "{}", "logs": f"[{TWENTY}]", "methods_active": '["1","[]"]', "gateway_id": '"true"'}

# Has the SDK write the records.
MAPPED = {"stream_maps": {"charges": {"company": "__NULL__"}}}
PATHS = pytest.mark.parametrize("maps", [{}, MAPPED], ids=["unmodified path", "the SDK's path"])


def record(fields: dict[str, str], key: str = '"key-1"') -> str:
    """Return a charge, given its fields as JSON."""
    return "{" + ",".join(f'"{name}":{value}' for name, value in ({"charge_id": key} | fields).items()) + "}"


def sent(run: Any) -> list[Any]:
    """Return the records of a run with the digits of their numbers."""
    messages = [exactly(line) for line in run.expect_success().stdout.splitlines()]
    return [message["record"] for message in messages if message["type"] == "RECORD"]


@PATHS
def test_what_arrives_in_another_form_is_made_to_fit(maps: dict[str, Any]) -> None:
    # What the decoder refuses at first it coerces from then on.
    served = ",".join([record(ARRIVE)] * 3 + [record(GO_OUT)])
    assert sent(read_served_records(served, **maps)) == [exactly(record(GO_OUT))] * 4


@pytest.mark.parametrize("key", ["34.00", LONG, "true"])
def test_a_key_is_text(key: str) -> None:
    assert read_served_records(record({}, key)).expect_success().keys("charges") == [key]


def test_an_item_that_does_not_fit_is_named_by_its_index() -> None:
    run = read_served_field("subscriptions", '[{},{"amount":"1"},{"amount":"x"}]', stream="customers")
    expect_one_error(run, "key-1", "`subscriptions[2].amount`")


@PATHS
def test_undeclared_fields_that_pass_are_untouched_and_no_number_is_too_long(maps: dict[str, Any]) -> None:
    huge = "-" + "9" * 50_000
    text = (
        f'{{"charge_id":"a","zz_number":{TWENTY},"zz_huge":{huge},"zz_money":34.00,"zz_exponent":1.50E-30,'
        f'"zz_flag":"0","zz_void":"","zz_list":[],"zz_deep":{{"a":[{{"b":-0.10,"c":[[[{LONG}.0]]]}}]}},'
        f'"zz_text":"\\u0000 \\\\ \\" \\ud83d\\ude00 é \\u2028","zz_beyond_a_float":[1E+400,{"9" * 400}.5],'
        f'"email_last_sent":{huge},"amount":"{huge}","status":"{huge}"}}'
    )
    served = text.replace(f'"{huge}"', huge)
    assert sent(read_served_records(served, undeclared=True, **maps)) == [exactly(text)]


@pytest.mark.parametrize(
    ("name", "opening", "closing"),
    [("zz_unknown", "[", "]"), ("metadata", '{"a":', "}"), ("status", "[", "]")],
)
@pytest.mark.parametrize("way", ["unmodified", "mapped", "batch"])
def test_deep_nesting_is_exact_or_refused(name: str, opening: str, closing: str, way: str, tmp_path: Path) -> None:
    ways: dict[str, Any] = {"unmodified": {}, "mapped": MAPPED, "batch": {"batch_config": batch_config(tmp_path)}}
    refused = 0
    # Where Python's decoders give up depends on its version: near 1,000, or, from 3.14 on, where the stack ends.
    for depth in (150, 930, 300_000):
        value = opening * depth + "0" + closing * depth
        run = read_served_field(name, value, undeclared=True, max_retries=0, **ways[way])
        if run.exit_code:
            refused += 1
            expect_one_error(run, "charges: /v1/charges ", "nested")
        elif way != "batch":
            assert (value if name != "status" else json.dumps(value)).encode() in run.stdout
        assert depth > 150 or not run.exit_code
    assert refused


HALVES = {
    "a record": ("cut \\ud83d", '{"charge_id":"a","status":"HALF"}'),
    "its fields": ("\\udfff", '{"charge_id":"a","metadata":{"x":["HALF",1.10]}}'),
    "a deselected field": ("\\uD83Dx", '{"charge_id":"a","company":"HALF"}'),
    "the key": ("\\\\\\ud83d", '{"charge_id":"HALF"}'),
    "a key": ("\\ude00\\ud83d", '{"charge_id":"a","metadata":{"HALF":1}}'),
    "a name": ("\ud83d", '{"charge_id":"a","HALF":1}'),
}


@pytest.mark.parametrize("case", HALVES)
def test_half_a_surrogate_pair_becomes_a_replacement_character(case: str) -> None:
    half, template = HALVES[case]
    text = json.loads(f'"{half}"').encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert "\ufffd" in text
    broken, whole = template.replace("HALF", half), '{"charge_id":"b","status":"x\\\\ud83d \\ud83d\\ude00"}'
    catalog = catalog_with(only=["charges"], deselect=["charges.company"])
    run = read_served_records(f"{broken},{whole},{broken}", catalog=catalog).expect_success()
    record = json.loads(template.replace("HALF", json.dumps(text)[1:-1]))
    wanted = {name: record[name] for name in ("charge_id", "status", "metadata") if name in record}
    assert run.records("charges") == [wanted, {"charge_id": "b", "status": "x\\ud83d \N{GRINNING FACE}"}, wanted]
    warnings = run.logged("WARNING", "surrogate")
    # What does not go out is not always decoded.
    assert len(warnings) == 1 or (case == "a deselected field" and not warnings)
    assert all("charges: " in warning and "U+FFFD" in warning for warning in warnings)
