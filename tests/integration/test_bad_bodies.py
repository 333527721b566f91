"""A 200 whose body is not a page of records: never an empty success, never a record without its key."""

from __future__ import annotations

import json

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import Body, DropMidBody, Fault, Truncate
from tests.fake_api.providers import STREAMS
from tests.support.in_process import BODY_MARKER, expect_one_error, read_served_records, read_stream
from tests.support.tap_runs import catalog_with, run_tap, tap_config

HTML = f"<!doctype html><html><body>Sign in, {BODY_MARKER}</body></html>".encode()

BROKEN = {
    "html": HTML,
    "empty": b"",
    "blank": b" \r\n\t ",
    "cut short": f'{{"data":[{{"charge_id":"a","name":"{BODY_MARKER}"}},{{"char'.encode(),
    "cut before the end": f'{{"data":[{{"charge_id":"a","name":"{BODY_MARKER}"}}]'.encode(),
    "two documents": f'{{"data":[]}}{{"data":["{BODY_MARKER}"]}}'.encode(),
    "text after the end": f'{{"data":[]}} {BODY_MARKER}'.encode(),
    "NaN cut short": f'{{"data":[{{"charge_id":"a","amount":NaN,"name":"{BODY_MARKER}"}}'.encode(),
    "another bare word": f'{{"data":[{{"charge_id":"a","amount":nan,"name":"{BODY_MARKER}"}}]}}'.encode(),
    "single quotes": f"{{'data':[],'x':'{BODY_MARKER}'}}".encode(),
    "a raw control character": b'{"data":[{"charge_id":"a\x01"}]}',
    "a PHP warning before it": f"<b>Warning</b>: {BODY_MARKER} in /srv/x.php\n".encode() + b'{"data":[]}',
    "brackets that never close": b'{"data":[' + b"[" * 100_000,
}

WRONG = {
    "no data": f'{{"list":["{BODY_MARKER}"]}}',
    "nothing in it": "{}",
    "data is null": f'{{"data":null,"x":"{BODY_MARKER}"}}',
    "data is an object": f'{{"data":{{"0":{{"KEY":"{BODY_MARKER}"}}}}}}',
    "data is an empty object": '{"data":{}}',
    "data is text": f'{{"data":"{BODY_MARKER}"}}',
    "data is false": '{"data":false}',
    "an error with status 200": f'{{"error":{{"message":"{BODY_MARKER}"}}}}',
    "a list": f'[{{"KEY":"{BODY_MARKER}"}}]',
    "an empty list": "[]",
    "null": "null",
    "text": f'"{BODY_MARKER}"',
    "a number": "17",
    "true": "true",
    "a record that is null": '{"data":[{"KEY":"a"},null]}',
    "a record that is text": f'{{"data":[{{"KEY":"a"}},"{BODY_MARKER}"]}}',
    "a record that is a number": '{"data":[{"KEY":"a"},1]}',
    "a record that is a list": f'{{"data":[{{"KEY":"a"}},[{{"KEY":"{BODY_MARKER}"}}]]}}',
    "a record without its key": f'{{"data":[{{"KEY":"a"}},{{"name":"{BODY_MARKER}"}}]}}',
    "a record that is empty": '{"data":[{"KEY":"a"},{}]}',
    "a record whose key is null": f'{{"data":[{{"KEY":"a"}},{{"KEY":null,"name":"{BODY_MARKER}"}}]}}',
    "a record that is NaN": '{"data":[{"KEY":"a"},NaN]}',
    "data is NaN": '{"data":NaN}',
    "NaN": "NaN",
    "a record whose key is empty": f'{{"data":[{{"KEY":"a"}},{{"KEY":"","name":"{BODY_MARKER}"}}]}}',
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_body_that_is_no_json_is_retried_and_then_reported(body: bytes) -> None:
    with FakeAPI() as api:
        api.faults.add(Body(body), times=None)
        run = read_stream(api, "charges")
    expect_one_error(run, "charges", "/v1/charges", "200", "4 times in a row", "check `base_url`")
    assert run.records("charges") == []
    assert len(api.requests) == 4


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_json_of_another_shape_fails_at_once(body: str) -> None:
    with FakeAPI() as api:
        api.faults.add(Body(body.replace("KEY", "charge_id").encode()), times=None)
        run = read_stream(api, "charges")
    expect_one_error(run, "charges", "/v1/charges", "200", "check `base_url`")
    assert set(run.keys("charges")) <= {"a"}, "only what stands before the fault may go out"
    assert len(api.requests) == 1


@pytest.mark.parametrize("rest", [b"\xff\xfe", b"\xc3", b"\\q", b"\\u12", b"\x01", b"\n"], ids=repr)
def test_bytes_that_are_no_json_inside_a_record_are_asked_for_again(rest: bytes) -> None:
    page = (
        b'{"data":[{"charge_id":"a"},{"charge_id":"b","description":"'
        + BODY_MARKER.encode()
        + rest
        + b'"},{"charge_id":"c"}]}'
    )
    with FakeAPI() as api:
        api.faults.add(Body(page), times=None)
        run = read_stream(api, "charges")
    expect_one_error(run, "charges: /v1/charges ", "4 times in a row")
    assert len(api.requests) == 4
    assert run.keys("charges") == []


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("case", ["data is null", "a record without its key", "a record whose key is null"])
def test_every_stream_requires_its_own_key(stream: str, case: str) -> None:
    with FakeAPI() as api:
        api.faults.add(Body(WRONG[case].replace("KEY", STREAMS[stream].key).encode()), times=None)
        run = read_stream(api, stream)
    expect_one_error(run, f"{stream}: /v1/{stream} ")
    assert run.records(stream) == []


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("case", ["html", "data is null", "nothing in it", "a record without its key"])
def test_a_bad_page_in_the_middle_ends_the_run_behind_the_good_ones(case: str, concurrency: int) -> None:
    body = BROKEN[case] if case in BROKEN else WRONG[case].replace("KEY", "charge_id").encode()
    with FakeAPI(make_account(charges=30)) as api:
        api.faults.add(Body(body), times=None, when=lambda params: params["offset"] == "20")
        run = read_stream(api, "charges", page_size=10, page_overlap=0, concurrency=concurrency)
        expect_one_error(run, "charges: /v1/charges ")
        assert run.keys("charges") == api.account.keys("charges")[:20]


@pytest.mark.parametrize("fault", [Body(HTML), Body(b""), Truncate(), DropMidBody()], ids=lambda fault: str(fault.kind))
def test_a_broken_body_that_passes_loses_nothing(fault: Fault) -> None:
    with FakeAPI(make_account(charges=30)) as api:
        api.faults.add(fault, times=3, when=lambda params: params["offset"] == "10")
        run = read_stream(api, "charges", page_size=10, page_overlap=0)
        run.expect_success()
        assert run.keys("charges") == api.account.keys("charges")
        assert len(api.requests) == 4 + 3


def test_a_byte_order_mark_changes_nothing() -> None:
    run = read_served_records('{"charge_id":"a","amount":"34.00"}')
    page = '\ufeff{"data":[{"charge_id":"a","amount":"34.00"}]}'.encode()
    with FakeAPI() as api:
        api.faults.add(Body(page))
        marked = read_stream(api, "charges").expect_success()
    assert marked.records("charges") == run.records("charges") == [{"charge_id": "a", "amount": "34.00"}]


@pytest.mark.parametrize("content_type", ["text/html", "text/plain; charset=latin-1", ""])
def test_the_content_type_is_not_believed(content_type: str) -> None:
    record = {"charge_id": "Ünïcödé-✓", "amount": "34.00"}
    with FakeAPI() as api:
        api.faults.add(Body(json.dumps({"data": [record]}, ensure_ascii=False).encode(), content_type))
        assert read_stream(api, "charges").expect_success().records("charges") == [record]


def test_a_key_that_would_break_the_line_does_not() -> None:
    run = read_served_records('{"charge_id":"a\\n2026-01-01 | ERROR | b\\u001b[31m","is_paid":"maybe"}')
    expect_one_error(run, "charges", "`is_paid`")


def test_as_a_process() -> None:
    with FakeAPI() as api:
        api.faults.add(Body(WRONG["a record without its key"].replace("KEY", "charge_id").encode()), times=None)
        run = run_tap(tap_config(api), catalog=catalog_with(only=["charges"]), env={"TAP_PAYMENTS_LOGLEVEL": "DEBUG"})
    expect_one_error(run, "charges: /v1/charges answered 200, but")
    assert run.records("charges") == []
    assert BODY_MARKER not in json.dumps(run.messages)
