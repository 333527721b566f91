"""The rate limiter spaces requests, whichever thread sends them, and pauses all of them on demand."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_payments.api.rate_limiter import INTERVAL_MARGIN, RateLimiter
from tap_payments.errors import StoppedError
from tests.support.examples import tried


class Clock:
    """A clock that moves only when a test moves it."""

    now = 1_000.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move, instead of waiting."""
        self.now += seconds

    def limiter(self, requests_per_minute: float) -> RateLimiter:
        """Return a limiter that waits on this clock."""
        return RateLimiter(requests_per_minute, threading.Event(), clock=self, sleep=self.sleep)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@tried(60)
@given(st.lists(st.one_of(st.just(0.0), st.floats(0, 3)), min_size=130, max_size=130))
def test_no_minute_has_more_requests_than_allowed(clock: Clock, busy: list[float]) -> None:
    """Whatever the run does between them, which takes up to so many seconds each."""
    pace, times = clock.limiter(60), []
    for seconds in busy:
        pace.acquire()
        times.append(clock.now)
        clock.now += seconds
    assert all(later - earlier > 60 for earlier, later in zip(times, times[60:], strict=False))


def test_a_run_that_only_waits_for_its_pace_uses_it_up(clock: Clock) -> None:
    pace, begun = clock.limiter(60), clock.now
    waited = sum(pace.acquire() for _ in range(101))
    assert clock.now - begun == pytest.approx(100 * INTERVAL_MARGIN)
    assert waited == pytest.approx(clock.now - begun)


def test_requests_of_all_threads_are_spaced() -> None:
    pace, begun, times = RateLimiter(3_000, threading.Event()), time.monotonic(), []

    def send(_: int) -> None:
        pace.acquire()
        times.append(time.monotonic() - begun)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(16)))
    # None comes before its turn; a slow machine may make it later.
    interval = 60 / 3_000 * INTERVAL_MARGIN
    assert all(sent >= interval * number - 0.001 for number, sent in enumerate(sorted(times)))


def test_without_a_limit_nobody_waits(clock: Clock) -> None:
    pace = RateLimiter(None, threading.Event(), clock=clock)
    pace.pause(0)
    assert sum(pace.acquire() for _ in range(500)) == 0


def test_time_that_nobody_used_is_not_made_up_for(clock: Clock) -> None:
    pace = clock.limiter(600)
    pace.acquire()
    clock.now += 100
    assert [pace.acquire() for _ in range(3)] == pytest.approx([0, 0.1 * INTERVAL_MARGIN, 0.1 * INTERVAL_MARGIN])


def test_a_pause_applies_to_a_request_that_waits_already_and_those_after_it_keep_the_pace(clock: Clock) -> None:
    def pause_and_sleep(seconds: float) -> None:
        """Pause all requests when one waits for the first time."""
        if clock.now < 1_000.1:
            pace.pause(30)
        clock.sleep(seconds)

    pace = RateLimiter(600, threading.Event(), clock=clock, sleep=pause_and_sleep)
    interval = 0.1 * INTERVAL_MARGIN
    assert [pace.acquire() for _ in range(4)] == pytest.approx([0, 30, interval, interval])


def test_a_pause_is_not_shortened_by_a_shorter_one(clock: Clock) -> None:
    pace = clock.limiter(600)
    pace.pause(30)
    pace.pause(1)
    assert [pace.acquire(), pace.acquire()] == pytest.approx([30, 0.1 * INTERVAL_MARGIN])


@pytest.mark.parametrize("wait", ["pace", "hold", "backoff"])
def test_a_stop_ends_every_wait(wait: str) -> None:
    stop = threading.Event()
    pace = RateLimiter(1, stop)
    if wait == "pace":
        pace.acquire()
    elif wait == "hold":
        pace.pause(100)
    threading.Timer(0.1, stop.set).start()
    # A wait that ends by itself raises nothing.
    with pytest.raises(StoppedError):
        pace.wait(100) if wait == "backoff" else pace.acquire()
