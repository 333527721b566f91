"""Environments beside the project's, for the peers and the targets: each has its own, made when it is first needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ROOT / ".venvs"
# The installer that the Makefile brings.
UV = ENVIRONMENTS / "uv" / "bin" / "uv"
INSTALLED = "installed"
TOLD_OF_A_FAILURE = 1000


class InstallError(Exception):
    """An environment could not be installed; the text is the end of the installer's output."""


def environment(name: str, *packages: str, overrides: Iterable[str] = (), python: str | Path = sys.executable) -> Path:
    """Make sure that an environment exists and has what it is for.

    Args:
        name: Its folder in `.venvs/`.
        packages: What to install, as an installer takes it.
        overrides: Requirements in place of those that the packages have.
        python: The interpreter that it is for.

    Returns:
        The folder of its programs.

    Raises:
        InstallError: If something cannot be installed.
    """
    folder = ENVIRONMENTS / name
    programs, mark, replaced = folder / "bin", folder / INSTALLED, folder / "overrides.txt"
    wanted = "\n".join([str(python), *packages, "overrides:", *overrides])
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return programs
    _run(UV, "venv", "--quiet", "--clear", "--python", python, folder)
    replaced.write_text("\n".join(overrides), encoding="utf-8")
    _run(UV, "pip", "install", "--quiet", "--python", programs / "python", "--overrides", replaced, *packages)
    mark.write_text(wanted, encoding="utf-8")
    return programs


def versions(programs: Path, *packages: str) -> dict[str, str]:
    """Return which versions of some packages an environment has."""
    code = "import sys\nfrom importlib.metadata import version\nfor name in sys.argv[1:]: print(version(name))"
    found = subprocess.run(
        [programs / "python", "-c", code, *packages], check=True, capture_output=True, text=True
    ).stdout.split()
    return dict(zip(packages, found, strict=True))


def own_programs() -> Path:
    """Return the folder of the programs of the environment that this runs in."""
    return Path(sys.executable).parent


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        output = (done.stderr or done.stdout)[-TOLD_OF_A_FAILURE:].strip()
        raise InstallError(f"{' '.join(map(str, command[-3:]))} exited with {done.returncode}: {output}")
