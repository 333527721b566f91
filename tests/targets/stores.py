"""What the targets need around them: an environment each, and the stores that they write to."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

ROOT = Path(__file__).parents[2]
UV = ROOT / ".venvs" / "uv" / "bin" / "uv"
ENVIRONMENTS = ROOT / ".venvs" / "targets"
MOTO = "moto[server]==5.2.5"
SECONDS_TO_START = 30


class SetUpError(Exception):
    """What cannot be set up; the text says why."""


def installed(name: str, packages: Iterable[str], overrides: Iterable[str] = (), python: str = "") -> Path:
    """Make sure that an environment exists and has what it is for.

    Args:
        name: Its name.
        packages: What to install.
        overrides: Requirements in place of those that the packages have.
        python: The version of Python, where the project's own is too new.

    Returns:
        The folder of its programs.

    Raises:
        SetUpError: If there is no such Python, or something cannot be installed.
    """
    folder = ENVIRONMENTS / name
    mark, replaced = folder / "installed.txt", folder / "overrides.txt"
    wanted = "\n".join([python, *packages, "overrides:", *overrides])
    if not mark.exists() or mark.read_text(encoding="utf-8") != wanted:
        base = _python(python) if python else ROOT / ".venvs" / "python" / "bin" / "python"
        _run(UV, "venv", "--quiet", "--clear", "--python", base, folder)
        replaced.write_text("\n".join(overrides), encoding="utf-8")
        _run(UV, "pip", "install", "--quiet", "--python", folder, "--overrides", replaced, *packages)
        mark.write_text(wanted, encoding="utf-8")
    return folder / "bin"


def _python(version: str) -> Path:
    """Find a Python on PATH or among pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in (Path(f"python{version}"), *sorted(pyenv.glob(f"versions/{version}.*/bin/python"))):
        with suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([found, "-c", ""], check=True, capture_output=True)
            return found
    raise SetUpError(f"there is no Python {version}")


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetUpError(done.stderr.strip()[-500:])


class ObjectStore:
    """Moto's S3 on loopback, with one bucket."""

    bucket = "payments"

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"

    def __enter__(self) -> Self:
        program = installed("moto", [MOTO]) / "moto_server"
        command: list[str | Path] = [program, "-H", "127.0.0.1", "-p", self.url.rpartition(":")[2]]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            with suppress(requests.ConnectionError):
                requests.put(f"{self.url}/{self.bucket}", timeout=5).raise_for_status()
                return self
            time.sleep(0.1)
        self.__exit__()
        raise SetUpError("moto does not answer")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def download(self, prefix: str, folder: Path) -> None:
        """Write the objects under a prefix to a folder."""
        listed = requests.get(f"{self.url}/{self.bucket}", {"list-type": "2", "prefix": f"{prefix}/"}, timeout=5)
        for key in re.findall(r"<Key>(.*?)</Key>", listed.text):
            file = folder / key.removeprefix(f"{prefix}/")
            file.parent.mkdir(parents=True, exist_ok=True)
            # Any signature will do, but there has to be one.
            found = requests.get(f"{self.url}/{self.bucket}/{key}", headers={"Authorization": "AWS key:"}, timeout=5)
            found.raise_for_status()
            file.write_bytes(found.content)
