"""A wrong setting is refused in one line with its name and rule, never its value; `--about` shows the same rules."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest
from singer_sdk.exceptions import ConfigValidationError

from tap_payments.providers import PROVIDERS
from tap_payments.settings import SETTINGS
from tap_payments.tap import TapPayments
from tests.support.in_process import BODY_MARKER

BATCHES = {"encoding": {"format": "jsonl"}, "storage": {"root": "file:///nowhere"}}
VALID = {"base_url": "https://api.example.com/v1/", "username": "user"}
TOMORROW = (datetime.now(tz=timezone.utc) + timedelta(days=2)).date().isoformat()
KINDS = {name: declared["type"][0] for name, declared in SETTINGS.to_dict()["properties"].items()}
NUMBERS = [name for name, kind in KINDS.items() if kind in {"integer", "number"}]
ANY_WRONG: list[Any] = [True, [], {}, [BODY_MARKER], {"value": BODY_MARKER}]
NO_NUMBER = [*ANY_WRONG, BODY_MARKER, "", " ", "12 x", "NaN"]
NO_TEXT = [*ANY_WRONG, "", "   ", 5, 1.5]
NO_FLAG = [*ANY_WRONG[1:], BODY_MARKER, "", "true", 0, 1, 1.5]

WRONG: dict[str, Any] = {
    "on_invalid_value": [*NO_TEXT, "Null", "ignore-" + BODY_MARKER],
    "amounts": [*NO_TEXT, "Text", "float-" + BODY_MARKER],
    "personal_data": [*NO_TEXT, "Hash", "mask-" + BODY_MARKER],
    "hash_key": [*ANY_WRONG, 5, 1.5, BODY_MARKER + "\n", "a\x00" + BODY_MARKER],
    "provider": [*NO_TEXT, "Generic", "stripe-" + BODY_MARKER],
    "base_url": [
        *NO_TEXT,
        BODY_MARKER,
        "api.example.com/v1/",
        "ftp://api.example.com/",
        "https://",
        "https://api.example.com:port/",
        "https://api.example.com:99999/",
        "https://api.example.com/v1/?key=" + BODY_MARKER,
        "https://api.example.com/v1/#" + BODY_MARKER,
        "https://api.example.com/v 1/",
        "https://api.example.com/\u202e/",
        "https://api.exa\tmple.com/v1/",
        "https://[::1",
    ],
    "username": [*NO_TEXT, "a:" + BODY_MARKER, "a\r\nX-Evil=" + BODY_MARKER, "a\x00b"],
    "password": [True, [], {}, [BODY_MARKER], 5, 1.5, "a\r\nX-Evil: " + BODY_MARKER],
    "page_size": [*NO_NUMBER, 0, -1, 1.5],
    "limit_param": [*NO_TEXT, "a&b=" + BODY_MARKER, "a b", "ü", "a\r\nb"],
    "offset_param": [*ANY_WRONG, "   ", 5, 1.5, "a&b=" + BODY_MARKER, "a=b"],
    "page_overlap": [*NO_NUMBER, -1, 0.5],
    "check_total": NO_FLAG,
    "requests_per_minute": [*NO_NUMBER, 0, -1, 1_000_001, 1e300],
    "concurrency": [*NO_NUMBER, 0, 17, 1.5, -3],
    "max_retries": [*NO_NUMBER, -1, 1.5, 101],
    "backoff_factor": [*NO_NUMBER, -0.1, 301],
    "request_timeout": [*NO_NUMBER, 0, -1, 3601],
    "start_date": [*NO_TEXT, BODY_MARKER, "2024-13-01", "01/02/2024", "2024", "1700000000", TOMORROW, "0000-01-01"],
    "lookback_days": [*NO_NUMBER, -1, 36_501],
    "reread_days": [*NO_NUMBER, -1, 36_501],
    "emit_activate_version_messages": NO_FLAG,
    "user_agent": [*NO_TEXT, "a\r\nX-Evil: " + BODY_MARKER, "agent-ü"],
    # The SDK's.
    "stream_maps": [BODY_MARKER, [BODY_MARKER]],
    "stream_map_config": [BODY_MARKER],
    "flattening_enabled": [BODY_MARKER],
    "flattening_max_depth": [BODY_MARKER],
    "batch_config": [BODY_MARKER, {"encoding": {"format": BODY_MARKER}}],
}

INSECURE = [
    "http://api.example.com/v1/",
    "HTTP://api.example.com/v1/",
    "http://127.0.0.1.evil.example/",
    "http://0.0.0.0/",
    "http://169.254.169.254/",
    "http://[2001:db8::1]/",
    "http://2130706433/",
    "http://0x7f.0.0.1/",
    "http://LOCALHOST.evil.example/",
]
TRICKS = [
    "http://127.0.0.1\\.evil.example/",
    "http:\\\\127.0.0.1\\",
    "http://evil.example\\127.0.0.1/",
    "http://127.0.0.1#@evil.example/",
    "http://127.0.0.1%2eevil.example/",
    "http://127.0.0.1\t.evil.example/",
    "http://loca\tlhost/",
    "http://127.0.0.1\u3002evil.example/",
    "http://①②⑦.0.0.1/",
    "http://[::1]evil.example/",
    "http://[::1%25eth0]/",
]
CREDENTIALS = [
    f"https://user:{BODY_MARKER}@api.example.com/v1/",
    f"http://127.0.0.1@evil.example/{BODY_MARKER}",
    f"http://{BODY_MARKER}@127.0.0.1/",
    "https://@api.example.com/",
]


def refuse(**settings: Any) -> str:
    """Return the line with which a configuration is refused."""
    with pytest.raises(ConfigValidationError) as refused:
        TapPayments(config={**VALID, **settings})
    return str(refused.value)


def expect_refused(name: str, value: Any) -> str:
    """Assert that a value is refused as it must be and return the line."""
    line = refuse(**{"page_overlap": 1, name: value})
    assert line.startswith(f"setting `{name}` "), (value, line)
    assert line.count("setting `") == 1, "one mistake, one message"
    assert "\n" not in line
    text = value if isinstance(value, str) else json.dumps(value)
    # A rule may have an example of its own.
    shown = line.replace("such as https://api.example.com/v1/", "")
    assert not any(part in shown for part in (text, text.strip(), repr(value)) if len(part) > 4), (value, line)
    return line


@pytest.mark.parametrize("name", sorted(KINDS.keys() | WRONG.keys()))
def test_every_setting_refuses_what_is_wrong(name: str) -> None:
    for value in (*WRONG[name], *((nan, inf, -inf) if name in NUMBERS else ())):
        expect_refused(name, value)


@pytest.mark.parametrize("name", KINDS)
def test_the_environment_obeys_the_same_rules(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [value for value in WRONG[name] if isinstance(value, str) and "\0" not in value]
    numbers = [BODY_MARKER, "", "nan", "inf", "-1", "1e999", "true", "[]", "{", "1,5", "0x10"]
    for value in texts if KINDS[name] == "string" else numbers:
        if (KINDS[name], value) == ("boolean", "true") or (name, value) == ("hash_key", ""):
            continue
        monkeypatch.setenv(f"TAP_PAYMENTS_{name.upper()}", value)
        with pytest.raises(ConfigValidationError, match=f"^setting `{name}` must [^;]*$") as refused:
            TapPayments(config={**VALID, "page_overlap": 1}, parse_env_config=True)
        assert BODY_MARKER not in str(refused.value)


@pytest.mark.parametrize("url", [*INSECURE, *TRICKS, *CREDENTIALS])
def test_http_is_for_loopback_alone_and_no_url_has_credentials(url: str) -> None:
    line = expect_refused("base_url", url)
    assert url not in INSECURE or "https://" in line
    assert url not in CREDENTIALS or "`username` and `password`" in line


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"page_size": 10, "page_overlap": 10}, "page_overlap"),
        ({"page_size": 1, "provider": "chargedesk"}, "page_overlap"),
        ({"limit_param": "offset"}, "limit_param"),
        ({"personal_data": "hash"}, "hash_key"),
        ({"personal_data": "hash", "hash_key": "  "}, "hash_key"),
        ({"offset_param": "limit"}, "limit_param"),
        ({"emit_activate_version_messages": True, "page_overlap": 0}, "emit_activate_version_messages"),
        ({"emit_activate_version_messages": True, "batch_config": BATCHES}, "emit_activate_version_messages"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], name: str) -> None:
    assert refuse(**settings).startswith(f"setting `{name}` must ")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("page_size", "500", "a whole number"),
        ("page_size", 0, "at least 1"),
        ("page_size", 0.5, "a whole number and at least 1"),
        ("concurrency", 17, "at most 16"),
        ("request_timeout", "60", "a number"),
        ("request_timeout", Decimal("Infinity"), "a number"),
        ("request_timeout", 0, "more than 0"),
        ("check_total", 1, "true or false"),
        ("password", 5, "text"),
        ("base_url", " ", "text that is not empty"),
        ("username", "a:b", "text that is not empty and has no colon: HTTP Basic ends the user name there"),
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
    assert repr((settings.page_size, settings.max_retries)) == "(5, 2)"


def test_defaults_are_filled_in_once() -> None:
    tap = TapPayments(config={**VALID, "provider": "chargedesk", "page_size": None})
    assert (tap.settings.page_size, tap.settings.page_overlap, tap.settings.limit_param) == (500, 1, "count")
    assert tap.settings is tap.settings
    assert all(stream.settings is tap.settings for stream in tap.discover_streams())


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
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


@pytest.mark.parametrize("output", [None, "markdown", "json"])
def test_about_has_every_setting_with_its_default_and_description(
    output: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    TapPayments.print_about(output)
    about = capsys.readouterr().out
    declared = SETTINGS.to_dict()["properties"]
    for name, setting in SETTINGS.items():
        if output == "json":
            assert json.loads(about)["settings"]["properties"][name] == declared[name]
        else:
            assert f"| {name} | {not setting.optional} | {setting.default} | {setting.description} |" in about


def test_a_description_names_the_bounds_of_its_setting() -> None:
    bounds = {"minimum": "{}", "exclusiveMinimum": "more than {}", "maximum": "{}", "enum": "`{}`"}
    found = [
        (words.format(value), declared["description"])
        for declared in SETTINGS.to_dict()["properties"].values()
        for keyword, words in bounds.items()
        if keyword in declared
        for value in (declared[keyword] if keyword == "enum" else [declared[keyword]])
    ]
    assert len(found) > 20
    assert [(bound, text) for bound, text in found if not re.search(rf"(?<!\d){re.escape(bound)}(?!\d)", text)] == []
