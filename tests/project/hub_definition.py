"""The tap and the loader as MeltanoHub lists plugins, for `meltano add --from-ref`: what `make hub` writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tap_payments.streams import STREAMS
from tap_payments.tap import TapPayments

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "hub"
HEADER = "# Written by `make hub`. To add the plugin to a Meltano project: meltano add {name} --from-ref <this file>\n"
# The hub's words for JSON Schema's types. It has `decimal` too, which Meltano 4.4 cannot pass on from the environment.
KINDS = {"string": "string", "integer": "integer", "number": "integer", "boolean": "boolean", "object": "object"}
KINDS_BY_NAME = {
    "start_date": "date_iso8601",
    **dict.fromkeys(("provider", "on_invalid_value", "amounts", "personal_data"), "options"),
}
# What a definition takes from `meltano.yml`. Where a plugin is installed from is left to the project that adds it.
LOADER_FIELDS = ("name", "namespace", "label", "description", "variant", "executable", "capabilities")


def definitions() -> dict[Path, str]:
    """Return the files and what is in them."""
    return {
        FOLDER / f"{definition['name']}.yml": HEADER.format(name=definition["name"])
        + yaml.safe_dump(definition, sort_keys=False, allow_unicode=True, width=120)
        for definition in (tap_definition(), loader_definition())
    }


def tap_definition() -> dict[str, Any]:
    """Return the definition of the tap, made from the code."""
    schema = TapPayments.config_jsonschema
    TapPayments.append_builtin_config(schema)
    return {
        "name": TapPayments.name,
        "namespace": TapPayments.name.replace("-", "_"),
        "label": "Payments API",
        "description": TapPayments.__doc__,
        "variant": "tap-payments",
        "executable": TapPayments.name,
        "domain_url": "https://chargedesk.com",
        "capabilities": sorted(capability.value for capability in TapPayments.capabilities),
        "select": [f"{name}.*" for name in STREAMS],
        "settings_group_validation": [schema["required"]],
        "settings": [_setting(name, declared) for name, declared in schema["properties"].items()],
        "keywords": ["api", "meltano_sdk"],
        "maintenance_status": "active",
    }


def loader_definition() -> dict[str, Any]:
    """Return the definition of the loader: its entry in `meltano.yml`, whose `config` becomes defaults."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    loader = next(entry for entry in project["plugins"]["loaders"] if entry["name"] == "target-postgres")
    config = loader["config"]
    return {
        **{field: loader[field] for field in LOADER_FIELDS},
        "settings_group_validation": loader["settings_group_validation"],
        "settings": [
            setting | {"value": config[setting["name"]]} if setting["name"] in config else setting
            for setting in loader["settings"]
        ],
        "keywords": ["database", "meltano_sdk"],
        "maintenance_status": "active",
    }


def _setting(name: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition of one setting."""
    types = declared.get("type", "object")
    kind = next(kind for kind in ([types] if isinstance(types, str) else types) if kind != "null")
    described: dict[str, Any] = {
        "name": name,
        "kind": KINDS_BY_NAME.get(name, KINDS.get(kind, "string")),
        "label": declared.get("title", name),
        "description": declared.get("description", ""),
    }
    if declared.get("secret"):
        described["sensitive"] = True
    if declared.get("default") is not None:
        described["value"] = declared["default"]
    if "enum" in declared:
        described["options"] = [{"label": choice, "value": choice} for choice in declared["enum"]]
    return described


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for path, text in definitions().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
