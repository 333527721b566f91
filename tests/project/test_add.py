"""`hub/add.sh` tells Meltano where tap and loader are installed from."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from scripts.documents import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LOADER = "load/target-postgres"
# Stands in for Meltano, and prints the end of the definition that it is handed.
MELTANO = '#!/bin/sh\ntail -n 1 "$4"\n'


def git(folder: Path, *words: str) -> str:
    """Run git."""
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    ("origin", "url"),
    [
        ("https://git.example.com/me/tap-payments.git", "https://git.example.com/me/tap-payments.git"),
        ("git@git.example.com:me/tap-payments.git", "ssh://git@git.example.com/me/tap-payments.git"),
        ("/srv/tap-payments", "file:///srv/tap-payments"),
        (None, "file://{clone}"),
    ],
)
def test_both_come_from_the_origin_or_the_clone_at_the_commit(origin: str | None, url: str, tmp_path: Path) -> None:
    clone, program = tmp_path / "clone", tmp_path / "meltano"
    shutil.copytree(ROOT / "hub", clone / "hub")
    program.write_text(MELTANO, encoding="utf-8")
    program.chmod(0o755)
    git(clone, "init", "--quiet")
    git(clone, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--allow-empty", "-m", "one")
    if origin:
        git(clone, "remote", "add", "origin", origin)
    tap = f"pip_url: git+{url.format(clone=clone)}@{git(clone, 'rev-parse', 'HEAD')}"
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    for plugins, lines in (([], [tap, f"{tap}#subdirectory={LOADER}"]), (["tap-payments"], [tap])):
        command = ["sh", str(clone / "hub" / "add.sh"), *plugins]
        done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
        assert done.stdout.splitlines() == lines
    assert (ROOT / LOADER / "pyproject.toml").exists()
