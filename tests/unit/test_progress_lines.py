"""Lines of progress: counts, and the share done or the time taken."""

from __future__ import annotations

import pytest

from tap_payments.output.progress import StreamProgress, describe_span


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
    assert counts.describe() == "charges: 5 records, 2 requests, 1 retry, reached 1970-01-01T00:00:00Z"


def test_the_total_sets_the_share() -> None:
    assert StreamProgress("charges", emitted=250, total=1000).describe() == "charges: 250 records, 25% done"


def test_a_date_reached_is_no_share_of_the_work() -> None:
    counts = StreamProgress("charges", emitted=1, requests=1, reached=300, begun=0.0)
    assert counts.describe() == "charges: 1 record, 1 request, reached 1970-01-01T00:05:00Z"


@pytest.mark.parametrize(("records", "share"), [(0, "0%"), (2000, "100%")])
def test_a_share_is_never_out_of_bounds(records: int, share: str) -> None:
    assert StreamProgress("charges", emitted=records, total=1000).describe().endswith(f", {share} done")


def test_re_read_records_are_part_of_the_total() -> None:
    counts = StreamProgress("charges", requests=9, total=10)
    counts.count_records(3, reread=0, reached=301, total=None)
    assert counts.describe() == "charges: 3 records, 9 requests, reached 1970-01-01T00:05:01Z, 30% done"
    counts.count_records(2, reread=1, reached=300, total=None)
    counts.count_records(0, reread=0, reached=None, total=None)
    assert counts.describe() == (
        "charges: 5 records, 1 of them re-read, 9 requests, reached 1970-01-01T00:05:00Z, 40% done"
    )
    counts.count_records(1, reread=1, reached=1, total=8)
    counts.end()
    assert counts.describe() == "charges: 6 records, 2 of them re-read, 9 requests"


def test_a_summary_has_no_zeros_but_that_of_the_records() -> None:
    assert StreamProgress("charges", begun=0.0, ended=0.4).describe() == "charges: 0 records"
    counts = StreamProgress(
        "charges", emitted=9, reread=2, requests=3, retries=2, waited=12.4, nulled=1, begun=0.0, ended=63.0
    )
    assert counts.describe() == (
        "charges: 9 records, 2 of them re-read, 3 requests, 2 retries, 1 invalid value made null, "
        "12 s waited for the rate limit, 1 min 3 s in all"
    )


def test_a_summary_names_what_stream_maps_made_of_the_records() -> None:
    counts = StreamProgress("charges", emitted=6, reread=1, sent={"charges": 0, "copy": 6}, requests=2)
    assert counts.describe() == "charges: 0 records, 6 records as copy (6 read, 1 of them re-read), 2 requests"
    assert counts.find_refusal("charges", may_miss_records=False)
    assert counts.find_refusal("copy", may_miss_records=False) is None
