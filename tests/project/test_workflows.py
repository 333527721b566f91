"""The workflows test what the classifiers promise, with actions that nobody can exchange."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"([\w./-]+)@([0-9a-f]{40})  # v\d+\.\d+\.\d+")


def used_actions() -> list[str]:
    """Return what follows `uses:` in each step, the project's own workflows left out."""
    texts = [path.read_text(encoding="utf-8") for path in WORKFLOWS]
    return [used for text in texts for used in re.findall(r"uses: (?!\./)(.+)", text)]


def test_the_matrix_is_made_of_the_classifiers() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    printed = subprocess.run(["make", "--silent", "versions"], cwd=ROOT, check=True, capture_output=True).stdout
    assert json.loads(printed) == re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    assert "make --silent versions" in (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")


def test_each_action_is_one_commit_with_its_version_beside_it() -> None:
    pins: dict[str, str] = {}
    for used in used_actions():
        pinned = PINNED.fullmatch(used)
        assert pinned is not None, used
        action, commit = pinned.groups()
        assert pins.setdefault(action, commit) == commit, action
    assert pins


def test_no_step_keeps_the_credentials_of_the_checkout() -> None:
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        assert text.count("persist-credentials: false") == text.count("uses: actions/checkout@"), path.name
        assert "\npermissions: {}\n" in text, path.name
