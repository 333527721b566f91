"""Lines of progress: counts, and the share done or the time taken."""

from __future__ import annotations

from typing import Any

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


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ({"emitted": 250, "total": 1000}, "250 records, 25% done"),
        ({"emitted": 0, "total": 1000}, "0 records, 0% done"),
        ({"emitted": 2000, "total": 1000}, "2000 records, 100% done"),
        ({"begun": 0.0, "ended": 0.4}, "0 records"),
        ({"emitted": 1, "waited": 12.4}, "1 record, 12 s waited for the rate limit"),
        # A date reached is no share of the work.
        (
            {"emitted": 5, "requests": 2, "retries": 1, "reached": 0.0},
            "5 records, 2 requests, 1 retry, reached 1970-01-01T00:00:00Z",
        ),
        (
            {"emitted": 1, "requests": 1, "reached": 300, "begun": 0.0},
            "1 record, 1 request, reached 1970-01-01T00:05:00Z",
        ),
        (
            {"emitted": 9, "reread": 2, "retries": 2, "nulled": 1, "ended": 63.0},
            "9 records, 2 of them re-read, 2 retries, 1 invalid value made null, 1 min 3 s in all",
        ),
    ],
)
def test_a_line_has_counts_without_zeros_and_the_share_done(counts: dict[str, Any], line: str) -> None:
    assert StreamProgress("charges", **{"begun": 0.0, **counts}).describe() == f"charges: {line}"


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


def test_a_summary_names_what_stream_maps_made_of_the_records() -> None:
    counts = StreamProgress("charges", emitted=6, reread=1, sent={"charges": 0, "copy": 6}, requests=2)
    assert counts.describe() == "charges: 0 records, 6 records as copy (6 read, 1 of them re-read), 2 requests"
    assert counts.find_refusal("charges", may_miss_records=False)
    assert counts.find_refusal("copy", may_miss_records=False) is None
