"""Errors and the page on troubleshooting have the same words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tap_payments import errors

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
TABLE = [line for line in PAGE.split("\n## ", 1)[0].splitlines() if "|" in line]
ADVICE = [*errors.ADVICE.values(), *(value for name, value in vars(errors).items() if name.endswith("_ADVICE"))]


@pytest.mark.parametrize("advice", ADVICE)
def test_each_advice_is_a_row_of_the_page(advice: str) -> None:
    assert [line for line in TABLE if line.startswith(f"| {advice} |")]


def test_each_row_of_the_page_is_an_advice() -> None:
    first_cells = [line.split("|")[1].strip() for line in TABLE[2:]]
    unknown = [cell for cell in first_cells if cell not in ADVICE]
    # The cap has no status: the paginator says it, with the second and the cap in it.
    assert [cell.split("...")[0] for cell in unknown] == ["more records share the second "]
    assert len(first_cells) == len(set(first_cells)) == len(ADVICE) + 1
