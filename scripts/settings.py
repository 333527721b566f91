"""The tap's settings as `meltano.yml`, `.env.example`, `docs/settings.md` and the hub show them."""

from __future__ import annotations

import textwrap
from dataclasses import fields
from typing import Any, Final

import yaml

from tap_payments.providers import Provider
from tap_payments.settings import SETTINGS
from tap_payments.tap import TapPayments

WIDTH: Final = 120
# Meltano's words for JSON Schema's types. Its own kind `decimal` fails as soon as a value comes from the environment.
KINDS: Final = {"string": "string", "boolean": "boolean", "integer": "integer", "number": "integer", "object": "object"}
# Settings that `.env.example` leaves empty instead of commenting them out.
ASKED_FOR: Final = ("username", "password")
BY_PROVIDER: Final = {field.name for field in fields(Provider)}
# Settings that the SDK adds: a description, and an example of an object.
BUILTIN: Final = {
    "stream_maps": (
        "Changes to make to records on their way out, such as a hash in place of an e-mail address.",
        """{"customers": {"email": "md5(record['email']) if record.get('email') else None"}}""",
    ),
    "stream_map_config": (
        "Values for the expressions in `stream_maps`, such as a `hash_seed`.",
        '{"hash_seed": "anything secret"}',
    ),
    "flattening_enabled": (
        "Whether to spread the fields of nested objects over columns of their own.",
        "",
    ),
    "flattening_max_depth": ("How many levels to flatten.", ""),
    "batch_config": (
        "Where and how to write records to files (BATCH messages), for targets that read them.",
        '{"encoding": {"format": "jsonl", "compression": "gzip"}, "storage": {"root": "file:///tmp/batches"}}',
    ),
}


def definitions() -> list[dict[str, Any]]:
    """Return every setting as Meltano and its hub define it."""
    schema = TapPayments.config_jsonschema
    TapPayments.append_builtin_config(schema)
    return [_definition(name, schema["properties"][name]) for name in (*SETTINGS.wrapped, *BUILTIN)]


def meltano_settings() -> str:
    """Return the settings of the extractor in `meltano.yml`."""
    text = yaml.safe_dump({"settings": definitions()}, sort_keys=False, allow_unicode=True, width=WIDTH - 6)
    return textwrap.indent(text, "    ")


def environment() -> str:
    """Return the variables of `.env.example`, each below its description."""
    parts = []
    for setting in definitions():
        name, example = setting["name"], BUILTIN.get(setting["name"], ("", ""))[1]
        described = textwrap.fill(setting["description"], WIDTH, initial_indent="# ", subsequent_indent="# ")
        example = f"# As JSON, such as {example}\n" if example else ""
        assigned = f"TAP_PAYMENTS_{name.upper()}={_as_text(setting.get('value'))}"
        parts.append(f"{described}\n{example}{'' if name in ASKED_FOR else '# '}{assigned}\n")
    return "\n" + "\n".join(parts) + "\n"


def table() -> str:
    """Return the table of `docs/settings.md`."""
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, setting in SETTINGS.items():
        by_provider = setting.default is None and name in BY_PROVIDER
        default = "by `provider`" if by_provider else f"`{_as_text(setting.default)}`" if setting.default else ""
        rows.append(f"| `{name}` | {default if setting.optional else 'required'} | {setting.description} |")
    rows += [f"| `{name}` | | {description} |" for name, (description, _) in BUILTIN.items()]
    return "\n".join(rows) + "\n"


def _definition(name: str, declared: dict[str, Any]) -> dict[str, Any]:
    """Return the definition of one setting, given its JSON Schema."""
    types = declared["type"]
    kind = KINDS[next(one for one in ([types] if isinstance(types, str) else types) if one != "null")]
    description, _ = BUILTIN.get(name) or (declared["description"], "")
    defined = {
        "name": name,
        "kind": "options" if "enum" in declared else "date_iso8601" if name.endswith("_date") else kind,
        "value": declared.get("default"),
        "label": name.replace("_", " ").capitalize().replace("url", "URL"),
        "description": description,
        "sensitive": declared.get("secret"),
        "options": [{"label": value, "value": value} for value in declared.get("enum", ())] or None,
    }
    return {key: value for key, value in defined.items() if value is not None}


def _as_text(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else "" if default is None else str(default)
