"""The tap without Meltano: into a target that writes files, and past a checker that shares no code with the SDK."""

from __future__ import annotations

import copy
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.fake_api.data import make_account
from tests.fake_api.providers import STREAMS
from tests.fake_api.server import FakeAPI
from tests.support.meltano import PLUGINS, ROOT
from tests.support.tap_runs import TAP, discovered_catalog, tap_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.meltano

TARGET = PLUGINS / "loaders" / "target-jsonl" / "venv" / "bin" / "target-jsonl"
CHECKER = ROOT / ".venvs" / "singer-tools" / "bin" / "singer-check-tap"
SIZES = {"charges": 1203, "products": 40, "customers": 300, "subscriptions": 80}
INCREMENTAL = ("charges", "customers", "subscriptions")


@pytest.fixture(scope="module", params=["generic", "chargedesk"])
def api(request: pytest.FixtureRequest) -> Iterator[FakeAPI]:
    account = make_account(**SIZES, php=request.param == "chargedesk")
    with FakeAPI(account, provider=request.param) as api:
        yield api


@pytest.fixture
def config(api: FakeAPI, tmp_path: Path) -> Path:
    file = tmp_path / "c.json"
    file.write_text(json.dumps(tap_config(api)), encoding="utf-8")
    return file


def test_a_pipe_into_target_jsonl_writes_every_record(api: FakeAPI, config: Path, tmp_path: Path) -> None:
    with subprocess.Popen([TAP, "--config", config], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tap:
        target = subprocess.run([TARGET], stdin=tap.stdout, cwd=tmp_path, capture_output=True, check=False)
    assert tap.returncode == 0
    assert target.returncode == 0, target.stderr.decode()
    assert json.loads(target.stdout.splitlines()[-1]) is not None
    for name, stream in STREAMS.items():
        # The time of the run is in the file's name.
        (file,) = tmp_path.glob(f"{name}-*.jsonl")
        lines = file.read_text(encoding="utf-8").splitlines()
        assert sorted(json.loads(line)[stream.key] for line in lines) == sorted(api.account.keys(name))


@pytest.mark.parametrize("method", ["FULL_TABLE", "INCREMENTAL"])
def test_a_foreign_checker_finds_nothing_wrong(config: Path, tmp_path: Path, method: str) -> None:
    catalog = copy.deepcopy(discovered_catalog())
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] in INCREMENTAL:
            entry["replication_method"] = method
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps(catalog), encoding="utf-8")
    with subprocess.Popen(
        [TAP, "--config", config, "--catalog", file], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as tap:
        checked = subprocess.run([CHECKER], stdin=tap.stdout, capture_output=True, text=True, check=False)
    assert tap.returncode == 0
    assert checked.returncode == 0, checked.stderr
    for stream, size in SIZES.items():
        assert f"{stream}" in checked.stdout
        assert str(size) in checked.stdout, checked.stdout
