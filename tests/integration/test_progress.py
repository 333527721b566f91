"""Long work shows itself: a line now and then for the stream under way, whatever it waits for, and one at the end."""

from __future__ import annotations

import re

import pytest

from tap_payments.client import PaymentsStream
from tap_payments.output import progress
from tap_payments.tap import TapPayments
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import Hang, Status
from tests.fake_api.providers import STREAMS
from tests.support.in_process import run_in_process
from tests.support.tap_runs import catalog_with, tap_config


@pytest.mark.parametrize("incremental", [False, True])
@pytest.mark.parametrize("provider", ["generic", "chargedesk"])
def test_only_the_total_of_a_whole_list_sets_the_share_done(provider: str, *, incremental: bool) -> None:
    with FakeAPI(make_account(charges=30), provider=provider, total_count=True) as api:
        catalog = catalog_with(only=["charges"], incremental=["charges"] if incremental else [])
        tap = TapPayments(config=tap_config(api, page_size=10), catalog=catalog)
        stream = tap.streams["charges"]
        assert isinstance(stream, PaymentsStream)
        for _ in stream.chunks():
            pass
        tap.sync_context.progress.close()
    # The total of a span says nothing of the others.
    assert stream._counts.total == (None if incremental else 30)  # noqa: SLF001 - what the line of progress is made of


def test_a_run_shows_that_it_waits_for_the_api_in_lines_of_the_stream_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.05)
    with FakeAPI(make_account(charges=12, customers=30)) as api:
        api.faults.add(Hang(0.5), stream="customers", after=1)
        run = run_in_process(tap_config(api, page_size=10), catalog=catalog_with(only=["charges", "customers"]))
    waiting = run.stderr.partition("Beginning sync of 'customers'")[2].partition("Run complete")[0]
    assert len(re.findall(r"customers: \d+ records, 2 requests, reached \d{4}-", waiting)) > 1
    assert "charges: " not in waiting


def test_the_summary_is_a_line_for_each_stream() -> None:
    with FakeAPI(make_account(charges=12, customers=3)) as api:
        api.faults.add(Status(503), stream="customers")
        run = run_in_process(tap_config(api)).expect_success()
    lines = {name: f"{name}: 0 records, 1 request" for name in STREAMS}
    lines["charges"] = "charges: 12 records, 2 requests"
    lines["customers"] = "customers: 3 records, 3 requests, 1 retry"
    last = run.lines[-len(STREAMS) :]
    assert [line.partition("Run complete. ")[2].partition(", 0.")[0] for line in last] == list(lines.values())
    assert not any(message["type"] not in {"SCHEMA", "RECORD", "STATE"} for message in run.messages)
