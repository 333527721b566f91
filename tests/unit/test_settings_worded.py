"""The rules of the settings are declared once: what `--about` shows is what a violation names."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from singer_sdk.exceptions import ConfigValidationError

from tap_payments.providers import PROVIDERS
from tap_payments.settings import SETTINGS
from tap_payments.tap import TapPayments

VALID = {"base_url": "https://api.example.com/v1/", "username": "user"}


def refuse(**settings: Any) -> str:
    """Return the line with which a configuration is refused."""
    with pytest.raises(ConfigValidationError) as refused:
        TapPayments(config={**VALID, **settings})
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("page_size", "500", "a whole number"),
        ("page_size", True, "a whole number"),
        ("page_size", 0, "at least 1"),
        ("page_size", 0.5, "a whole number and at least 1"),
        ("page_size", Decimal("1.5"), "a whole number"),
        ("concurrency", 17, "at most 16"),
        ("request_timeout", "60", "a number"),
        ("request_timeout", float("nan"), "a number"),
        ("request_timeout", Decimal("Infinity"), "a number"),
        ("request_timeout", 0, "more than 0"),
        ("check_total", 1, "true or false"),
        ("password", 5, "text"),
        ("base_url", " ", "text that is not empty"),
        ("username", "a:b", "text that is not empty and has no colon: HTTP Basic ends the user name there"),
        ("limit_param", "limit\n", "the name of a query parameter"),
        ("offset_param", "a b", "the name of a query parameter, or empty"),
        ("user_agent", "agent\n", "ASCII text that is not empty and has no control characters"),
        ("provider", 5, "one of " + ", ".join(f"`{name}`" for name in PROVIDERS)),
        ("stream_maps", "{", "a JSON object"),
        ("batch_config", {"encoding": {"format": "csv"}}, "of the form that --about describes"),
    ],
)
def test_a_violation_is_worded_from_its_keyword(name: str, value: Any, rule: str) -> None:
    assert refuse(**{name: value}) == f"setting `{name}` must be {rule}"


def test_violations_are_joined() -> None:
    assert refuse(page_size=0, base_url="ftp://a/", start_date="2999-01-01", username=None) == (
        "setting `username` is missing: it is required; setting `page_size` must be at least 1; "
        "setting `base_url` must be a URL such as https://api.example.com/v1/; "
        "setting `start_date` must not be in the future"
    )


def test_whole_numbers_may_be_written_as_decimals() -> None:
    settings = TapPayments(config={**VALID, "page_size": 5.0, "max_retries": Decimal("2.0")}).settings
    assert (settings.page_size, settings.max_retries) == (5, 2)
    assert isinstance(settings.page_size, int)
    assert isinstance(settings.max_retries, int)


def test_defaults_are_filled_in_once() -> None:
    tap = TapPayments(config={**VALID, "provider": "chargedesk", "page_size": None})
    assert (tap.settings.page_size, tap.settings.page_overlap, tap.settings.limit_param) == (500, 1, "count")
    assert tap.settings is tap.settings
    assert all(stream.settings is tap.settings for stream in tap.discover_streams())


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("check_total", "ture", "true or false"),
        ("flattening_enabled", "ture", "true or false"),
        ("flattening_max_depth", "deep", "a whole number"),
        ("batch_config", "{", "a JSON object"),
        ("stream_maps", "[" * 100_000, "a JSON object"),
    ],
)
def test_text_of_the_environment_is_not_guessed_at(
    name: str, text: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TAP_PAYMENTS_{name.upper()}", text)
    with pytest.raises(ConfigValidationError, match=f"^setting `{name}` must be {rule}$"):
        TapPayments(config=dict(VALID), parse_env_config=True)


def test_settings_of_the_sdk_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAP_PAYMENTS_FLATTENING_ENABLED", "True")
    monkeypatch.setenv("TAP_PAYMENTS_FLATTENING_MAX_DEPTH", "2")
    monkeypatch.setenv("TAP_PAYMENTS_STREAM_MAPS", '{"charges": {"id": "id"}}')
    config = TapPayments(config=dict(VALID), parse_env_config=True).config
    assert config["flattening_enabled"] is True
    assert config["flattening_max_depth"] == 2
    assert config["stream_maps"] == {"charges": {"id": "id"}}


@pytest.mark.parametrize("output", ["text", "markdown"])
def test_about_describes_every_setting_and_its_rule(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    TapPayments.print_about(output)
    about = capsys.readouterr().out
    for setting in SETTINGS:
        assert setting.description
        assert setting.description in about
    for rule in (
        "a whole number, at least 1 and at most 16",
        "a number, more than 0 and at most 3600",
        "one of `error`, ",
    ):
        assert f"ust be {rule}" in about.replace("Must be: ", "Must be ")


def test_about_in_json_has_the_keywords(capsys: pytest.CaptureFixture[str]) -> None:
    TapPayments.print_about("json")
    properties = json.loads(capsys.readouterr().out)["settings"]["properties"]
    for setting in SETTINGS:
        assert properties[setting.name]["description"] == setting.description
    assert (properties["concurrency"]["minimum"], properties["concurrency"]["maximum"]) == (1, 16)
    assert properties["request_timeout"]["exclusiveMinimum"] == 0
