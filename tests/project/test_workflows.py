"""The workflows test the versions of the classifiers; `make lint` checks everything else about them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_matrix_is_made_of_the_classifiers() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    printed = subprocess.run(["make", "--silent", "versions"], cwd=ROOT, check=True, capture_output=True).stdout
    assert json.loads(printed) == re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    assert "make --silent versions" in (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")


def test_no_step_keeps_the_credentials_of_the_checkout() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = path.read_text(encoding="utf-8")
        assert text.count("persist-credentials: false") == text.count("uses: actions/checkout@"), path.name
        assert "\npermissions: {}\n" in text, path.name
