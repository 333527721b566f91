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


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a repository with the folder `hub` and one commit."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "hub", folder / "hub")
    program = tmp_path / "meltano"
    program.write_text(MELTANO, encoding="utf-8")
    program.chmod(0o755)
    git(folder, "init", "--quiet")
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    git(folder, *identity, "commit", "--quiet", "--allow-empty", "-m", "one")
    return folder


def git(folder: Path, *words: str) -> str:
    """Run git."""
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def add(clone: Path, *plugins: str) -> list[str]:
    """Add plugins, and return the last line of each definition."""
    environment = {**os.environ, "PATH": f"{clone.parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["sh", str(clone / "hub" / "add.sh"), *plugins]
    done = subprocess.run(command, cwd=clone.parent, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("origin", "url"),
    [
        ("https://git.example.com/me/tap-payments.git", "https://git.example.com/me/tap-payments.git"),
        ("git@git.example.com:me/tap-payments.git", "ssh://git@git.example.com/me/tap-payments.git"),
        ("/srv/tap-payments", "file:///srv/tap-payments"),
        (None, "file://{clone}"),
    ],
)
def test_both_come_from_the_origin_or_the_clone_at_the_commit(clone: Path, origin: str | None, url: str) -> None:
    if origin:
        git(clone, "remote", "add", "origin", origin)
    tap = f"pip_url: git+{url.format(clone=clone)}@{git(clone, 'rev-parse', 'HEAD')}"
    assert add(clone) == [tap, f"{tap}#subdirectory={LOADER}"]
    assert add(clone, "tap-payments") == [tap]
    assert (ROOT / LOADER / "pyproject.toml").exists()
