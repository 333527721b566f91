"""Requests that fail in a way that may pass are sent again; what is tried over HTTP is in `test_retries.py`."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tap_payments.api.fetcher import PageFetcher
from tap_payments.api.rate_limiter import RateLimiter
from tap_payments.errors import ContradictionError, StreamError, TransientError
from tap_payments.output.progress import StreamProgress
from tap_payments.tap import TapPayments
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONFIG = {"base_url": "https://localhost/", "username": "user", "concurrency": 2, "max_retries": 2, "backoff_factor": 0}
RATE = TransientError("answered 429", retry_after=7, pauses_all=True)
BUSY = TransientError("answered 503", advice="run again later")


class Api:
    """Pages that are their token times ten, except where a token is to fail, once for each failure."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failures: dict[int, list[TransientError]] = {}
        self.requests: list[int] = []
        self.counts = StreamProgress("charges")
        self.pauses: list[float] = []
        self.waits: list[float] = []
        monkeypatch.setattr(RateLimiter, "wait", lambda _, seconds: self.waits.append(seconds))
        monkeypatch.setattr(RateLimiter, "pause", lambda _, seconds: self.pauses.append(seconds))

    def request(self, token: int) -> int:
        """Return a page or fail."""
        self.requests.append(token)
        if failures := self.failures.get(token):
            raise failures.pop(0)
        return token * 10


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    return Api(monkeypatch)


@pytest.fixture
def fetcher(api: Api) -> Iterator[PageFetcher[int, int]]:
    fetcher = PageFetcher(
        api.request,
        name="charges:",
        settings=TapPayments(config=CONFIG).settings,
        limiter=RateLimiter(None, threading.Event()),
        logger=logging.getLogger("tap-payments"),
        on_request=api.counts.count_request,
        on_retry=api.counts.count_retry,
    )
    with closing(fetcher):
        yield fetcher


def refuse(times: int) -> Callable[[int], None]:
    """Return a check that refuses so many pages."""
    left = [ContradictionError("it contradicts itself", "report it")] * times

    def check(_: int) -> None:
        if left:
            raise left.pop()

    return check


accept = refuse(0)


def test_failures_and_contradictions_are_counted_together_for_each_page(
    api: Api, fetcher: PageFetcher[int, int]
) -> None:
    api.failures[1] = [BUSY]
    assert fetcher.fetch(1, refuse(1)) == 10
    assert (api.requests, api.counts.retries, api.waits) == ([1] * 3, 2, [0, 0])
    api.failures[2] = [BUSY]
    with pytest.raises(StreamError, match="charges: answered 200, but it contradicts itself, 3 times in a row: report"):
        fetcher.fetch(2, refuse(2))
    assert len(api.requests) == 6


def test_a_guess_that_is_told_to_wait_pauses_all_requests_at_once(api: Api, fetcher: PageFetcher[int, int]) -> None:
    api.failures[2] = [RATE]
    fetcher.schedule([1, 2])
    wait_until(lambda: api.pauses == [7])
    assert fetcher.fetch(1, accept) == 10
    assert fetcher.fetch(2, accept) == 20
    assert api.pauses == [7, 0], "its second try waits for no more than that"
    assert (api.waits, api.counts.retries) == ([], 1)


def test_a_guess_that_is_told_to_wait_for_hours_fails_at_its_turn_and_pauses_nothing(
    api: Api, fetcher: PageFetcher[int, int]
) -> None:
    api.failures[2] = [TransientError("answered 429", retry_after=9_000, pauses_all=True)]
    fetcher.schedule([1, 2])
    wait_until(lambda: sorted(api.requests) == [1, 2])
    assert fetcher.fetch(1, accept) == 10
    with pytest.raises(StreamError, match="asks to wait 9000 s: run again after"):
        fetcher.fetch(2, accept)
    assert not api.pauses
    assert sorted(api.requests) == [1, 2]
