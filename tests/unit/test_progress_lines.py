"""Lines of progress: counts, the share done, and the time left."""

from __future__ import annotations

import pytest

from tap_payments.output.progress import StreamProgress, describe_span
from tap_payments.records.chunk import Chunk
from tests.support.simulated_lists import fetched_page

PAGE = fetched_page([(3, "c"), (2, "b"), (1, "a")])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.4, "0 s"), (59, "59 s"), (60, "1 min"), (103, "1 min 43 s"), (3599, "59 min 59 s")),
        *((3600, "1 h 00 min"), (7500, "2 h 05 min"), (7507, "2 h 05 min 07 s")),
    ],
)
def test_a_span_is_written_for_a_person(seconds: float, text: str) -> None:
    assert describe_span(seconds) == text


def test_without_an_end_in_sight_no_share_is_claimed() -> None:
    counts = StreamProgress(records=5, requests=2, retries=1, reached=0.0)
    assert counts.describe(counts.begun) == "5 records, 2 requests, 1 retry, reached 1970-01-01T00:00:00Z"


def test_the_total_sets_the_share_and_the_time_left() -> None:
    counts = StreamProgress(records=250, total=1000, begun=0.0)
    assert counts.describe(100.0).endswith("25% done, about 5 min left")


def test_a_date_reached_is_no_share_of_the_work() -> None:
    counts = StreamProgress(records=1, requests=1, retries=0, reached=300, begun=0.0)
    assert counts.share() is None
    assert counts.describe(60.0) == "1 record, 1 request, 0 retries, reached 1970-01-01T00:05:00Z"


@pytest.mark.parametrize(("records", "total"), [(0, 1000), (2000, 1000)])
def test_a_share_is_never_out_of_bounds(records: int, total: int) -> None:
    share = StreamProgress(records=records, total=total).share()
    assert share is not None
    assert 0 <= share <= 1


def test_what_is_read_again_has_a_count_of_its_own() -> None:
    counts = StreamProgress(requests=9, reached=300)
    chunks = [
        Chunk(PAGE, [0, 1, 2]),
        Chunk(PAGE, [0, 1], is_reread=True),
        Chunk(reached=86_400, is_reread=True),
        Chunk(PAGE, [2], is_reread=True),
        Chunk(is_reread=True),
    ]
    lines = [counts.describe(counts.begun) for _ in counts.count(chunks, limit=None)]
    assert lines[1] == "3 records, 9 requests, 0 retries, reached 1970-01-01T00:05:00Z"
    assert lines[3] == "3 records, 2 re-read in 1 window, 9 requests, 0 retries, reached 1970-01-02T00:00:00Z"
    assert counts.describe_reread() == ", 3 re-read in 1 window"


def test_a_limit_counts_records_that_are_read_again() -> None:
    chunks = [Chunk(PAGE, [0]), Chunk(PAGE, [1, 2], is_reread=True), Chunk(PAGE, [0])]
    counts = StreamProgress()
    assert [chunk.places for chunk in counts.count(chunks, limit=2)] == [[0], [1]]
    assert (counts.records, counts.reread) == (1, 1)
