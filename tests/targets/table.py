"""The table of `docs/targets.md`: cells that were measured, and advice from the declarations."""

from __future__ import annotations

import re
from dataclasses import astuple
from typing import TYPE_CHECKING

from tests.support.meltano import ROOT
from tests.targets.declarations import TARGETS

if TYPE_CHECKING:
    from tests.targets.outcomes import Outcome

FILE = ROOT / "docs" / "targets.md"
HEAD = ("target", "rows", "after two runs", "amounts", "a deleted charge", "undeclared fields", "STATE", "advice")
LINE = "| " + " | ".join(HEAD) + " |\n"


def rows() -> dict[str, list[str]]:
    """Return the cells of each target in the document, by its title."""
    table = FILE.read_text(encoding="utf-8").partition(LINE)[2].partition("\n\n")[0]
    lines = (re.split(r" (?<!\\)\| ", line[2:-2]) for line in table.splitlines()[1:])
    return {cells[0]: cells for cells in lines}


def write(name: str, outcome: Outcome) -> None:
    """Put a target's outcome into the document; the rows of the others stay, and follow the declarations."""
    title = TARGETS[name].title
    found = rows() | {title: [title, *astuple(outcome), ""]}
    lines = [
        "| " + " | ".join([*found[target.title][:-1], target.advice]) + " |\n"
        for target in TARGETS.values()
        if target.title in found
    ]
    before, _, after = FILE.read_text(encoding="utf-8").partition(LINE)
    after = after.partition("\n\n")[2]
    table = LINE + "| " + " | ".join("---" for _ in HEAD) + " |\n" + "".join(lines)
    FILE.write_text(f"{before}{table}\n{after}", encoding="utf-8")
