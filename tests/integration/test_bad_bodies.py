"""A 200 whose body is not a page of records: never an empty success, never a record without its key."""

from __future__ import annotations

import json

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import Body
from tests.fake_api.providers import STREAMS
from tests.support.in_process import BODY_MARKER, expect_one_error, read_served_records, read_stream

HTML = f"<!doctype html><html><body>Sign in, {BODY_MARKER}</body></html>".encode()

BROKEN = {
    "html": HTML,
    "empty": b"",
    "cut short": f'{{"data":[{{"charge_id":"a","name":"{BODY_MARKER}"}},{{"char'.encode(),
    "two documents": f'{{"data":[]}}{{"data":["{BODY_MARKER}"]}}'.encode(),
    "text after the end": f'{{"data":[]}} {BODY_MARKER}'.encode(),
    "NaN cut short": f'{{"data":[{{"charge_id":"a","amount":NaN,"name":"{BODY_MARKER}"}}'.encode(),
    "another bare word": f'{{"data":[{{"charge_id":"a","amount":nan,"name":"{BODY_MARKER}"}}]}}'.encode(),
    "single quotes": f"{{'data':[],'x':'{BODY_MARKER}'}}".encode(),
    "a PHP warning before it": f"<b>Warning</b>: {BODY_MARKER} in /srv/x.php\n".encode() + b'{"data":[]}',
    "brackets that never close": b'{"data":[' + b"[" * 100_000,
    **{
        f"{rest!r} in a text": b'{"data":[{"charge_id":"a"},{"charge_id":"b","description":"%b%b"}]}'
        % (BODY_MARKER.encode(), rest)
        for rest in (b"\xff\xfe", b"\xc3", b"\\q", b"\\u12", b"\x01", b"\n")
    },
}

WRONG = {
    "no data": f'{{"list":["{BODY_MARKER}"]}}',
    "nothing in it": "{}",
    "data is null": f'{{"data":null,"x":"{BODY_MARKER}"}}',
    "data is an object": f'{{"data":{{"0":{{"KEY":"{BODY_MARKER}"}}}}}}',
    "data is text": f'{{"data":"{BODY_MARKER}"}}',
    "an error with status 200": f'{{"error":{{"message":"{BODY_MARKER}"}}}}',
    "a list": f'[{{"KEY":"{BODY_MARKER}"}}]',
    "null": "null",
    "a number": "17",
    "a record that is null": '{"data":[{"KEY":"a"},null]}',
    "a record that is a list": f'{{"data":[{{"KEY":"a"}},[{{"KEY":"{BODY_MARKER}"}}]]}}',
    "a record without its key": f'{{"data":[{{"KEY":"a"}},{{"name":"{BODY_MARKER}"}}]}}',
    "a record whose key is null": f'{{"data":[{{"KEY":"a"}},{{"KEY":null,"name":"{BODY_MARKER}"}}]}}',
    "a record that is NaN": '{"data":[{"KEY":"a"},NaN]}',
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


@pytest.mark.parametrize(
    ("stream", "body"),
    [("charges", body) for body in WRONG.values()]
    + [(stream, WRONG["a record without its key"]) for stream in STREAMS],
)
def test_json_of_another_shape_fails_at_once(stream: str, body: str) -> None:
    with FakeAPI() as api:
        api.faults.add(Body(body.replace("KEY", STREAMS[stream].key).encode()), times=None)
        run = read_stream(api, stream)
    expect_one_error(run, f"{stream}: /v1/{stream} ", "200", "check `base_url`")
    assert set(run.keys(stream)) <= {"a"}, "only what stands before the fault may go out"
    assert len(api.requests) == 1


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("case", ["html", "data is null", "a record without its key"])
def test_a_bad_page_in_the_middle_ends_the_run_behind_the_good_ones(case: str, concurrency: int) -> None:
    body = BROKEN[case] if case in BROKEN else WRONG[case].replace("KEY", "charge_id").encode()
    with FakeAPI(make_account(charges=30)) as api:
        api.faults.add(Body(body), times=None, when=lambda params: params["offset"] == "20")
        run = read_stream(api, "charges", page_size=10, page_overlap=0, concurrency=concurrency)
        expect_one_error(run, "charges: /v1/charges ")
        assert run.keys("charges") == api.account.keys("charges")[:20]


@pytest.mark.parametrize("content_type", ["text/html", "text/plain; charset=latin-1", ""])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=ascii)
def test_neither_content_type_nor_byte_order_mark_changes_anything(content_type: str, mark: str) -> None:
    record = {"charge_id": "Ünïcödé-✓", "amount": "34.00"}
    with FakeAPI() as api:
        api.faults.add(Body((mark + json.dumps({"data": [record]}, ensure_ascii=False)).encode(), content_type))
        assert read_stream(api, "charges").expect_success().records("charges") == [record]


def test_a_key_that_would_break_the_line_does_not() -> None:
    run = read_served_records('{"charge_id":"a\\n2026-01-01 | ERROR | b\\u001b[31m","is_paid":"maybe"}')
    expect_one_error(run, "charges", "`is_paid`")
