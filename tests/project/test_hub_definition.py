"""The definition for MeltanoHub is made from the code, and says the same as `meltano.yml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tap_payments.settings import SETTINGS
from tests.project.hub_definition import hub_definition

PROJECT = Path(__file__).parents[2]


def meltano_extractor() -> dict[str, Any]:
    project = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))
    extractor: dict[str, Any] = next(
        plugin for plugin in project["plugins"]["extractors"] if plugin["name"] == "tap-payments"
    )
    return extractor


def test_names_every_setting_and_marks_secrets() -> None:
    settings = {setting["name"]: setting for setting in hub_definition()["settings"]}
    for name, setting in SETTINGS.items():
        assert settings[name]["description"] == setting.description
        assert settings[name].get("sensitive", False) == setting.secret
    assert {"stream_maps", "flattening_enabled", "batch_config", "emit_activate_version_messages"} <= settings.keys()


def test_survives_a_round_trip_through_yaml() -> None:
    definition = hub_definition()
    assert yaml.safe_load(yaml.safe_dump(definition)) == definition


def test_the_definition_matches_the_project() -> None:
    definition, extractor = hub_definition(), meltano_extractor()
    for field in ("name", "namespace", "executable", "settings_group_validation"):
        assert definition[field] == extractor[field], field
    kinds = {setting["name"]: setting["kind"] for setting in definition["settings"]}
    for setting in extractor["settings"]:
        assert kinds[setting["name"]] == setting["kind"], setting["name"]
