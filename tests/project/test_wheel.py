"""The wheel, in an environment that has nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tap_payments import __version__
from tests.fake_api.providers import STREAMS

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[2]
UV = ROOT / ".venvs" / "uv" / "bin" / "uv"
ENVIRONMENT = {"UV_SYSTEM_CERTS": "true", **os.environ}


def test_the_wheel_has_the_package_alone_and_runs_in_an_empty_environment(tmp_path: Path) -> None:
    # By way of the source distribution, as for a release.
    build: list[str | Path] = [UV, "build", "--quiet", "--python", sys.executable, "--out-dir", tmp_path, ROOT]
    subprocess.run(build, check=True, env=ENVIRONMENT)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"tap_payments", f"tap_payments-{__version__}.dist-info"}
    assert "tap_payments/py.typed" in names
    assert {f"tap_payments/schemas/{stream}.json" for stream in STREAMS} <= set(names)

    venv = tmp_path / "venv"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, venv], check=True)
    subprocess.run([UV, "pip", "install", "--quiet", "--python", venv, wheel], check=True, env=ENVIRONMENT)

    def run(*command: Path | str) -> bytes:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True).stdout

    tap = venv / "bin" / "tap-payments"
    catalog = json.loads(run(tap, "--discover"))
    assert {entry["tap_stream_id"] for entry in catalog["streams"]} == set(STREAMS)
    assert __version__.encode() in run(tap, "--version")
    assert b"base_url" in run(venv / "bin" / "python", "-m", "tap_payments", "--about")
