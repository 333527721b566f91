"""No answer is believed that contradicts itself: what an API says of its list speaks against an end, never for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.fake_api import FakeAPI
from tests.fake_api.faults import Body
from tests.support.records import evenly_spaced, minimal_records
from tests.support.tap_runs import JSON, TapRun, catalog_with, run_tap, tap_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fake_api.log import LoggedRequest

NOON_2024 = 1_717_243_200


def charges(count: int = 2_000) -> dict[str, list[JSON]]:
    return {"charges": minimal_records("charges", evenly_spaced(count, NOON_2024, NOON_2024 + 900_000))}


def read(api: FakeAPI, *, incremental: bool = False, **settings: object) -> TapRun:
    catalog = catalog_with(only=["charges"], incremental=["charges"] if incremental else [])
    return run_tap(tap_config(api, **settings), catalog=catalog)


@pytest.mark.parametrize("total", [0, 1, 500, 1_000, 1_999, "1000"])
@pytest.mark.parametrize("incremental", [False, True])
@pytest.mark.parametrize("provider", ["generic", "chargedesk"])
def test_a_total_that_is_too_small_ends_no_list(total: object, incremental: bool, provider: str) -> None:  # noqa: FBT001
    with FakeAPI(charges(), provider=provider) as api:
        # A window without a record would be contradicted by any total but 0.
        api.rewrite = lambda body, _params: body | {"total_count": total if body["data"] else 0}
        run = read(api, incremental=incremental, concurrency=4).expect_success()
        assert set(run.keys("charges")) == set(api.account.keys("charges"))


def test_a_total_that_is_too_small_deletes_nothing() -> None:
    with FakeAPI(charges(), provider="chargedesk") as api:
        api.rewrite = lambda body, _params: body | {"total_count": len(body["data"])}
        run = read(api, emit_activate_version_messages=True).expect_success()
    assert len(set(run.keys("charges"))) == 2_000
    assert [message["type"] for message in run.messages].count("ACTIVATE_VERSION") == 1


CONTRADICTIONS: dict[str, tuple[JSON, str]] = {
    "total": ({"data": [], "total_count": 2_000}, "`total_count` is 2000"),
    "has_more": ({"data": [], "has_more": True}, "`has_more` is true"),
    "error": ({"data": [], "error": {"message": "shard 3 timed out"}}, "`error` beside `data`"),
}


@pytest.mark.parametrize("offset", ["0", "500"])
@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_an_empty_page_that_is_contradicted_is_asked_for_again(what: str, offset: str) -> None:
    with FakeAPI(charges()) as api:
        fault = Body(msgspec.json.encode(CONTRADICTIONS[what][0]), kind=what)
        api.faults.add(fault, times=3, when=lambda params: params["offset"] == offset)
        run = read(api, page_overlap=0).expect_success()
        assert run.keys("charges") == api.account.keys("charges")
    assert api.faults.thrown == {what: 3}
    assert len(run.logged("WARNING", "trying again")) == 3


@pytest.mark.parametrize("settings", [{"page_overlap": 0}, {"emit_activate_version_messages": True}])
@pytest.mark.parametrize("offset", ["0", "500"])
@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_a_contradiction_that_stays_ends_the_run(what: str, offset: str, settings: dict[str, Any]) -> None:
    body, words = CONTRADICTIONS[what]
    with FakeAPI(charges()) as api:
        # With an overlap the second page begins two records earlier.
        offsets = {offset, "498"} if offset == "500" else {offset}
        fault = Body(msgspec.json.encode(body), kind=what)
        api.faults.add(fault, times=None, when=lambda params: params["offset"] in offsets)
        run = read(api, **settings)
    run.expect_failure("charges", "/v1/charges", words, "4 times in a row")
    assert api.faults.thrown == {what: 4}
    assert "shard 3" not in run.stderr
    assert not [message for message in run.messages if message["type"] == "ACTIVATE_VERSION"]


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_no_bookmark_passes_a_page_that_is_contradicted(what: str) -> None:
    body, words = CONTRADICTIONS[what]
    with FakeAPI(charges(), provider="chargedesk") as api:
        fault = Body(msgspec.json.encode(body), kind=what)
        api.faults.add(fault, times=None, when=lambda params: "occurred[min]" in params)
        run = read(api, incremental=True, start_date="2024-01-01")
    run.expect_failure("charges", words)
    assert run.bookmark("charges") is None


def test_totals_that_are_inexact_can_be_set_aside() -> None:
    with FakeAPI(charges()) as api:
        api.rewrite = lambda body, _params: body | {"total_count": 2_100}
        read(api).expect_failure("`total_count` is 2100", "check_total")
        run = read(api, check_total=False).expect_success()
        assert run.keys("charges") == api.account.keys("charges")


@pytest.mark.parametrize("error", [None, False, "", []])
def test_an_empty_error_is_no_contradiction(error: object) -> None:
    with FakeAPI(charges(700)) as api:
        api.rewrite = lambda body, _params: body | {"error": error}
        assert len(read(api).expect_success().keys("charges")) == 700


# APIs that page in another way, or not at all.


@pytest.mark.parametrize(
    ("length", "settings"),
    [
        *((length, {"page_overlap": 0}) for length in (10, 20, 25, 50, 75, 100)),
        *((500, {"page_overlap": overlap, "concurrency": count}) for overlap in (0, 1) for count in (1, 4)),
    ],
)
def test_the_first_page_of_an_api_that_pages_in_another_way_is_not_the_list(
    length: int, settings: dict[str, Any]
) -> None:
    with FakeAPI(charges(), ignore_offset=True, page_cap=length) as api:
        run = read(api, **settings)
    run.expect_failure("charges", "/v1/charges", "ignores the offset", f"same {length} records", 'set it to ""')
    assert run.keys("charges") == api.account.keys("charges")[:length]
    assert len(api.requests) <= 3 + settings.get("concurrency", 1)


def test_a_total_that_is_larger_than_the_only_page_of_an_api_without_offset_ends_the_run() -> None:
    with FakeAPI(charges(130), ignore_offset=True, page_cap=99, total_count=True) as api:
        read(api, page_overlap=0).expect_failure("charges", "ignores the offset", "99 records")


@pytest.mark.parametrize("provider", ["generic", "chargedesk"])
@pytest.mark.parametrize("length", [0, 2, 20, 100, 499])
def test_an_api_without_paging_is_read_in_one_page(length: int, provider: str) -> None:
    with FakeAPI(charges(length), provider=provider, ignore_offset=True) as api:
        run = read(api, offset_param="").expect_success()
        assert run.keys("charges") == api.account.keys("charges")
    (request,) = api.requests
    assert "offset" not in request.params
    assert "" not in request.params


def test_a_single_page_that_is_full_or_announces_more_is_refused() -> None:
    with FakeAPI(charges(20), ignore_offset=True) as api:
        read(api, offset_param="", page_size=20).expect_failure("`offset_param` is empty", "20 records is full")
        api.rewrite = lambda body, _params: body | {"total_count": 21}
        read(api, offset_param="").expect_failure("`offset_param` is empty", "`total_count` is 21")
        read(api, offset_param="", check_total=False).expect_success()
        api.rewrite = lambda body, _params: body | {"has_more": "1"}
        read(api, offset_param="").expect_failure("`offset_param` is empty", "`has_more` is true")


# Lists whose pages do not fit together.


def _round_offset(_api: FakeAPI, _request: LoggedRequest, params: dict[str, str]) -> None:
    params["offset"] = str(int(params["offset"]) // 500 * 500)


def _hide_beyond_700(_api: FakeAPI, _request: LoggedRequest, params: dict[str, str]) -> None:
    if int(params["offset"]) > 700:
        params["offset"] = "40000"


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("habit", [_round_offset, _hide_beyond_700])
def test_pages_that_do_not_fit_together_end_the_run(habit: Callable[..., None], concurrency: int) -> None:
    with FakeAPI(charges()) as api:
        api.before_each(habit)
        run = read(api, concurrency=concurrency, page_overlap=1)
    run.expect_failure("charges", "offset_param", "page_overlap: 0")
    assert len(api.requests) <= 120 + 8 * concurrency


@pytest.mark.parametrize("habit", [_round_offset, _hide_beyond_700])
def test_a_list_that_the_api_can_filter_is_read_by_anchors_where_pages_do_not_fit(habit: Callable[..., None]) -> None:
    with FakeAPI(charges(), provider="chargedesk") as api:
        api.before_each(habit)
        run = read(api)
        if run.exit_code == 0:
            assert set(run.keys("charges")) == set(api.account.keys("charges"))
        else:
            run.expect_failure("charges", "offset_param")


def test_an_offset_parameter_that_means_pages_ends_the_run() -> None:
    with FakeAPI(charges(), provider="generic") as api:

        def count_pages(_api: FakeAPI, _request: LoggedRequest, params: dict[str, str]) -> None:
            params["offset"] = str(min(int(params.pop("page")) * 500, 50_000))

        api.before_each(count_pages)
        read(api, offset_param="page", page_overlap=1).expect_failure("charges", "do not fit together", "offset_param")
    assert len(api.requests) <= 250
