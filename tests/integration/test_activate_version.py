"""ACTIVATE_VERSION deletes what the target has beside what was sent: only a list that was read to its end sends one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.support.in_process import run_in_process
from tests.support.records import minimal_records
from tests.support.states import batch_config
from tests.support.tap_runs import JSON, TapRun, catalog_with, tap_config

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

STREAMS = ("charges", "customers", "products")


def activated(run: TapRun) -> list[str]:
    """Return the streams whose table was activated, in order."""
    return [message["stream"] for message in run.messages if message["type"] == "ACTIVATE_VERSION"]


def read(api: FakeAPI, only: Iterable[str] = STREAMS, incremental: Iterable[str] = (), **settings: Any) -> TapRun:
    config = tap_config(api, **{"page_size": 10, "emit_activate_version_messages": True, **settings})
    return run_in_process(config, catalog=catalog_with(only=only, incremental=incremental)).expect_success()


@pytest.mark.parametrize(
    "maps", [None, {"charges": {"amount": "__NULL__"}}], ids=["unmodified", "each record by itself"]
)
def test_an_empty_list_is_no_command_to_delete_everything(maps: JSON | None) -> None:
    with FakeAPI(make_account(charges=25, products=10)) as api:
        run = read(api, stream_maps=maps)
    assert activated(run) == ["charges", "products"]
    (warning,) = run.logged("WARNING")
    assert "customers: the list is empty" in warning
    assert "ACTIVATE_VERSION" in warning
    for stream in ("charges", "products"):
        kinds = [message["type"] for message in run.messages if message.get("stream") == stream]
        assert kinds[-2:] == ["RECORD", "ACTIVATE_VERSION"]
    assert run.messages[-1]["type"] == "STATE"


@pytest.mark.parametrize(
    "settings",
    [{"incremental": STREAMS[:2], "only": STREAMS[:2]}, {"emit_activate_version_messages": None}],
    ids=["incremental", "without the setting"],
)
def test_an_empty_list_that_activates_nothing_is_as_good_as_any(settings: JSON) -> None:
    with FakeAPI(make_account(charges=5)) as api:
        run = read(api, **settings)
    assert not activated(run)
    assert not run.logged("WARNING", "ACTIVATE_VERSION")
    assert not run.logged("the list is empty")


NONE = "charge_id == 'lost'"
COPY = {"__source__": "charges", "__else__": None, "charge_id": "charge_id"}
MAPS: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "none": ({"charges": {"__filter__": NONE}}, {"charges": 0}),
    "one": ({"charges": {"__filter__": "charge_id == 'r0'"}}, {"charges": 1}),
    "none under another name": ({"charges": {"__alias__": "payments", "__filter__": NONE}}, {"payments": 0}),
    "all under another name": ({"charges": {"__alias__": "payments"}}, {"payments": 6}),
    "none, and a copy": ({"charges": {"__filter__": NONE}, "copy": COPY}, {"charges": 0, "copy": 6}),
    "all, and a copy of none": ({"copy": {**COPY, "__filter__": NONE}}, {"charges": 6, "copy": 0}),
    "a copy alone": ({"__else__": None, "copy": COPY}, {"copy": 6}),
    "a copy of none alone": ({"charges": None, "copy": {**COPY, "__filter__": NONE}}, {"copy": 0}),
    "nothing": ({"__else__": None}, {}),
}


@pytest.mark.parametrize("flattened", [False, True])
@pytest.mark.parametrize(("maps", "sent"), MAPS.values(), ids=MAPS)
def test_what_counts_is_what_was_sent_by_each_name(
    maps: dict[str, Any], sent: dict[str, int], *, flattened: bool
) -> None:
    with FakeAPI({"charges": minimal_records("charges", range(6))}) as api:
        run = read(api, ["charges"], stream_maps=maps, flattening_enabled=flattened, flattening_max_depth=1)
    assert {name: len(run.records(name)) for name in sent} == sent
    assert activated(run) == [name for name, count in sent.items() if count]
    warnings = run.logged("WARNING", "ACTIVATE_VERSION")
    assert len(warnings) == list(sent.values()).count(0)
    (summary,) = run.logged("Run complete")
    for name, count in sent.items():
        assert count or any(f"`{name}`" in line and "6 records" in line and "__filter__" in line for line in warnings)
        noun = "record" if count == 1 else "records"
        assert f"{count} {noun}{'' if name == 'charges' else f' as {name}'}" in summary
    if sent == {"charges": 0}:
        assert "charges: 0 records (6 read)" in summary


def test_batches_are_counted_by_each_name(tmp_path: Path) -> None:
    maps = {"charges": {"__filter__": NONE}, "copy": COPY}
    with FakeAPI(make_account(charges=6)) as api:
        settings = {"stream_maps": maps, "batch_config": batch_config(tmp_path)}
        run = read(api, ["charges"], emit_activate_version_messages=None, **settings)
    assert [message["stream"] for message in run.messages if message["type"] == "BATCH"] == ["copy"]
    assert run.logged("Run complete", "charges: 0 records, 6 records as copy (6 read)")


def test_a_list_that_may_have_a_gap_activates_nothing() -> None:
    with FakeAPI({"charges": minimal_records("charges", [1_700_000_000] * 25)}) as api:
        run = read(api, ["charges"])
    assert run.logged("WARNING", "charges", "some may be missed")
    assert len(run.records("charges")) == 25
    assert not activated(run)
    assert run.logged("WARNING", "charges", "ACTIVATE_VERSION", "may be missing")
