"""The generated documents are current, and agree with those that are written by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import nightly_requests
from scripts.documents import documents
from tap_payments.settings import SETTINGS
from tap_payments.tap import TapPayments

ROOT = Path(__file__).parents[2]
SECRET = re.compile("password|private_key|secret|token|url$")
DOCUMENTS = documents()


def plugin(kind: str, name: str) -> dict[str, Any]:
    """Return one plugin's entry in `meltano.yml`."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    entry: dict[str, Any] = next(entry for entry in project["plugins"][kind] if entry["name"] == name)
    return entry


@pytest.mark.parametrize("path", DOCUMENTS)
def test_what_is_committed_is_what_make_docs_writes(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == DOCUMENTS[path], "run `make docs`"


@pytest.mark.parametrize("records", nightly_requests.SIZES[:2])
def test_the_requests_of_a_night_are_what_make_docs_computes(records: int) -> None:
    lines = (ROOT / "docs" / "nightly.md").read_text(encoding="utf-8").splitlines()
    assert nightly_requests.row(records) in lines, "run `make docs`"


def test_the_readme_repeats_the_requests_of_a_million_charges() -> None:
    nightly = (ROOT / "docs" / "nightly.md").read_text(encoding="utf-8")
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    full, _, incremental, _ = re.findall(r"([\d,]+) \(", nightly.partition("| 1,000,000 |")[2])[:4]
    assert f"A million charges take {incremental} requests a night instead of {full};" in readme


@pytest.mark.parametrize("path", ["hub/tap-payments.yml", "hub/target-postgres.yml"])
def test_a_definition_does_not_choose_where_a_plugin_is_installed_from(path: str) -> None:
    definition = yaml.safe_load(DOCUMENTS[path])
    assert "pip_url" not in definition
    assert "structured-logging" in definition["capabilities"]


def test_meltano_yml_has_the_capabilities_and_the_required_settings_of_the_tap() -> None:
    extractor = plugin("extractors", "tap-payments")
    assert set(extractor["capabilities"]) == {capability.value for capability in TapPayments.capabilities}
    required = [setting.name for setting in SETTINGS if not setting.optional]
    assert extractor["settings_group_validation"] == [required]


@pytest.mark.parametrize("name", ["target-postgres", "target-jsonl"])
def test_meltano_masks_what_is_secret_of_a_target(name: str) -> None:
    for setting in plugin("loaders", name)["settings"]:
        assert setting.get("sensitive", False) is bool(SECRET.search(setting["name"])), setting["name"]


def test_the_environment_knows_only_settings_of_the_target() -> None:
    known = {setting["name"] for setting in plugin("loaders", "target-postgres")["settings"]}
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    variables = set(re.findall(r"^(?:# )?TARGET_POSTGRES_([A-Z_]+)=", text, flags=re.MULTILINE))
    assert {"HOST", "PASSWORD"} <= variables
    assert {name.lower() for name in variables} <= known
