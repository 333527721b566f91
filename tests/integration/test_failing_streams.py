"""A stream that fails does not stop the others; what all streams share ends the run at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tap_payments import errors
from tap_payments.streams import ChargesStream
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import Body, Status
from tests.fake_api.providers import STREAMS
from tests.support.in_process import run_in_process
from tests.support.records import minimal_records
from tests.support.states import batch_config, records_of
from tests.support.tap_runs import catalog_with, tap_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INVALID = b'{"data":[{"charge_id":"c1","occurred":1700000000,"amount":"12,50 EUR"}]}'
FAULTS = {
    "403": (Status(403), errors.ADVICE[403]),
    "500": (Status(500), errors.SERVER_ADVICE),
    "an invalid value": (Body(INVALID), errors.VALUE_ADVICE),
    "another body": (Body(b'{"data": 5}'), errors.BODY_ADVICE),
    "429 for an hour": (Status(429, {"Retry-After": "3600"}), "run again after"),
}
NAMES = sorted(STREAMS)


@pytest.fixture
def api() -> Iterator[FakeAPI]:
    """An API with a few records in each list."""
    with FakeAPI(make_account(**{**dict.fromkeys(STREAMS, 6), "charges": 25})) as api:
        yield api


@pytest.mark.parametrize("batch", [False, True], ids=["records", "batches"])
@pytest.mark.parametrize(("stream", "kind"), [*(("charges", kind) for kind in FAULTS), ("subscriptions", "500")])
def test_a_stream_that_fails_does_not_stop_the_others(
    stream: str, kind: str, api: FakeAPI, tmp_path: Path, *, batch: bool
) -> None:
    fault, words = FAULTS[kind]
    api.faults.add(fault, times=None, stream=stream)
    settings = {"batch_config": batch_config(tmp_path)} if batch else {}
    run = run_in_process(tap_config(api, max_retries=1, **settings))
    run.expect_failure(f"| {stream}: ", words)
    assert run.failed == [stream]
    for name, facts in STREAMS.items():
        messages = [message for message in run.messages if message.get("stream") == name]
        keys = [record[facts.key] for message in messages for record in records_of(message)]
        assert keys == ([] if name == stream else api.account.keys(name))
    (cause,) = run.errors[:-1]
    begun = [line for line in run.lines[run.lines.index(cause) :] if "Beginning sync of" in line]
    assert len(begun) == len(NAMES) - 1 - NAMES.index(stream), "the line stands where it happened"
    complete = [name for name in NAMES if run.logged("Run complete", f"{name}: ")]
    assert complete == [name for name in NAMES if name != stream]


@pytest.mark.parametrize("arguments", [[], ["--test"]])
def test_every_stream_that_failed_is_named(api: FakeAPI, arguments: list[str]) -> None:
    api.faults.add(Status(403), times=None, stream="charges")
    api.faults.add(Status(404), times=None, stream="products")
    run = run_in_process(tap_config(api), *arguments)
    run.expect_failure("charges", "403").expect_failure("products", "404")
    assert run.failed == ["charges", "products"]
    assert run.keys("subscriptions") == api.account.keys("subscriptions")[: 1 if arguments else None]


def test_the_state_of_a_stream_that_fails_stays_true(api: FakeAPI) -> None:
    catalog = catalog_with(incremental=["charges", "customers"])
    before = run_in_process(tap_config(api), catalog=catalog).expect_success().state
    assert before is not None
    api.faults.add(Status(403), times=None, stream="charges")
    run = run_in_process(tap_config(api), catalog=catalog, state=before).expect_failure("charges", "403")
    assert run.state is not None
    # Null counts as missing in a state that is read.
    known = {key: value for key, value in before["bookmarks"]["charges"].items() if value is not None}
    assert run.state["bookmarks"]["charges"] == known
    assert run.bookmark("customers") is not None
    # Many targets forget their STATE at each RECORD.
    assert run.messages[-1]["type"] == "STATE"


def test_records_before_a_failure_are_followed_by_a_state_and_activate_nothing(api: FakeAPI) -> None:
    config = tap_config(api, page_size=4, emit_activate_version_messages=True)
    api.faults.add(Status(403), when=lambda params: params["offset"] != "0", stream="subscriptions")
    # With a STATE that does not change, the SDK would write none.
    state = {"bookmarks": {name: {"replication_key_value": 1_700_000_000} for name in NAMES}}
    run = run_in_process(config, state=state).expect_failure("subscriptions", "403")
    assert len(run.records("subscriptions")) == 4
    assert run.messages[-1]["type"] == "STATE"
    activated = [message["stream"] for message in run.messages if message["type"] == "ACTIVATE_VERSION"]
    assert activated == NAMES[:-1]


def test_an_error_that_nobody_thought_of_fails_its_stream_alone(api: FakeAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    def request(*_: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(ChargesStream, "_request_page", request)
    run = run_in_process(tap_config(api)).expect_failure("| charges: internal error: KeyError")
    assert "secret" not in run.stderr
    assert run.keys("customers") == api.account.keys("customers")


@pytest.mark.parametrize("stream", ["charges", "customers"])
def test_refused_credentials_end_the_run_at_once(stream: str, api: FakeAPI) -> None:
    api.faults.add(Status(401), times=None, stream=stream)
    run = run_in_process(tap_config(api)).expect_failure(f"{stream}: /v1/{stream}", errors.ADVICE[401])
    assert not run.failed
    assert not api.requests_for("products")


def test_a_possible_gap_is_logged_though_the_stream_fails_later() -> None:
    with FakeAPI({"products": minimal_records("products", [1_700_000_009] * 8 + [1_700_000_000] * 8)}) as api:
        api.faults.add(Status(403), when=lambda params: int(params["offset"]) > 8, times=None)
        run = run_in_process(tap_config(api, page_size=4), catalog=catalog_with(only=["products"]))
    run.expect_failure("products", "403")
    assert run.logged("WARNING", "products", "fill a page")
