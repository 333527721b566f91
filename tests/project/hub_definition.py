"""The tap as MeltanoHub lists plugins, made from the code: `make hub`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import yaml

from tap_payments.streams import STREAMS
from tap_payments.tap import TapPayments

if TYPE_CHECKING:
    from collections.abc import Mapping

# The hub's words for JSON Schema's types. It has `decimal` too, which Meltano 4.4 cannot pass on from the environment.
KINDS = {"string": "string", "integer": "integer", "number": "integer", "boolean": "boolean", "object": "object"}
KINDS_BY_NAME = {"start_date": "date_iso8601", "provider": "options", "on_invalid_value": "options"}


def hub_definition() -> dict[str, Any]:
    """Describe the plugin."""
    schema = TapPayments.config_jsonschema
    TapPayments.append_builtin_config(schema)
    return {
        "name": TapPayments.name,
        "namespace": TapPayments.name.replace("-", "_"),
        "label": "Payments API",
        "description": TapPayments.__doc__,
        "variant": "tap-payments",
        "pip_url": TapPayments.package_name,
        "executable": TapPayments.name,
        "domain_url": "https://chargedesk.com",
        "capabilities": sorted(capability.value for capability in TapPayments.capabilities),
        "select": [f"{name}.*" for name in STREAMS],
        "settings_group_validation": [schema["required"]],
        "settings": [_setting(name, declared) for name, declared in schema["properties"].items()],
        "keywords": ["api", "meltano_sdk"],
        "maintenance_status": "active",
    }


def _setting(name: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    """Describe one setting."""
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


if __name__ == "__main__":
    yaml.safe_dump(hub_definition(), sys.stdout, sort_keys=False, allow_unicode=True)
