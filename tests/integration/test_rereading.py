"""Older records are read again night after night, over real HTTP; `tests/unit/test_spans.py` lets accounts live.

A night later is a STATE whose last re-reading was planned a day earlier: nothing else of it depends on the clock.
"""

from __future__ import annotations

import copy
import time

import pytest

from tests.fake_api import FakeAPI
from tests.fake_api.faults import Status
from tests.support.in_process import InProcessRun, run_in_process
from tests.support.records import DAY, evenly_spaced, minimal_records
from tests.support.states import part_of
from tests.support.tap_runs import JSON, TapRun, catalog_with, tap_config

# Newest record of each account, so that it is within the look-back of every run.
NEWEST = int(time.time()) - 5 * DAY
OLDEST = NEWEST - 3 * 365 * DAY
RECORDS = 1_500
TIMES = evenly_spaced(RECORDS, OLDEST, NEWEST)
LOOKBACK = TIMES[-1] - 30 * DAY
REREAD_DAYS = 5
CATALOG = catalog_with(only=["charges"], incremental=["charges"])


def account(provider: str) -> FakeAPI:
    return FakeAPI({"charges": minimal_records("charges", TIMES)}, provider=provider)


def later(state: JSON | None, *, days: float = 1) -> JSON:
    """Return a STATE as it will look some days later."""
    state = copy.deepcopy(state) or {}
    part_of(state)["reread_time"] -= int(days * DAY)
    return state


def read(api: FakeAPI, state: JSON | None = None, **settings: object) -> InProcessRun:
    config = tap_config(api, **{"reread_days": REREAD_DAYS, **settings})
    return run_in_process(config, catalog=CATALOG, state=state)


def older(run: TapRun) -> list[int]:
    """Return the times of the charges that a run sent and that are older than the look-back."""
    return [moment for record in run.records("charges") if (moment := int(record["occurred"])) < LOOKBACK]


@pytest.mark.parametrize("provider", ["chargedesk", "generic"])
def test_all_that_is_older_is_read_in_even_parts_and_the_bookmark_stays(provider: str) -> None:
    with account(provider) as api:
        begun = int(time.time())
        first = read(api).expect_success()
        assert begun <= part_of(first.state)["reread_time"] <= time.time()
        assert part_of(first.state)["oldest"] == OLDEST
        assert part_of(first.state)["reread_position"] is None
        # A first run reads nothing again.
        assert first.keys("charges") == api.account.keys("charges")
        assert f"charges: {RECORDS} records, {len(api.requests)} requests" in first.lines[-1]
        state = first.state
        times: list[int] = []
        for night in range(REREAD_DAYS):
            api.requests.clear()
            before = later(state)
            run = read(api, before).expect_success()
            state = run.state
            part = older(run)
            assert len(part) == pytest.approx(RECORDS / REREAD_DAYS, rel=0.05)
            # The oldest ones come first, and again at the end of the round.
            assert night in {0, REREAD_DAYS - 1} or min(part) >= max(times)
            times += part
            assert set(run.bookmarks("charges")) == {first.bookmark("charges")}
            assert provider != "chargedesk" or len(api.requests) < 12
            counts = f"{len(run.keys('charges'))} records, {len(part)} of them re-read, {len(api.requests)} requests"
            assert f"charges: {counts}" in run.lines[-1]
            if provider == "chargedesk" and night < 2:
                begin, end = (part_of(one)["reread_position"] for one in (before, state))
                # What the night owes is in its first STATE; each page takes its part off.
                assert part_of(run.states[1])["unread"] == [[LOOKBACK, None], [begin, end]]
                assert {part_of(one)["reread_position"] for one in run.states[1:]} == {end}
                bounds = [
                    [request.params.get(f"occurred[{one}]") for one in ("min", "max")] for request in api.requests
                ]
                # Filters are a second wider, since they may leave their ends out.
                look_back = [str(LOOKBACK - 1), None]
                assert bounds[0] == look_back
                again = [bound for bound in bounds if bound != look_back]
                assert {since for since, _ in again} == {None if begin is None else str(begin - 1)}
                assert max(int(until or 0) for _, until in again) == end + 1
        assert set(times) == set(older(first))


def test_a_run_that_fails_while_it_reads_again_owes_the_rest() -> None:
    with account("chargedesk") as api:
        state = later(read(api).expect_success().state, days=REREAD_DAYS)
        api.faults.add(Status(403), after=2)
        failed = read(api, state).expect_failure("charges", "403")
        # All is owed now, and nothing more: the time and the position have moved on.
        ((since, until),) = part_of(failed.state)["unread"]
        assert since is None
        assert OLDEST < until < NEWEST - 365 * DAY
        assert set(failed.bookmarks("charges")) == {part_of(state)["replication_key_value"]}
        rest = read(api, failed.state).expect_success()
    assert set(older(failed)) | set(older(rest)) == {moment for moment in TIMES if moment < LOOKBACK}
    assert len(older(rest)) < 0.7 * RECORDS
