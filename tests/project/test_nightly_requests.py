"""The requests of a night that `docs/nightly.md` promises are those of the tap's own planner and paginator."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.nightly_requests import HEADER, SIZES, row

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "nightly.md").read_text(encoding="utf-8")
ROWS = dict(zip(SIZES, DOCUMENT.partition("\n".join(HEADER) + "\n")[2].splitlines(), strict=False))


def figures(line: str) -> list[int]:
    """Return the requests in a row."""
    return [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) \(", line)]


@pytest.mark.parametrize("size", SIZES[:-1])
def test_the_table_has_the_figures_that_are_computed(size: int) -> None:
    assert ROWS[size] == row(size)


def test_the_largest_list_takes_ten_times_the_requests_of_the_one_before() -> None:
    # Computed by the same program, which takes a minute for it.
    *_, before, largest = (figures(ROWS[size]) for size in SIZES)
    assert largest == pytest.approx([10 * requests for requests in before], rel=0.1)


def test_the_readme_repeats_the_figures_of_a_million_charges() -> None:
    full, _, incremental, _ = figures(ROWS[1_000_000])
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"A million charges take {incremental:,} requests a night instead of {full:,}" in readme
