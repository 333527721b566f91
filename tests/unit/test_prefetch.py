"""Pages come in the order they are requested, whatever happens to those fetched ahead."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from tap_payments.api.fetcher import Prefetcher
from tap_payments.errors import StoppedError, TransientError
from tests.support.waiting import SOON, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[[int], Prefetcher[int, int]]


class Pages:
    """Pages to fetch: each is its token times ten, unless it is to fail or to hang."""

    def __init__(self) -> None:
        self.requested: list[int] = []
        self.failing: dict[int, Exception] = {}
        self.hanging: set[int] = set()
        self.released = threading.Event()
        self.in_flight = self.max_in_flight = 0
        self.lock = threading.Lock()

    def fetch(self, token: int) -> int:
        """Return a page, late, or fail."""
        with self.lock:
            self.requested.append(token)
            self.in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            if token in self.hanging:
                self.released.wait(SOON)
            # Later tokens come first.
            time.sleep(max(0.0, 0.02 - token * 0.002))
            if token in self.failing:
                raise self.failing[token]
            return token * 10
        finally:
            with self.lock:
                self.in_flight -= 1

    def times(self, token: int) -> int:
        """Return how often a page was requested."""
        return self.requested.count(token)


@pytest.fixture
def pages() -> Iterator[Pages]:
    made = Pages()
    yield made
    made.released.set()


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def make(pages: Pages, stop: threading.Event) -> Iterator[Make]:
    with ExitStack() as opened:
        yield lambda threads: opened.enter_context(closing(Prefetcher(pages.fetch, threads=threads, stop=stop)))


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_pages_come_in_order_each_fetched_once(make: Make, pages: Pages, threads: int) -> None:
    prefetcher, taken = make(threads), []
    prefetcher.schedule([0])
    for token in range(20):
        taken.append(prefetcher.take(token))
        prefetcher.schedule(range(token + 1, token + 1 + threads))
    assert taken == [token * 10 for token in range(20)]
    assert all(pages.times(token) == 1 for token in range(20))
    assert pages.max_in_flight <= threads
    assert threads == 1 or pages.max_in_flight > 1


def test_guesses_that_turn_out_wrong_are_thrown_away_with_their_errors(make: Make, pages: Pages) -> None:
    pages.failing = {2: ValueError("of a page that nobody needs"), 3: TransientError("likewise")}
    prefetcher = make(3)
    prefetcher.schedule([1, 2, 3])
    wait_until(lambda: pages.times(2) == pages.times(3) == 1)
    assert prefetcher.take(1) == 10
    prefetcher.schedule([7, 8])
    assert prefetcher.take(7) == 70
    # Wanted anew, it is fetched anew.
    pages.failing.clear()
    prefetcher.schedule([2])
    assert prefetcher.take(2) == 20
    assert pages.times(2) == 2


def test_guesses_that_still_wait_are_not_fetched_once_they_are_wrong(make: Make, pages: Pages) -> None:
    pages.hanging = {1}
    prefetcher = make(1)
    prefetcher.schedule([1, 2, 3])
    wait_until(lambda: pages.times(1) == 1)
    prefetcher.schedule([1, 9])
    pages.released.set()
    assert prefetcher.take(1) == 10
    prefetcher.schedule([9])
    assert prefetcher.take(9) == 90
    assert pages.times(2) == pages.times(3) == 0
    assert pages.times(9) == 1


@pytest.mark.parametrize("failure", [TransientError("is busy"), ValueError("for good")])
def test_a_guess_is_tried_once_until_its_turn_and_raises_its_failure_then(
    make: Make, pages: Pages, failure: Exception
) -> None:
    pages.failing[2] = failure
    prefetcher = make(2)
    prefetcher.schedule([1, 2])
    wait_until(lambda: 2 in pages.requested)
    assert prefetcher.take(1) == 10
    prefetcher.schedule([2, 3])
    prefetcher.schedule([2, 3])
    with pytest.raises(type(failure)) as raised:
        prefetcher.take(2)
    assert raised.value is failure
    assert pages.times(2) == 1
    pages.failing.clear()
    assert prefetcher.take(2) == 20
    assert pages.times(2) == 2


def test_a_page_that_is_taken_again_comes_before_guesses(make: Make, pages: Pages) -> None:
    pages.failing[2] = TransientError("is busy")
    prefetcher = make(1)
    prefetcher.schedule([1, 2])
    wait_until(lambda: pages.times(2) == 1 and not pages.in_flight)
    assert prefetcher.take(1) == 10
    pages.hanging = {3}
    prefetcher.schedule([2, 3, 4, 5])
    wait_until(lambda: pages.times(3) == 1)
    with pytest.raises(TransientError):
        prefetcher.take(2)
    pages.failing.clear()
    threading.Timer(0.1, pages.released.set).start()
    assert prefetcher.take(2) == 20
    assert pages.requested[:4] == [1, 2, 3, 2]


@pytest.mark.parametrize("when", ["before it is taken", "while it is waited for", "after it came"])
def test_a_stop_ends_the_wait_for_a_page_and_hands_out_none(
    make: Make, pages: Pages, stop: threading.Event, when: str
) -> None:
    pages.hanging = set() if when == "after it came" else {1}
    prefetcher = make(1)
    prefetcher.schedule([1])
    wait_until(lambda: pages.times(1) == 1 and pages.in_flight == len(pages.hanging))
    threading.Timer(0.1 if when == "while it is waited for" else 0, stop.set).start()
    assert when == "while it is waited for" or stop.wait(SOON)
    with pytest.raises(StoppedError):
        prefetcher.take(1)
    assert pages.in_flight == len(pages.hanging), "it waited for the page"


def test_a_guess_that_hangs_blocks_neither_the_pages_before_it_nor_the_end(make: Make, pages: Pages) -> None:
    pages.hanging = {5}
    prefetcher = make(2)
    prefetcher.schedule([1, 5])
    wait_until(lambda: pages.times(5) == 1)
    assert prefetcher.take(1) == 10
    for token in (2, 3):
        prefetcher.schedule([token])
        assert prefetcher.take(token) == token * 10
    prefetcher.close()
    assert pages.in_flight == 1, "it waits for a page that hangs"
    hanging = [thread for thread in threading.enumerate() if thread.name.startswith("page-")]
    assert all(thread.daemon for thread in hanging)


def test_threads_end_when_it_closes(make: Make, pages: Pages) -> None:
    before = set(threading.enumerate())
    prefetcher = make(4)
    prefetcher.schedule([1, 2, 3, 4])
    prefetcher.take(1)
    mine = set(threading.enumerate()) - before
    assert 1 <= len(mine) <= 4
    prefetcher.close()
    wait_until(lambda: not any(thread.is_alive() for thread in mine))
