"""Times as APIs, STATEs and settings write them."""

from __future__ import annotations

import math
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_payments.timestamps import EARLIEST, LATEST, describe, read_iso, read_time
from tests.support.examples import tried

MOMENT = 1_714_979_289


WRITTEN = [
    *(MOMENT, str(MOMENT), f" {MOMENT} ", f"{MOMENT}.0", f"+{MOMENT}", float(MOMENT), Decimal(MOMENT)),
    *(Decimal(f"{MOMENT}.000"), "2024-05-06T07:08:09Z", "2024-05-06T07:08:09", "2024-05-06 07:08:09"),
    *("2024-05-06T07:08:09.000000+00:00", "2024-05-06T09:08:09+02:00", "20240506T070809Z"),
]


def test_a_time_without_a_zone_is_utc_wherever_the_tap_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XXX-05:30")
    time.tzset()
    try:
        assert read_time("2024-05-06T07:08:09") == MOMENT
        assert describe(MOMENT) == "2024-05-06T07:08:09Z"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("value", "second"),
    [
        *((value, MOMENT) for value in WRITTEN),
        *((value, 1.5) for value in (1.5, "1.5", Decimal("1.5"), "1970-01-01T00:00:01.5Z")),
        *(("-5", -5), (-5, -5), (0, 0), ("0", 0), ("2024-05-06", 1_714_953_600)),
    ],
)
def test_a_time_may_be_written_as_digits_as_a_number_or_in_iso_8601(value: object, second: float) -> None:
    found = read_time(value)
    assert found == second
    assert type(found) is type(second)


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, "", " ", "soon", "12:00", "2024-13-01", "0000-00-00 00:00:00", [], {}, [MOMENT]),
        *(math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), LATEST + 1),
        *(EARLIEST - 1, "9" * 5_000, "9" * 30 + ".5", "١٢٣", "1_000", "1e9", "0x10", "9999-12-31T23:59:59-23:59"),
    ],
)
def test_what_is_no_time_is_none(value: object) -> None:
    assert read_time(value) is None


@tried(300)
@given(st.integers(EARLIEST, LATEST))
def test_every_second_reads_back_from_what_is_shown_to_a_person(second: int) -> None:
    assert read_time(second) == read_time(str(second)) == second
    if second >= read_time("1000-01-01"):  # type: ignore[operator]  # which is a time
        assert read_time(describe(second)) == second


@tried(300)
@given(
    st.one_of(st.text(max_size=30), st.floats(), st.decimals(), st.binary(max_size=5), st.from_regex(r"[-+.\d:TZ]*"))
)
def test_nothing_that_a_server_may_send_breaks_it(value: object) -> None:
    found = read_time(value)
    assert found is None or EARLIEST <= found <= LATEST


ISO = ["2024-01-31", "2024-01-31T12:00:00Z", "2024-01-31 12:00", "20240131", "2024-W05-3"]
NOT_ISO = ["", "1714979289", "20241331", "31.01.2024", "01/31/2024", "yesterday", "2024"]


@pytest.mark.parametrize("text", [*ISO, *NOT_ISO])
def test_iso_8601(text: str) -> None:
    assert (read_iso(text) is None) is (text in NOT_ISO)
