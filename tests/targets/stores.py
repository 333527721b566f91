"""The targets' surroundings: an environment each, and the stores that they write to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from benchmarks.environments import InstallError, environment
from tests.support.postgres import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

MOTO = "moto[server]==5.2.5"
SECONDS_TO_START = 30


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
        InstallError: If there is no such Python, or something cannot be installed.
    """
    return environment(
        f"targets/{name}", *packages, overrides=overrides, python=_python(python) if python else sys.executable
    )


def _python(version: str) -> Path:
    """Find a Python on PATH or among pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in (Path(f"python{version}"), *sorted(pyenv.glob(f"versions/{version}.*/bin/python"))):
        with suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([found, "-c", ""], check=True, capture_output=True)
            return found
    raise InstallError(f"there is no Python {version}")


class ObjectStore:
    """Moto's S3 on loopback, with one bucket."""

    bucket = "payments"

    def __init__(self) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        program = installed("moto", [MOTO]) / "moto_server"
        command: list[str | Path] = [program, "-H", "127.0.0.1", "-p", str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            with suppress(requests.ConnectionError):
                requests.put(f"{self.url}/{self.bucket}", timeout=5).raise_for_status()
                return self
            time.sleep(0.1)
        self.__exit__()
        raise InstallError("moto does not answer")

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
