"""Lines of progress: counts, the share done, and the time left."""

from __future__ import annotations

import pytest

from tap_payments.output.progress import StreamProgress, describe_span
from tap_payments.replication.reading import Chunk
from tests.support.outline import fetched_page

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
    counts = StreamProgress("charges", emitted=5, requests=2, retries=1, reached=0.0)
    assert counts.describe(counts.begun) == "charges: 5 records, 2 requests, 1 retry, reached 1970-01-01T00:00:00Z"


def test_the_total_sets_the_share_and_the_time_left() -> None:
    counts = StreamProgress("charges", emitted=250, total=1000, begun=0.0)
    assert counts.describe(100.0).endswith("25% done, about 5 min left")


def test_a_date_reached_is_no_share_of_the_work() -> None:
    counts = StreamProgress("charges", emitted=1, requests=1, reached=300, begun=0.0)
    assert counts.share() is None
    assert counts.describe(60.0) == "charges: 1 record, 1 request, reached 1970-01-01T00:05:00Z"


@pytest.mark.parametrize(("records", "total"), [(0, 1000), (2000, 1000)])
def test_a_share_is_never_out_of_bounds(records: int, total: int) -> None:
    share = StreamProgress("charges", emitted=records, total=total).share()
    assert share is not None
    assert 0 <= share <= 1


def test_re_read_records_are_part_of_the_total() -> None:
    counts = StreamProgress("charges", requests=9, reached=300)
    chunks = [Chunk(PAGE, [0, 1, 2]), Chunk(PAGE, [0, 1], reread=1), Chunk(), Chunk(PAGE, [2], reread=1)]
    lines = [counts.describe(counts.begun) for _ in counts.count(chunks)]
    assert lines[0] == "charges: 0 records, 9 requests, reached 1970-01-01T00:05:00Z"
    assert lines[1] == "charges: 3 records, 9 requests, reached 1970-01-01T00:00:01Z"
    assert lines[3] == "charges: 5 records, 1 of them re-read, 9 requests, reached 1970-01-01T00:00:01Z"
    assert counts.describe_counts() == "6 records, 2 of them re-read, 9 requests"


def test_a_summary_has_no_zeros_but_that_of_the_records() -> None:
    assert StreamProgress("charges", begun=0.0, ended=0.4).summarize() == "charges: 0 records"
    counts = StreamProgress(
        "charges", emitted=9, reread=2, requests=3, retries=2, waited=12.4, nulled=1, begun=0.0, ended=63.0
    )
    assert counts.summarize() == (
        "charges: 9 records, 2 of them re-read, 3 requests, 2 retries, 1 invalid value made null, "
        "12 s waited for the rate limit, 1 min 3 s in all"
    )


def test_a_summary_names_what_stream_maps_made_of_the_records() -> None:
    counts = StreamProgress("charges", emitted=6, reread=1, sent={"charges": 0, "copy": 6}, requests=2)
    assert counts.describe_counts() == "0 records, 6 records as copy (6 read, 1 of them re-read), 2 requests"
    assert (counts.sent_as("charges"), counts.sent_as("copy")) == (0, 6)
