"""No answer is believed that contradicts itself: what an API says of its list speaks against an end, never for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.fake_api import FakeAPI
from tests.fake_api.faults import Body
from tests.support.in_process import read_stream
from tests.support.records import evenly_spaced, minimal_records
from tests.support.tap_runs import JSON, catalog_with

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fake_api.log import LoggedRequest

NOON_2024 = 1_717_243_200


def charges(count: int = 2_000) -> dict[str, list[JSON]]:
    return {"charges": minimal_records("charges", evenly_spaced(count, NOON_2024, NOON_2024 + 900_000))}


@pytest.mark.parametrize("total", [1, "1000"])
@pytest.mark.parametrize("provider", ["generic", "chargedesk"])
def test_a_total_that_is_too_small_ends_no_list_and_deletes_nothing(total: object, provider: str) -> None:
    with FakeAPI(charges(), provider=provider) as api:
        api.rewrite = lambda body, _params: body | {"total_count": total if body["data"] else 0}
        run = read_stream(api, concurrency=4, emit_activate_version_messages=True).expect_success()
        assert set(run.keys("charges")) == set(api.account.keys("charges"))
    assert [message["type"] for message in run.messages].count("ACTIVATE_VERSION") == 1


CONTRADICTIONS: dict[str, tuple[JSON, str]] = {
    "total": ({"data": [], "total_count": 2_000}, "`total_count` is 2000"),
    "total with a fraction": ({"data": [], "total_count": 2_000.0}, "`total_count` is 2000"),
    "total as text": ({"data": [], "total_count": " 2000.0 "}, "`total_count` is 2000"),
    "has_more": ({"data": [], "has_more": True}, "`has_more` is true"),
    "error": ({"data": [], "error": {"message": "shard 3 timed out"}}, "`error` beside `data`"),
}


@pytest.mark.parametrize("pages", [0, 1])
@pytest.mark.parametrize("provider", ["generic", "chargedesk"])
@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_an_empty_page_that_is_contradicted_is_asked_for_again_and_ends_no_list(
    what: str, provider: str, pages: int
) -> None:
    body, words = CONTRADICTIONS[what]
    fault = Body(msgspec.json.encode(body), kind=what)
    settings: JSON = {"emit_activate_version_messages": True}
    if provider == "chargedesk":
        settings = {"catalog": catalog_with(only=["charges"], incremental=["charges"]), "start_date": "2024-01-01"}
    with FakeAPI(charges(), provider=provider) as api:
        api.faults.add(fault, times=3, after=pages)
        run = read_stream(api, **settings).expect_success()
        assert run.keys("charges") == api.account.keys("charges")
        assert len(run.logged("WARNING", "trying again")) == 3
        api.faults.thrown.clear()
        api.faults.add(fault, times=None, after=pages)
        run = read_stream(api, **settings).expect_failure("charges", "/v1/charges", words, "4 times in a row")
    assert api.faults.thrown == {what: 4}
    assert "shard 3" not in run.stderr
    assert not [message for message in run.messages if message["type"] == "ACTIVATE_VERSION"]
    assert run.bookmark("charges") is None


def test_totals_that_are_inexact_can_be_set_aside() -> None:
    with FakeAPI(charges()) as api:
        api.rewrite = lambda body, _params: body | {"total_count": 2_100}
        read_stream(api).expect_failure("`total_count` is 2100", "check_total")
        run = read_stream(api, check_total=False).expect_success()
        assert run.keys("charges") == api.account.keys("charges")


@pytest.mark.parametrize("error", [None, False, "", []])
def test_an_empty_error_is_no_contradiction(error: object) -> None:
    with FakeAPI(charges(7)) as api:
        api.rewrite = lambda body, _params: body | {"error": error}
        assert len(read_stream(api).expect_success().keys("charges")) == 7


# APIs that page in another way, or not at all.


@pytest.mark.parametrize(("length", "provider"), [(0, "generic"), (499, "chargedesk")])
def test_an_api_without_paging_is_read_in_one_page(length: int, provider: str) -> None:
    with FakeAPI(charges(length), provider=provider, ignore_offset=True) as api:
        run = read_stream(api, offset_param="").expect_success()
        assert run.keys("charges") == api.account.keys("charges")
    (request,) = api.requests
    assert not {"offset", ""} & request.params.keys()


def test_a_single_page_that_is_full_or_announces_more_is_refused() -> None:
    with FakeAPI(charges(20), ignore_offset=True) as api:
        read_stream(api, offset_param="", page_size=20).expect_failure("`offset_param` is empty", "20 records is full")
        api.rewrite = lambda body, _params: body | {"total_count": 21}
        read_stream(api, offset_param="").expect_failure("`offset_param` is empty", "`total_count` is 21")
        read_stream(api, offset_param="", check_total=False).expect_success()
        api.rewrite = lambda body, _params: body | {"has_more": "1"}
        read_stream(api, offset_param="").expect_failure("`offset_param` is empty", "`has_more` is true")


HABITS: dict[str, tuple[Callable[[int], int], JSON, list[str]]] = {
    "rounded": (lambda offset: offset // 500 * 500, {"concurrency": 8}, ["offset_param", "page_overlap: 0"]),
    "ignored": (lambda _: 0, {"concurrency": 4}, ["ignores the offset", "same 500 records", 'set it to ""']),
    "limited": (lambda offset: min(offset, 990), {"page_size": 99}, ["ignores the offset"]),
    "pages": (lambda page: min(page * 500, 50_000), {"offset_param": "page"}, ["do not fit together", "offset_param"]),
}


@pytest.mark.parametrize(("meaning", "settings", "words"), HABITS.values(), ids=HABITS)
def test_offsets_that_mean_something_else_end_the_run(
    meaning: Callable[[int], int], settings: JSON, words: list[str]
) -> None:
    def change_offset(_api: FakeAPI, _request: LoggedRequest, params: dict[str, str]) -> None:
        params["offset"] = str(meaning(int(params.pop(settings.get("offset_param", "offset")))))

    with FakeAPI(charges()) as api:
        api.before_each(change_offset)
        read_stream(api, **settings).expect_failure("charges", *words)
    assert len(api.requests) <= 250
