"""Write what is generated from the code: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts import columns, hub, nightly_requests, settings, streams

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
# Each text that is generated stands between two lines that have these words.
BEGIN, END = "begin: written by `make docs`", "end: written by `make docs`"
PARTS: dict[str, list[Callable[[], str]]] = {
    "meltano.yml": [settings.meltano_settings, streams.incremental],
    ".env.example": [settings.environment],
    "docs/settings.md": [settings.table],
    "README.md": [streams.table],
}
# Computed with `--slow` only; the tests compute the first rows.
SLOW_PARTS = {"docs/nightly.md": [nightly_requests.table]}


def documents(*, slow: bool = False) -> dict[str, str]:
    """Return the path of each generated file with its text, which includes what is written by hand around a part."""
    queries, parts_of = streams.queries(), {**PARTS, **(SLOW_PARTS if slow else {})}
    return {
        **{path: _replaced((ROOT / path).read_text(encoding="utf-8"), parts) for path, parts in parts_of.items()},
        **queries,
        "docs/columns.md": columns.page(queries.values()),
        "hub/tap-payments.yml": hub.tap(),
        "hub/target-postgres.yml": hub.loader(),
    }


def _replaced(text: str, parts: list[Callable[[], str]]) -> str:
    """Return a text with other parts between its marks."""
    before, *rest = text.split(BEGIN)
    for part, old in zip(parts, rest, strict=True):
        first_line, old_part = old.split("\n", 1)
        replaced, after = old_part.split(END)
        before += f"{BEGIN}{first_line}\n{part()}{replaced.rpartition(chr(10))[2]}{END}{after}"
    return before


if __name__ == "__main__":
    for path, text in documents(slow="--slow" in sys.argv).items():
        (ROOT / path).write_text(text, encoding="utf-8")
