"""The tap and the loader as MeltanoHub lists plugins, for `meltano add --from-ref`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from scripts.settings import WIDTH, definitions
from tap_payments.streams import STREAMS
from tap_payments.tap import TapPayments

ROOT = Path(__file__).parents[1]
HEADER = "# Written by `make docs`. To add the plugin to a Meltano project: meltano add {name} --from-ref <this file>\n"
# What a definition takes from `meltano.yml`. Where a plugin is installed from is left to the project that adds it.
LOADER_FIELDS = (
    "name",
    "namespace",
    "label",
    "description",
    "variant",
    "executable",
    "capabilities",
    "settings_group_validation",
)


def tap() -> str:
    """Return the definition of the tap, made from the code."""
    name = TapPayments.name
    return _definition(
        name=name,
        namespace=name.replace("-", "_"),
        label="Payments API",
        description=TapPayments.__doc__,
        variant="tap-payments",
        executable=name,
        domain_url="https://chargedesk.com",
        capabilities=sorted(capability.value for capability in TapPayments.capabilities),
        select=[f"{stream}.*" for stream in STREAMS],
        settings_group_validation=[TapPayments.config_jsonschema["required"]],
        settings=definitions(),
        keywords=["api", "meltano_sdk"],
    )


def loader() -> str:
    """Return the definition of the loader: its entry in `meltano.yml`, whose `config` becomes defaults."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    entry = next(entry for entry in project["plugins"]["loaders"] if entry["name"] == "target-postgres")
    config = entry["config"]
    return _definition(
        **{field: entry[field] for field in LOADER_FIELDS},
        settings=[
            setting | {"value": config[setting["name"]]} if setting["name"] in config else setting
            for setting in entry["settings"]
        ],
        keywords=["database", "meltano_sdk"],
    )


def _definition(**fields: Any) -> str:
    text = yaml.safe_dump(fields | {"maintenance_status": "active"}, sort_keys=False, allow_unicode=True, width=WIDTH)
    return HEADER.format(name=fields["name"]) + text
