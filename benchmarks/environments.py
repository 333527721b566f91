"""The environments of the peers: each has its own, beside the project's, made when it is first needed."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ROOT / ".venvs"
INSTALLED = "installed"
TOLD_OF_A_FAILURE = 1000


class InstallError(Exception):
    """A peer that could not be installed; the text holds the last that the installer said."""


def environment(name: str, *packages: str) -> Path:
    """Make sure that an environment exists and has what it is for.

    Args:
        name: Name of the environment.
        packages: What to install, as an installer takes it.

    Returns:
        The folder of its programs.

    Raises:
        InstallError: If something cannot be installed.
    """
    folder = ENVIRONMENTS / f"bench-{name}"
    programs, mark, wanted = folder / "bin", folder / INSTALLED, "\n".join(packages)
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return programs
    venv.create(folder, clear=True, with_pip=True)
    python = programs / "python"
    uv = _uv() if name != "uv" else None
    if uv is not None:
        _run(uv, "pip", "install", "--quiet", "--python", python, *packages)
    else:
        _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)
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


def _uv() -> Path | None:
    """Return a program that installs several times as fast as pip, or None where it is not to be had."""
    there = ENVIRONMENTS / "uv" / "bin" / "uv"
    if there.exists():
        return there
    try:
        return environment("uv", "uv") / "uv"
    except InstallError:
        return None


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
        said = (done.stderr or done.stdout)[-TOLD_OF_A_FAILURE:].strip()
        raise InstallError(f"{' '.join(map(str, command[-3:]))} exited with {done.returncode}: {said}")
