"""`make` finds a Python and an installer on any machine, or says in one line what is missing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
UV = ROOT / ".venvs" / "uv" / "bin" / "uv"
# What the script needs besides a Python or an installer.
TOOLS = ("cat", "echo", "head", "rm", "sed", "sort", "tail")
# Not that of an environment, which has no pip.
PYTHON = Path(sys.base_prefix) / "bin" / "python3"
# What a Python is made to lack when the script asks for it; Debian's lacks both without python3-venv.
HIDDEN = {
    "with venv": "",
    "with uv alone": 'case "$2" in *ensurepip*|*pip*) exit 1;; esac; ',
}
FUTURE = "Programming Language :: Python :: 3.99"


class Machine:
    """A project on a machine whose PATH has nothing but the script's tools and what a test adds.

    Attributes:
        folder: The project.
        programs: The one folder on PATH.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs = folder / "project", folder / "bin"
        (self.folder / "scripts").mkdir(parents=True)
        self.programs.mkdir()
        shutil.copy(ROOT / "scripts" / "bootstrap.sh", self.folder / "scripts")
        shutil.copy(ROOT / "pyproject.toml", self.folder)
        for tool in TOOLS:
            path = shutil.which(tool)
            assert path is not None, tool
            self.add(tool, f'exec {path} "$@"')

    def add(self, name: str, script: str) -> None:
        """Put a program on PATH."""
        program = self.programs / name
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)

    def support(self, classifier: str) -> None:
        """Let the project support one version alone."""
        file = self.folder / "pyproject.toml"
        text = file.read_text(encoding="utf-8")
        versions = re.findall(r"Programming Language :: Python :: 3\.\d+", text)
        for version in versions[1:]:
            text = text.replace(f'  "{version}",\n', "")
        file.write_text(text.replace(versions[0], classifier), encoding="utf-8")

    def bootstrap(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        return subprocess.run(
            ["/bin/sh", "scripts/bootstrap.sh"],
            cwd=self.folder,
            env={"PATH": str(self.programs), "HOME": str(self.folder), **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def expect_refusal(self, *words: str, **environment: str) -> str:
        """Run the script, assert that it ends with one line that has these words, and return its output."""
        ended = self.bootstrap(**environment)
        assert ended.returncode == 1, ended
        (line,) = ended.stderr.splitlines()
        assert line.startswith("make: ")
        for word in words:
            assert word in line, (word, line)
        return ended.stdout


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def supported() -> str:
    """Return the oldest and the newest version of the classifiers, as messages name them."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    versions = re.findall(r"Programming Language :: Python :: (3\.\d+)", text)
    return f"{versions[0]} to {versions[-1]}"


def test_a_machine_with_neither_python_nor_uv_is_told_so(machine: Machine) -> None:
    assert not machine.expect_refusal(f"neither a Python {supported()} nor uv")


def test_a_python_without_venv_and_pip_is_named(machine: Machine) -> None:
    machine.add("python3", f'{HIDDEN["with uv alone"]}exec "{PYTHON}" "$@"')
    assert not machine.expect_refusal(str(PYTHON.parent), "venv", "pip", "uv", "python3-venv")


def test_a_named_python_that_is_not_supported_is_refused(machine: Machine) -> None:
    machine.add("old", f'exec "{PYTHON}" "$@"')
    machine.support(FUTURE)
    python = str(machine.programs / "old")
    assert not machine.expect_refusal(f"PYTHON={python} is no Python 3.99 to 3.99", PYTHON=python)


def test_a_python_that_cannot_be_downloaded_is_one_line(machine: Machine) -> None:
    machine.add("uv", f'exec "{UV}" "$@"')
    machine.support(FUTURE)
    output = machine.expect_refusal("uv could not download Python 3.99", "PYTHON=/path/to/python", UV_OFFLINE="true")
    assert output == "There is no Python 3.99 to 3.99: uv downloads Python 3.99 into .venvs/downloads\n"


@pytest.mark.packaging
@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
def test_a_python_that_really_runs_is_taken(machine: Machine, hidden: str) -> None:
    shim = "echo 'this version is not installed' >&2; exit 127"
    for name in ("python3.14", "python3.13"):
        machine.add(name, shim)
    machine.add("python3", f'{hidden}exec "{PYTHON}" "$@"')
    if hidden == HIDDEN["with uv alone"]:
        machine.add("uv", f'exec "{UV}" "$@"')
    ended = machine.bootstrap(UV_SYSTEM_CERTS="true")
    assert ended.returncode == 0, ended.stderr
    assert str(PYTHON.parent) in ended.stdout.splitlines()[-1]
    environments = machine.folder / ".venvs"
    for program, option in (("uv/bin/uv", "--version"), ("python/bin/python", "-V")):
        subprocess.run([str(environments / program), option], check=True, capture_output=True)
    assert not (environments / "downloads").exists()


def interrupt(command: list[str], machine: Machine, begun: Path) -> str:
    """Send SIGINT to a command and all that it started, as a terminal does, and return its output."""
    with subprocess.Popen(
        command,
        cwd=machine.folder,
        env={**os.environ, "PYTHON": str(machine.programs / "python3")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        wait_until(begun.exists)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    return output


def test_ctrl_c_while_a_python_is_set_up_shows_no_traceback(machine: Machine) -> None:
    machine.add("python3", f'exec "{PYTHON}" "$@"')
    # Python makes this link first, and then installs pip for seconds.
    begun = machine.folder / ".venvs" / "uv" / "bin" / "python"
    output = interrupt(["/bin/sh", "scripts/bootstrap.sh"], machine, begun)
    assert "Traceback" not in output


def test_ctrl_c_while_meltano_installs_shows_no_traceback(machine: Machine) -> None:
    begun = machine.folder / "begun"
    shutil.copy(ROOT / "Makefile", machine.folder)
    for name in ("meltano.yml", "load/target-postgres/pyproject.toml", ".meltano/old", ".venvs/meltano/.done"):
        (machine.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (machine.folder / name).touch()
    meltano = machine.folder / ".venvs" / "meltano" / "bin" / "meltano"
    meltano.parent.mkdir()
    meltano.write_text(f"#!{PYTHON}\nimport time\nopen({str(begun)!r}, 'w')\ntime.sleep(60)\n", encoding="utf-8")
    meltano.chmod(0o755)
    output = interrupt(["make", "-o", ".venvs/meltano/.done", ".meltano/.done"], machine, begun)
    assert "Traceback" not in output
    assert not (machine.folder / ".meltano" / ".done").exists()
