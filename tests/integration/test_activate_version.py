"""ACTIVATE_VERSION deletes what the target has beside what was sent: only a list that was read to its end sends one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import Status
from tests.support.tap_runs import TapRun, catalog_with, run_tap, tap_config

STREAMS = ("charges", "customers", "products")


def read(api: FakeAPI, **catalog: Any) -> TapRun:
    config = tap_config(api, page_overlap=1, page_size=10, emit_activate_version_messages=True)
    return run_tap(config, catalog=catalog_with(only=STREAMS, **catalog))


def activated(run: TapRun) -> list[str]:
    """Return the streams whose table was activated, in order."""
    return [message["stream"] for message in run.messages if message["type"] == "ACTIVATE_VERSION"]


@pytest.mark.parametrize(
    "deselect", [(), ("charges.amount", "customers.name")], ids=["unmodified", "each record by itself"]
)
def test_an_empty_list_is_no_command_to_delete_everything(deselect: tuple[str, ...]) -> None:
    with FakeAPI(make_account(charges=25, products=10)) as api:
        run = read(api, deselect=deselect).expect_success()
        assert activated(run) == ["charges", "products"]
        (warning,) = run.logged("WARNING")
        assert "customers: the list is empty" in warning
        assert "ACTIVATE_VERSION" in warning
        for stream in ("charges", "products"):
            kinds = [message["type"] for message in run.messages if message.get("stream") == stream]
            assert kinds[-2:] == ["RECORD", "ACTIVATE_VERSION"]
        assert run.messages[-1]["type"] == "STATE"


def test_a_list_that_was_not_read_to_its_end_activates_nothing() -> None:
    with FakeAPI(make_account(charges=25, customers=3)) as api:
        api.faults.add(Status(403), when=lambda params: params["offset"] != "0")
        run = read(api).expect_failure("charges", "403")
    assert run.records("charges")
    assert not activated(run)


def test_incremental_streams_activate_nothing_and_log_no_empty_list() -> None:
    with FakeAPI(make_account(charges=5)) as api:
        run = read(api, incremental=("charges", "customers")).expect_success()
    assert not activated(run)
    assert [line for line in run.logged("the list is empty") if "products" not in line] == []


def test_without_the_setting_an_empty_list_is_as_good_as_any() -> None:
    with FakeAPI(make_account(charges=5)) as api:
        run = run_tap(tap_config(api), catalog=catalog_with(only=STREAMS)).expect_success()
    assert not activated(run)
    assert not run.logged("WARNING")
