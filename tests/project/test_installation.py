"""Ways to install: `make` finds a Python and an installer, `hub/add.sh` adds the plugins, the wheel runs by itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tap_payments import __version__
from tests.fake_api.providers import STREAMS
from tests.support.meltano import ROOT

LOADER = "load/target-postgres"
# Stands in for Meltano, and prints the end of the definition that it is handed.
MELTANO = '#!/bin/sh\ntail -n 1 "$4"\n'
UV = ROOT / ".venvs" / "uv" / "bin" / "uv"
# What the script needs besides a Python or an installer.
TOOLS = ("cat", "echo", "head", "rm", "sed", "sort", "tail")
# Not that of an environment, which has no pip.
PYTHON = Path(sys.base_prefix) / "bin" / "python3"
# Debian's Python lacks both without python3-venv.
WITHOUT_VENV = 'case "$2" in *ensurepip*|*pip*) exit 1;; esac; '
VERSIONS = re.findall(r"Language :: Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RANGE = f"Python {VERSIONS[0]} to {VERSIONS[-1]}"

# The programs on PATH, the value of PYTHON, and the words of the one line.
REFUSALS: dict[str, tuple[dict[str, str], str, list[str]]] = {
    "nothing": ({}, "", [f"neither a {RANGE} nor uv"]),
    "a Python without venv and pip": (
        {"python3": f'{WITHOUT_VENV}exec "{PYTHON}" "$@"'},
        "",
        [str(PYTHON.parent), "venv", "pip", "uv", "python3-venv"],
    ),
    "a named Python that is not supported": ({"old": "exit 1"}, "old", [f"PYTHON=old is no {RANGE}"]),
}


def bootstrap(folder: Path, programs: dict[str, str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script where PATH has nothing but its tools and these programs."""
    path = folder / "bin"
    path.mkdir()
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "bootstrap.sh", folder / "scripts")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name, script in {**{tool: f'exec {shutil.which(tool)} "$@"' for tool in TOOLS}, **programs}.items():
        (path / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (path / name).chmod(0o755)
    command, env = ["/bin/sh", "scripts/bootstrap.sh"], {"PATH": str(path), "HOME": str(folder), **environment}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(("programs", "python", "words"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_missing_is_one_line(programs: dict[str, str], python: str, words: list[str], tmp_path: Path) -> None:
    ended = bootstrap(tmp_path, programs, PYTHON=python)
    assert ended.returncode == 1, ended
    (line,) = ended.stderr.splitlines()
    assert line.startswith("make: ")
    assert [word for word in words if word not in line] == []


@pytest.mark.packaging
@pytest.mark.parametrize("hidden", ["", WITHOUT_VENV], ids=["with venv", "with uv alone"])
def test_a_python_that_really_runs_is_taken(hidden: str, tmp_path: Path) -> None:
    programs = dict.fromkeys(("python3.14", "python3.13"), "echo 'this version is not installed' >&2; exit 127")
    programs |= {"python3": f'{hidden}exec "{PYTHON}" "$@"'} | ({"uv": f'exec "{UV}" "$@"'} if hidden else {})
    ended = bootstrap(tmp_path, programs, UV_SYSTEM_CERTS="true")
    assert ended.returncode == 0, ended.stderr
    assert str(PYTHON.parent) in ended.stdout.splitlines()[-1]
    for program, option in (("uv/bin/uv", "--version"), ("python/bin/python", "-V")):
        subprocess.run([str(tmp_path / ".venvs" / program), option], check=True, capture_output=True)
    assert not (tmp_path / ".venvs" / "downloads").exists()


def test_the_matrix_of_the_workflows_is_made_of_the_classifiers() -> None:
    printed = subprocess.run(["make", "--silent", "versions"], cwd=ROOT, check=True, capture_output=True).stdout
    assert json.loads(printed) == VERSIONS
    assert "make --silent versions" in (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")


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


@pytest.mark.packaging
def test_the_wheel_has_the_package_alone_and_runs_in_an_empty_environment(tmp_path: Path) -> None:
    environment = {"UV_SYSTEM_CERTS": "true", **os.environ}
    # By way of the source distribution, as for a release.
    build: list[str | Path] = [UV, "build", "--quiet", "--python", sys.executable, "--out-dir", tmp_path, ROOT]
    subprocess.run(build, check=True, env=environment)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"tap_payments", f"tap_payments-{__version__}.dist-info"}
    assert "tap_payments/py.typed" in names
    assert {f"tap_payments/schemas/{stream}.json" for stream in STREAMS} <= set(names)

    venv = tmp_path / "venv"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, venv], check=True)
    subprocess.run([UV, "pip", "install", "--quiet", "--python", venv, wheel], check=True, env=environment)

    def run(*command: Path | str) -> bytes:
        others = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(command, cwd=tmp_path, env=others, check=True, capture_output=True).stdout

    tap = venv / "bin" / "tap-payments"
    catalog = json.loads(run(tap, "--discover"))
    assert {entry["tap_stream_id"] for entry in catalog["streams"]} == set(STREAMS)
    assert __version__.encode() in run(tap, "--version")
    assert b"base_url" in run(venv / "bin" / "python", "-m", "tap_payments", "--about")
