"""The page of targets has the targets that are declared, each tried at its version, and the README counts them."""

from __future__ import annotations

import re

from tests.support.meltano import ROOT
from tests.targets.declarations import TARGETS
from tests.targets.table import FILE, HEAD, rows


def test_the_page_has_each_declared_target_and_its_advice() -> None:
    cells = rows().values()
    assert [(row[0], row[-1]) for row in cells] == [(target.title, target.advice) for target in TARGETS.values()]
    assert {len(row) for row in cells} == {len(HEAD)}, "run `make test-targets`"


def test_readme_and_change_log_count_the_targets() -> None:
    targets = [target for target in TARGETS.values() if not target.into]
    for document in ("README.md", "CHANGELOG.md"):
        (count,) = re.findall(r"\b(\d+) (?:Singer )?targets\b", (ROOT / document).read_text(encoding="utf-8"))
        assert int(count) == len(targets), document


def test_the_page_names_no_place_on_a_machine() -> None:
    assert not re.search(r"/(?:home|root|tmp|work|Users)/", FILE.read_text(encoding="utf-8"))
