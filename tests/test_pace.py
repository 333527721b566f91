"""Requests keep the pace that is allowed, whoever sends them and why."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_payments.api.rate_limiter import INTERVAL_MARGIN, RateLimiter
from tap_payments.errors import StoppedError
from tests.lists import plain
from tests.sandbox import Sandbox
from tests.sandbox.faults import Drop, Status
from tests.tapping import run_tap, tap_config


class Clock(threading.Event):
    """A clock that stands still unless somebody waits, and the event that they wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def monotonic(self) -> float:
        """Give the time in seconds."""
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        """Let the time pass."""
        self.now += timeout or 0.0
        return self.is_set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Sends:
    """What threads that keep a pace do, and when."""

    def __init__(self, pace: RateLimiter, *, threads: int, each: int) -> None:
        self.times: list[float] = []
        workers = [threading.Thread(target=self._work, args=(pace, each)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _work(self, pace: RateLimiter, each: int) -> None:
        for _ in range(each):
            pace.acquire()
            self.times.append(time.monotonic())


@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.one_of(st.just(0.0), st.floats(0, 3)), min_size=130, max_size=130))
def test_no_minute_has_more_requests_than_allowed(clock: Clock, busy: list[float]) -> None:
    """Whatever the run does between them, which takes up to so many seconds each."""
    pace, times = RateLimiter(60, clock, clock=clock.monotonic), []
    for seconds in busy:
        pace.acquire()
        times.append(clock.now)
        clock.now += seconds
    assert all(later - earlier > 60 for earlier, later in zip(times, times[60:], strict=False))


def test_a_run_that_only_waits_for_its_pace_uses_it_up(clock: Clock) -> None:
    pace, begun = RateLimiter(60, clock, clock=clock.monotonic), clock.now
    waited = sum(pace.acquire() for _ in range(101))
    assert clock.now - begun == pytest.approx(100 * INTERVAL_MARGIN)
    assert waited == pytest.approx(clock.now - begun)


def test_requests_of_all_threads_are_spaced() -> None:
    pace = RateLimiter(3_000, threading.Event())
    begun = time.monotonic()
    times = sorted(Sends(pace, threads=4, each=8).times)
    interval = 60 / 3_000 * INTERVAL_MARGIN
    # None comes before its turn; a slow machine may make it later.
    assert all(sent - begun >= interval * number - 0.001 for number, sent in enumerate(times))


def test_without_a_limit_nobody_waits() -> None:
    pace = RateLimiter(None, threading.Event())
    Sends(pace, threads=4, each=500)
    pace.pause(0)
    begun = time.monotonic()
    pace.acquire()
    assert time.monotonic() - begun < 1


def test_time_that_nobody_used_is_not_made_up_for(clock: Clock) -> None:
    pace = RateLimiter(600, clock, clock=clock.monotonic)
    pace.acquire()
    clock.now += 100
    assert [pace.acquire() for _ in range(3)] == pytest.approx([0, 0.1 * INTERVAL_MARGIN, 0.1 * INTERVAL_MARGIN])


def test_a_hold_holds_all_those_that_wait_already() -> None:
    pace = RateLimiter(1_200, threading.Event())
    pace.acquire()
    begun = time.monotonic()
    timer = threading.Timer(0.01, pace.pause, args=(0.4,))
    timer.start()
    times = Sends(pace, threads=3, each=1).times
    timer.join()
    assert min(times) - begun >= 0.4


def test_a_hold_is_not_shortened_by_a_shorter_one(clock: Clock) -> None:
    pace = RateLimiter(600, clock, clock=clock.monotonic)
    pace.pause(30)
    pace.pause(1)
    assert pace.acquire() == pytest.approx(30)
    assert pace.acquire() == pytest.approx(0.1 * INTERVAL_MARGIN)


def test_those_held_go_on_at_the_pace_not_all_at_once() -> None:
    pace = RateLimiter(600, threading.Event())
    pace.acquire()
    timer = threading.Timer(0.01, pace.pause, args=(0.7,))
    timer.start()
    times = sorted(Sends(pace, threads=4, each=1).times)
    timer.join()
    assert times[-1] - times[0] >= 3 * 0.1


@pytest.mark.parametrize("wait", ["pace", "hold", "backoff"])
def test_a_stop_ends_every_wait_within_a_second(wait: str) -> None:
    stop = threading.Event()
    pace = RateLimiter(1, stop)
    if wait == "pace":
        pace.acquire()
    elif wait == "hold":
        pace.pause(100)
    threading.Timer(0.1, stop.set).start()
    begun = time.monotonic()
    with pytest.raises(StoppedError):
        pace.wait(100) if wait == "backoff" else pace.acquire()
    assert time.monotonic() - begun < 1.1


@pytest.mark.alone
def test_a_server_that_allows_the_pace_in_any_window_never_refuses() -> None:
    lists = {"charges": plain("charges", range(150)), "customers": plain("customers", range(60))}
    # A tenth less than the window that the pace is for, since a busy machine delays one request more than another.
    with Sandbox(lists, rate_limit=15, rate_window=1.35) as sandbox:
        # Retries count as well: of pages that are waited for, and of pages fetched ahead.
        sandbox.faults.add(Status(500), times=3, stream="charges", after=2)
        sandbox.faults.add(Drop(), times=2, stream="customers", after=1)
        config = tap_config(sandbox, page_size=10, requests_per_minute=600, concurrency=4)
        run = run_tap(config).expect_success()
        assert run.keys("charges") == sandbox.account.keys("charges")
        assert run.keys("customers") == sandbox.account.keys("customers")
    assert len(sandbox.requests) >= 28
    assert 429 not in {request.status for request in sandbox.requests}
    assert sum(sandbox.faults.thrown.values()) == 5


def test_a_429_holds_the_requests_of_all_threads() -> None:
    with Sandbox({"charges": plain("charges", range(400))}) as sandbox:
        sandbox.latency = 0.02
        sandbox.faults.add(Status(429, {"Retry-After": "1"}), stream="charges", after=6)
        run_tap(tap_config(sandbox, page_size=10, concurrency=4)).expect_success()
    charges = sandbox.requests_for("charges")
    times = [request.time for request in charges]
    # What was in flight already may still arrive; then there is silence.
    quiet = max(later - earlier for earlier, later in pairwise(times))
    assert quiet >= 0.9
    refused = next(number for number, request in enumerate(charges) if request.status == 429)
    silent = next(number for number, pair in enumerate(pairwise(times)) if pair[1] - pair[0] == quiet)
    assert refused <= silent <= refused + 4


def test_a_server_that_allows_less_is_obeyed() -> None:
    with Sandbox({"charges": plain("charges", range(120))}, rate_limit=5, rate_window=0.3) as sandbox:
        config = tap_config(sandbox, page_size=10, backoff_factor=0.3, concurrency=2)
        run = run_tap(config).expect_success()
        assert run.keys("charges") == sandbox.account.keys("charges")
        assert 429 in {request.status for request in sandbox.requests}
