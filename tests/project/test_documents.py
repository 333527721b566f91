"""What the documents say is so: links, examples of YAML, the advice of errors, the number of targets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from tap_payments import errors
from tests.support.meltano import ROOT
from tests.targets.declarations import TARGETS
from tests.targets.table import FILE, HEAD, rows

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
YAML_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def anchors(file: Path) -> set[str]:
    """Return the anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere_and_every_yaml_example_can_be_read(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for path, anchor in LINK.findall(text):
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"
    for block in YAML_BLOCK.findall(text):
        assert yaml.safe_load(block), block


def test_the_readme_has_at_most_200_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_each_advice_is_a_row_of_the_page_on_troubleshooting() -> None:
    advice = [*errors.ADVICE.values(), *(text for name, text in vars(errors).items() if name.endswith("_ADVICE"))]
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").split("\n## ", 1)[0]
    first_cells = [line.split("|")[1].strip() for line in page.splitlines() if "|" in line][2:]
    # The cap has no status: the paginator says it, with the second and the cap in it.
    (unknown,) = [cell for cell in first_cells if cell not in advice]
    assert unknown.split("...")[0] == "more records share the second "
    assert sorted([*advice, unknown]) == sorted(first_cells)


def test_the_page_of_targets_has_each_declared_one_and_its_advice() -> None:
    cells = rows().values()
    assert [(row[0], row[-1]) for row in cells] == [(target.title, target.advice) for target in TARGETS.values()]
    assert {len(row) for row in cells} == {len(HEAD)}, "run `make test-targets`"
    assert not re.search(r"/(?:home|root|tmp|work|Users)/", FILE.read_text(encoding="utf-8")), "a place on a machine"


@pytest.mark.parametrize("document", ["README.md", "CHANGELOG.md"])
def test_readme_and_change_log_count_the_targets(document: str) -> None:
    (count,) = re.findall(r"\b(\d+) (?:Singer )?targets\b", (ROOT / document).read_text(encoding="utf-8"))
    assert int(count) == len([target for target in TARGETS.values() if not target.into])
