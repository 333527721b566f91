"""Windows of time: short where records are many, long where they are few, and none left out."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tap_payments.replication.windows import Span, Windows

from tap_payments.records.timestamps import Window

DAY = 86_400
NOW = 1_700_000_000


def planned(start: int | None = 0, *, now: int = NOW, earliest: int = 1_000, days: float = 30) -> Windows:
    """Plan the windows of what is new; the first one is open at the bottom where there is no start."""
    span = Span(earliest if start is None else start, now, Window(start, None))
    return Windows(span, days=days, length=0 if start is None else None)


def test_the_first_window_begins_at_the_start_and_is_as_long_as_asked() -> None:
    assert planned(NOW - 100 * DAY).current == Window(NOW - 100 * DAY, NOW - 70 * DAY)


def test_without_a_start_the_first_window_is_open_and_does_not_size_the_next() -> None:
    windows = planned(None)
    assert windows.current == Window(None, 1_000)
    assert not windows.may_halve
    windows.fitted()
    assert windows.current == Window(1_000, 1_000 + 30 * DAY)


def test_the_last_window_is_open_at_the_top() -> None:
    windows = planned(NOW - 30 * DAY)
    assert windows.current == Window(NOW - 30 * DAY, None)
    windows.overflowed()
    assert windows.finished


def test_a_start_in_the_future_is_one_window_that_is_open_at_the_top() -> None:
    windows = planned(NOW + DAY)
    assert windows.current == Window(NOW + DAY, None)
    assert not windows.may_halve
    windows.fitted()
    assert windows.finished


def test_windows_that_fit_double_and_those_that_do_not_halve_down_to_the_length_asked_for() -> None:
    windows, lengths = planned(), []
    for fits in (True, True, True, False, False, False, False, True):
        window = windows.current
        assert window.since is not None
        assert window.until is not None
        lengths.append((window.until - window.since) // DAY)
        if fits:
            windows.fitted()
        else:
            windows.overflowed()
    assert lengths == [30, 60, 120, 240, 120, 60, 30, 30]


def test_an_abandoned_window_is_read_again_at_half_the_length() -> None:
    windows = planned(now=1_000 * DAY)
    windows.fitted()
    windows.fitted()
    begin = windows.current
    assert begin == Window(90 * DAY, 210 * DAY)
    assert windows.may_halve
    windows.halve()
    assert windows.current == Window(90 * DAY, 150 * DAY)
    windows.halve()
    assert windows.current == Window(90 * DAY, 120 * DAY)
    assert not windows.may_halve


def test_the_open_window_halves_from_the_span_it_has_left() -> None:
    windows = planned(now=100 * DAY)
    windows.fitted()
    windows.fitted()
    # 120 days long, but only 10 of them are left: no longer than windows are where records are many.
    assert windows.current == Window(90 * DAY, None)
    assert not windows.may_halve


def test_a_closed_span_ends_where_it_is_to_and_its_first_window_may_be_as_long_as_it() -> None:
    span = Span(100 * DAY, 300 * DAY, Window(None, 300 * DAY))
    windows = Windows(span, days=30, length=span.length)
    assert windows.current == Window(None, 300 * DAY)
    assert windows.may_halve
    windows.halve()
    assert windows.current == Window(None, 200 * DAY)
    assert windows.reached == 200 * DAY
    windows.fitted()
    assert windows.current == Window(200 * DAY, 300 * DAY)
    windows.fitted()
    assert windows.finished
    assert windows.reached == 300 * DAY


def take(windows: Windows, step: str) -> str:
    """Call a method of windows, or another where a window is too short to be halved; return which."""
    if step == "halve" and not windows.may_halve:
        step = "overflowed"
    getattr(windows, step)()
    return step


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(
    st.one_of(st.none(), st.integers(0, NOW + DAY)),
    st.floats(0.00001, 10_000),
    st.lists(st.sampled_from(["fitted", "overflowed", "halve"]), max_size=60),
)
def test_windows_leave_no_second_out_and_end(start: int | None, days: float, course: list[str]) -> None:
    windows = planned(start, earliest=1_262_304_000, days=days)
    reached, steps = start, iter(course)
    for _ in range(200):
        if windows.finished:
            return
        window = windows.current
        # Neighbours share their boundary second.
        assert window.since == reached
        step = take(windows, next(steps, "fitted"))
        if step == "halve":
            assert windows.current.since == window.since
            halved = windows.current.until
            assert halved is not None
            assert window.until is None or halved < window.until
            continue
        reached = window.until
        assert windows.finished == (reached is None)
        assert reached is None or window.since is None or reached > window.since
    raise AssertionError("windows that fit do not reach the end")


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(
    st.integers(1, NOW),
    st.floats(0.00001, 10_000),
    st.booleans(),
    st.lists(st.sampled_from(["fitted", "overflowed", "halve"]), max_size=60),
)
def test_windows_of_a_closed_span_cover_it_and_end(length: int, days: float, whole: bool, course: list[str]) -> None:  # noqa: FBT001
    bounds = Window(1_000, 1_000 + length)
    windows = Windows(Span(1_000, 1_000 + length, bounds), days=days, length=length if whole else None)
    reached, steps = 1_000, iter(course)
    for _ in range(200):
        window = windows.current
        assert window.since == reached
        step = take(windows, next(steps, "fitted"))
        if step == "halve":
            assert windows.reached < (window.until or 0)
            continue
        assert window.until is not None
        assert reached < window.until <= 1_000 + length
        reached = window.until
        assert windows.finished == (reached == bounds.until)
        if windows.finished:
            return
    raise AssertionError("windows that fit do not reach the end")
