"""Write what is generated from the code: `make docs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scripts import columns, hub, settings

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
# The text that is generated stands between two lines that have these words.
BEGIN, END = "begin: written by `make docs`", "end: written by `make docs`"
PARTS: dict[str, Callable[[], str]] = {
    "meltano.yml": settings.meltano_settings,
    ".env.example": settings.environment,
    "docs/settings.md": settings.table,
}


def documents() -> dict[str, str]:
    """Return the path of each generated file with its text, which includes what is written by hand around a part."""
    return {
        **{path: _replaced((ROOT / path).read_text(encoding="utf-8"), part()) for path, part in PARTS.items()},
        "docs/columns.md": columns.page(),
        "hub/tap-payments.yml": hub.tap(),
        "hub/target-postgres.yml": hub.loader(),
    }


def _replaced(text: str, part: str) -> str:
    """Return a text with another part between its two marks."""
    before, rest = text.split(BEGIN)
    first_line, rest = rest.split("\n", 1)
    old, after = rest.split(END)
    last_line = old.rpartition("\n")[2]
    return f"{before}{BEGIN}{first_line}\n{part}{last_line}{END}{after}"


if __name__ == "__main__":
    for path, text in documents().items():
        (ROOT / path).write_text(text, encoding="utf-8")
