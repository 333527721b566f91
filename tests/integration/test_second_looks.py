"""Pages that look like the end of a list and are not: of varying length, or suddenly empty."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import msgspec
import pytest
from typing_extensions import override

from tests.fake_api import FakeAPI
from tests.fake_api.account import Listing, Page, Window
from tests.support.in_process import run_in_process
from tests.support.records import evenly_spaced, minimal_records
from tests.support.tap_runs import JSON, catalog_with, tap_config

if TYPE_CHECKING:
    from tests.fake_api.log import LoggedRequest

NOON_2024 = 1_717_243_200


def charges(count: int = 2_000) -> dict[str, list[JSON]]:
    return {"charges": minimal_records("charges", evenly_spaced(count, NOON_2024, NOON_2024 + 900_000))}


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_page_that_is_read_again_is_no_end_though_it_is_shorter_than_the_first(concurrency: int) -> None:
    with FakeAPI(charges(), provider="chargedesk") as api:
        gone = api.account.keys("charges")[:3]

        def delete_at_the_top(running: FakeAPI, _request: LoggedRequest, params: dict[str, str]) -> None:
            if int(params["offset"]) > 700 and gone:
                while gone:
                    running.account.delete("charges", gone.pop())

        def first_page_is_longer(body: JSON, params: dict[str, str]) -> JSON:
            return body | {"data": body["data"][: 250 if params["offset"] == "0" else 100]}

        api.before_each(delete_at_the_top)
        api.rewrite = first_page_is_longer
        run = run_in_process(tap_config(api, concurrency=concurrency), catalog=catalog_with(only=["charges"]))
        assert set(api.account.keys("charges")) <= set(run.expect_success().keys("charges"))


@pytest.mark.parametrize("lasts", [2, None])
def test_an_empty_answer_at_the_top_is_no_end_once_records_came(lasts: int | None) -> None:
    with FakeAPI(charges(), provider="chargedesk") as api:
        answered = [0]

        def vanish(body: JSON, _params: dict[str, str]) -> JSON:
            answered[0] += 1
            return {"data": []} if answered[0] > 1 and (lasts is None or answered[0] <= lasts + 1) else body

        api.rewrite = vanish
        config = tap_config(api, emit_activate_version_messages=True)
        run = run_in_process(config, catalog=catalog_with(only=["charges"]))
        if lasts is None:
            run.expect_failure("charges", "is empty after records of it came")
            assert not [message for message in run.messages if message["type"] == "ACTIVATE_VERSION"]
        else:
            assert set(run.expect_success().keys("charges")) == set(api.account.keys("charges"))


@pytest.mark.parametrize("total", [2000.0, "2000.0", " 2000 "])
def test_totals_in_odd_forms_speak_against_an_end(total: object) -> None:
    with FakeAPI(charges()) as api:
        api.rewrite = lambda body, params: {"data": [], "total_count": total} if params["offset"] == "500" else body
        run_in_process(tap_config(api, page_overlap=0), catalog=catalog_with(only=["charges"])).expect_failure(
            "`total_count` is 2000"
        )


def test_a_key_that_is_an_object_is_not_in_the_log() -> None:
    with FakeAPI() as api:
        api.rewrite = lambda _body, _params: {"data": [{"charge_id": {"name": "John Doe"}, "amount": "x"}]}
        run = run_in_process(tap_config(api), catalog=catalog_with(only=["charges"])).expect_failure(
            "sent record (an object)", "`amount`"
        )
    assert "John" not in run.stderr


def test_an_offset_that_stops_growing_is_not_the_whole_list() -> None:
    with FakeAPI(charges(), page_cap=99) as api:

        def clamp(_running: FakeAPI, _request: LoggedRequest, params: dict[str, str]) -> None:
            params["offset"] = str(min(int(params["offset"]), 990))

        api.before_each(clamp)
        run_in_process(tap_config(api), catalog=catalog_with(only=["charges"])).expect_failure("ignores the offset")


class Shuffled(Listing):
    """A list whose records of one second come in another order at each request."""

    asked = 0

    @override
    def page(self, window: Window, offset: int, size: int, *, ascending: bool = False) -> Page:
        self.asked += 1
        draw = Random(self.asked)
        rows = sorted(self.records(), key=lambda row: (-int(row["first_seen"]), draw.random()))
        return Page([msgspec.json.encode(row) for row in rows[offset : offset + size]], len(rows))


@pytest.mark.parametrize("fraction", [0.0, 0.1])
def test_ties_are_safe_with_and_without_fractions_of_a_second(fraction: float) -> None:
    times = [NOON_2024 + number // 7 + (number % 7) * fraction for number in range(1_500)]
    with FakeAPI(provider="chargedesk") as api:
        api.account.listings["customers"] = Shuffled("customers", minimal_records("customers", times))
        run = run_in_process(tap_config(api, page_size=53), catalog=catalog_with(only=["customers"])).expect_success()
        assert set(run.keys("customers")) == set(api.account.keys("customers"))
