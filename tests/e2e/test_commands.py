"""Meltano's other commands, and the target that writes files."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.fake_api import FakeAPI, make_account

if TYPE_CHECKING:
    from tests.e2e.conftest import ProjectMaker

pytestmark = pytest.mark.meltano


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
