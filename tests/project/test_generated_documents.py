"""The generated documents are current, and agree with those that are written by hand."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from scripts.documents import ROOT, documents
from tap_payments.settings import SETTINGS
from tap_payments.tap import TapPayments
from tests.support.nightly_requests import HEADER, SIZES, row

SECRET = re.compile("password|private_key|secret|token|url$")
DOCUMENTS = documents()
NIGHTLY = (ROOT / "docs" / "nightly.md").read_text(encoding="utf-8")
ROWS = dict(zip(SIZES, NIGHTLY.partition("\n".join(HEADER) + "\n")[2].splitlines(), strict=False))


def plugin(kind: str, name: str) -> dict[str, Any]:
    """Return one plugin's entry in `meltano.yml`."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    entry: dict[str, Any] = next(entry for entry in project["plugins"][kind] if entry["name"] == name)
    return entry


@pytest.mark.parametrize("path", DOCUMENTS)
def test_what_is_committed_is_what_make_docs_writes(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == DOCUMENTS[path], "run `make docs`"


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


def figures(line: str) -> list[int]:
    """Return the requests in a row."""
    return [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) \(", line)]


@pytest.mark.parametrize("size", SIZES[:-1])
def test_the_requests_of_a_night_are_those_of_the_taps_own_planner_and_paginator(size: int) -> None:
    assert ROWS[size] == row(size)


def test_the_largest_list_takes_ten_times_the_requests_of_the_one_before() -> None:
    # Computed by the same program, which takes a minute for it.
    *_, before, largest = (figures(ROWS[size]) for size in SIZES)
    assert largest == pytest.approx([10 * requests for requests in before], rel=0.1)


def test_the_readme_repeats_the_figures_of_a_million_charges() -> None:
    full, _, incremental, _ = figures(ROWS[1_000_000])
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"A million charges take {incremental:,} requests a night instead of {full:,}" in readme
