"""Meltano: its other commands, the target that writes files, and a project that is set up from `hub/`."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from scripts.documents import ROOT
from scripts.settings import definitions
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.loaders import EXACT, PROGRAMS, Warehouse
from tests.support.meltano import MELTANO

if TYPE_CHECKING:
    from tests.e2e.conftest import ProjectMaker
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano

SCHEMA = "own_project"
# More digits than COPY keeps without the layer.
AMOUNT = "12345678901234567.890"
SIZES = {**dict.fromkeys(STREAMS, 8), "charges": 40}
ADD = ROOT / "hub" / "add.sh"
# An earlier version of the tap is there, as after a plain `meltano add --from-ref`: without a `pip_url`.
EARLIER = {
    "name": "tap-payments",
    "namespace": "tap_payments",
    "variant": "tap-payments",
    "config": {"page_size": 17},
    "select": ["*.*", "!charges.logs"],
}
PROJECT = {
    "project_id": SCHEMA,
    "default_environment": "dev",
    "environments": [{"name": "dev"}],
    "plugins": {"extractors": [EARLIER]},
}


def test_tap_and_loader_come_from_the_commit_and_load_every_digit(
    make_project: ProjectMaker, postgres: Postgres
) -> None:
    account = make_account(**SIZES, php=False)
    account["charges"][0]["amount"] = AMOUNT
    with FakeAPI(account, password="pass: wörd") as api:
        project = make_project(SCHEMA, api)
        project.file.write_text(yaml.safe_dump(PROJECT), encoding="utf-8")
        # What is installed is shared by all tests: with another `pip_url`, Meltano would install it anew.
        meltano = project.folder / "bin" / "meltano"
        meltano.parent.mkdir()
        meltano.write_text(f'#!/bin/sh\nexec "{MELTANO}" "$@" --no-install\n', encoding="utf-8")
        meltano.chmod(0o755)
        environment = {**project.environment, "PATH": f"{meltano.parent}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run(["sh", ADD], cwd=project.folder, env=environment, check=True, capture_output=True)
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
        output = project.run("run", "--no-install", "tap-payments", "target-postgres")
    assert "Run completed" in output
    assert api.username not in output
    assert api.password not in output
    warehouse = Warehouse(postgres, SCHEMA)
    assert warehouse.counts() == SIZES
    assert warehouse.types("charges")["amount"] == "numeric"
    assert str(warehouse.rows("charges")[api.account.keys("charges")[0]]["amount"]) == AMOUNT

    plugins = yaml.safe_load(project.file.read_text(encoding="utf-8"))["plugins"]
    (tap,), (loader,) = plugins["extractors"], plugins["loaders"]
    assert tap["pip_url"].startswith("git+")
    assert tap["pip_url"].endswith(f"@{head.stdout.strip()}")
    assert loader["pip_url"] == f"{tap['pip_url']}#subdirectory=load/target-postgres"
    # An upgrade keeps what the project set.
    assert {name: tap[name] for name in ("config", "select")} == {name: EARLIER[name] for name in ("config", "select")}
    assert [setting["name"] for setting in tap["settings"]] == [each["name"] for each in definitions()]


def test_the_loader_is_defined_with_every_setting_and_capability_that_it_has() -> None:
    program = PROGRAMS / EXACT.program
    about = json.loads(subprocess.run([program, "--about", "--format=json"], check=True, capture_output=True).stdout)
    properties = about["settings"]["properties"]
    nested = {f"ssh_tunnel.{name}" for name in properties.pop("ssh_tunnel")["properties"]}
    definition = yaml.safe_load((ROOT / "hub" / "target-postgres.yml").read_text(encoding="utf-8"))
    # This one meltanolabs have given up themselves.
    properties.pop("dialect+driver", None)
    assert {setting["name"] for setting in definition["settings"]} == properties.keys() | nested
    assert set(definition["capabilities"]) == set(about["capabilities"])


def test_config_test_names_a_wrong_password(make_project: ProjectMaker) -> None:
    settings = {"TAP_PAYMENTS_PASSWORD": "wrong-one"}
    with FakeAPI() as api:
        project = make_project("wrong_password", api)
        output = project.run("config", "test", "tap-payments", settings=settings, fails=True)
    assert "401" in output
    assert "check `username` and `password`" in output
    assert "wrong-one" not in output


def test_selection_and_stream_maps_reach_the_files(make_project: ProjectMaker) -> None:
    account = make_account(charges=60, products=5, customers=12)
    maps = {"customers": {"email": "sha256(config['hash_seed'] + email)", "name": "__NULL__"}}
    settings = {
        "TAP_PAYMENTS_STREAM_MAPS": json.dumps(maps),
        "TAP_PAYMENTS_STREAM_MAP_CONFIG": json.dumps({"hash_seed": "salt"}),
    }
    with FakeAPI(account) as api:
        project = make_project("commands", api)
        content = yaml.safe_load(project.file.read_text(encoding="utf-8"))
        # As `meltano select` writes it.
        content["plugins"]["extractors"][0]["select"] = ["charges.amount", "customers.*", "!customers.logs"]
        project.file.write_text(yaml.safe_dump(content), encoding="utf-8")
        project.run("run", "tap-payments", "target-jsonl", settings=settings)
    folder = project.folder / "output"
    assert {file.name for file in folder.iterdir()} == {"charges.jsonl", "customers.jsonl"}

    charges, customers = (
        [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in ("charges", "customers")
    )
    expected = [{name: one[name] for name in ("charge_id", "amount")} for one in account["charges"]]
    assert charges == expected
    for customer, served in zip(customers, account["customers"], strict=True):
        assert customer["email"] == hashlib.sha256(f"salt{served['email']}".encode()).hexdigest()
        assert "name" not in customer
        assert "logs" not in customer
        assert customer["country"] == served["country"]
