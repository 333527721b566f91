"""The definitions in `hub/` are what `make hub` writes, and agree with the code and with `meltano.yml`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tap_payments.settings import SETTINGS
from tests.project.hub_definition import FOLDER, ROOT, definitions, loader_definition, tap_definition

if TYPE_CHECKING:
    from pathlib import Path


def plugin(kind: str, name: str) -> dict[str, Any]:
    """Return an entry of `meltano.yml`."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    entry: dict[str, Any] = next(entry for entry in project["plugins"][kind] if entry["name"] == name)
    return entry


@pytest.mark.parametrize("path", definitions(), ids=lambda path: path.name)
def test_what_is_committed_is_what_make_hub_writes(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == definitions()[path], "run `make hub`"


def test_nothing_else_is_committed() -> None:
    assert set(FOLDER.iterdir()) == set(definitions())


def test_names_every_setting_of_the_tap_and_marks_secrets() -> None:
    settings = {setting["name"]: setting for setting in tap_definition()["settings"]}
    for name, setting in SETTINGS.items():
        assert settings[name]["description"] == setting.description
        assert settings[name].get("sensitive", False) == setting.secret
    assert {"stream_maps", "flattening_enabled", "batch_config", "emit_activate_version_messages"} <= settings.keys()


@pytest.mark.parametrize("text", definitions().values(), ids=["tap", "loader"])
def test_a_definition_does_not_choose_where_a_plugin_is_installed_from(text: str) -> None:
    assert "pip_url" not in yaml.safe_load(text)
    assert "structured-logging" in yaml.safe_load(text)["capabilities"]


def test_the_tap_is_defined_as_the_project_has_it() -> None:
    definition, extractor = tap_definition(), plugin("extractors", "tap-payments")
    for field in ("name", "namespace", "executable", "settings_group_validation"):
        assert definition[field] == extractor[field], field
    assert set(definition["capabilities"]) == set(extractor["capabilities"])
    kinds = {setting["name"]: setting["kind"] for setting in definition["settings"]}
    for setting in extractor["settings"]:
        assert kinds[setting["name"]] == setting["kind"], setting["name"]


def test_the_loader_loads_as_the_project_does() -> None:
    loader = plugin("loaders", "target-postgres")
    defaults = {setting["name"]: setting.get("value") for setting in loader_definition()["settings"]}
    assert defaults == {setting["name"]: setting.get("value") for setting in loader["settings"]} | loader["config"]
    assert loader["config"]
