"""The settings in the code, in `meltano.yml`, in `.env.example` and in `docs/settings.md` are the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tap_payments.settings import SETTINGS
from tap_payments.tap import TapPayments

ROOT = Path(__file__).parents[2]
LOADER = ROOT / "load" / "target-postgres"
# Settings that the SDK adds, and that users are told of.
BUILTIN = (
    "stream_maps",
    "stream_map_config",
    "flattening_enabled",
    "flattening_max_depth",
    "batch_config",
    "emit_activate_version_messages",
)
SECRET = re.compile("password|private_key|secret|token|url$")
# Meltano cannot hand on a number of its own kind `decimal` that comes from the environment.
KINDS = {"string": "string", "boolean": "boolean", "integer": "integer", "number": "integer"}
KINDS_BY_NAME = {
    **dict.fromkeys(("provider", "on_invalid_value", "amounts", "personal_data"), "options"),
    "start_date": "date_iso8601",
}


def one_line(text: str) -> str:
    """Return a text without its line breaks."""
    return " ".join(text.split())


def meltano() -> dict[str, Any]:
    """Return what is in `meltano.yml`."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    return content


def plugin(kind: str, name: str) -> dict[str, Any]:
    """Return one plugin's entry in `meltano.yml`."""
    return next(entry for entry in meltano()["plugins"][kind] if entry["name"] == name)


def environment() -> dict[str, str]:
    """Return the variables in `.env.example`, those that are commented out too."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$", text, flags=re.MULTILINE))


def as_text(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default is None else str(default)


def test_meltano_knows_every_setting_in_its_order() -> None:
    names = [setting["name"] for setting in plugin("extractors", "tap-payments")["settings"]]
    assert names == [*SETTINGS.wrapped, *BUILTIN]


@pytest.mark.parametrize("name", SETTINGS.wrapped)
def test_settings_in_meltano_yml_match_the_code(name: str) -> None:
    entry = next(one for one in plugin("extractors", "tap-payments")["settings"] if one["name"] == name)
    setting = SETTINGS.wrapped[name]
    assert entry["label"] == setting.title
    assert one_line(entry["description"]) == setting.description
    assert entry["kind"] == KINDS_BY_NAME.get(name, KINDS[setting.type_dict["type"][0]])
    assert entry.get("value") == setting.default
    assert entry.get("sensitive", False) is setting.secret
    assert [option["value"] for option in entry.get("options", ())] == (setting.allowed_values or [])


def test_meltano_asks_for_what_is_required() -> None:
    required = [setting.name for setting in SETTINGS if not setting.optional]
    assert plugin("extractors", "tap-payments")["settings_group_validation"] == [required]


def test_the_sdk_still_has_the_settings_that_it_is_said_to_add() -> None:
    schema = TapPayments.config_jsonschema
    TapPayments.append_builtin_config(schema)
    kinds = {entry["name"]: entry["kind"] for entry in plugin("extractors", "tap-payments")["settings"]}
    for name in BUILTIN:
        assert kinds[name] in schema["properties"][name]["type"]


@pytest.mark.parametrize("name", ["target-postgres", "target-jsonl"])
def test_meltano_masks_what_is_secret_of_a_target(name: str) -> None:
    for setting in plugin("loaders", name)["settings"]:
        assert setting.get("sensitive", False) is bool(SECRET.search(setting["name"])), setting["name"]


def test_meltano_offers_what_the_tap_is_capable_of() -> None:
    ours = {capability.value for capability in TapPayments.capabilities}
    assert set(plugin("extractors", "tap-payments")["capabilities"]) == ours


def test_the_environment_has_every_setting_and_default() -> None:
    variables = environment()
    taps = {name: value for name, value in variables.items() if name.startswith("TAP_PAYMENTS_")}
    settings = [*SETTINGS.wrapped, *BUILTIN]
    assert list(taps) == [f"TAP_PAYMENTS_{name.upper()}" for name in settings]
    for setting in SETTINGS:
        assert taps[f"TAP_PAYMENTS_{setting.name.upper()}"] == as_text(setting.default)


def test_the_environment_sets_only_what_no_plugin_sets_itself() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert re.findall(r"^TAP_PAYMENTS_([A-Z_]+)=", text, flags=re.MULTILINE) == ["USERNAME", "PASSWORD"]


def test_the_environment_knows_only_settings_of_the_target() -> None:
    known = {setting["name"] for setting in plugin("loaders", "target-postgres")["settings"]}
    variables = {name for name in environment() if name.startswith("TARGET_POSTGRES_")}
    assert {"TARGET_POSTGRES_HOST", "TARGET_POSTGRES_PASSWORD"} <= variables
    assert {name.removeprefix("TARGET_POSTGRES_").lower() for name in variables} <= known


def test_the_page_of_settings_has_each_with_its_default() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    table = re.search(r"^\| *setting *\|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    assert table is not None
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]
    assert [re.findall("`([a-z_]+)`", row[0]) for row in rows] == [[setting.name] for setting in SETTINGS]
    for setting, row in zip(SETTINGS, rows, strict=True):
        if setting.default not in {None, ""}:
            assert row[1] == f"`{as_text(setting.default)}`"
        if not setting.optional:
            assert row[1] == "required"


def test_the_readme_pins_tap_and_loader_where_installers_look_for_it() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    urls = re.findall(r"pip_url: git\+<URL of this repository>(\S+)", text)
    assert urls == ["@<commit>", f"@<commit>#subdirectory={LOADER.relative_to(ROOT)}"]
    assert (LOADER / "pyproject.toml").exists()
