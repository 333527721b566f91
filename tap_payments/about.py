"""`--about`: the SDK's formats, with the rule of each setting, and in the text its description too."""

from __future__ import annotations

from dataclasses import replace

from singer_sdk.about import AboutInfo, MarkdownFormatter, TextFormatter
from typing_extensions import override

from tap_payments.settings_validation import describe_rule


class RulesMarkdownFormatter(MarkdownFormatter, format_name="markdown"):
    """The SDK's table, whose descriptions end with the rule."""

    @override
    def format_about(self, about_info: AboutInfo) -> str:
        settings = about_info.settings
        properties = {
            name: {**schema, "description": f"{schema['description']} Must be {describe_rule(schema)}."}
            for name, schema in settings["properties"].items()
        }
        return super().format_about(replace(about_info, settings={**settings, "properties": properties}))


class RulesTextFormatter(TextFormatter, format_name="text"):
    """The SDK's list, with description and rule below each name."""

    @override
    def format_about(self, about_info: AboutInfo) -> str:
        text = super().format_about(about_info)
        for name, schema in about_info.settings["properties"].items():
            line = f"  - Name: {name}\n"
            rule = f"    Must be: {describe_rule(schema)}\n"
            text = text.replace(line, f"{line}    Description: {schema['description']}\n{rule}")
        return text
