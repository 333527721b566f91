"""The page of columns says what the schemas do."""

from __future__ import annotations

from tests.project.columns import FILE, columns_page


def test_the_page_of_columns_is_that_of_the_schemas() -> None:
    assert FILE.read_text(encoding="utf-8") == columns_page(), "run `make docs`"
