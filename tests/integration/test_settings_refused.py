"""A wrong setting is refused before any request, in one line that names it and its rule, and never its value."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.exceptions import ConfigValidationError

from tap_payments.settings import SETTINGS
from tap_payments.tap import TapPayments
from tests.fake_api import FakeAPI, make_account
from tests.support.in_process import BODY_MARKER, InProcessRun, expect_one_error, invoke_in_process, run_in_process
from tests.support.tap_runs import catalog_with, run_tap, tap_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.tap_runs import TapRun

TOMORROW = (datetime.now(tz=timezone.utc) + timedelta(days=2)).date().isoformat()
KINDS = {name: declared["type"][0] for name, declared in SETTINGS.to_dict()["properties"].items()}
NUMBERS = [name for name, kind in KINDS.items() if kind in {"integer", "number"}]
ANY_WRONG: list[Any] = [True, [], {}, [BODY_MARKER], {"value": BODY_MARKER}]
NO_NUMBER = [*ANY_WRONG, BODY_MARKER, "", " ", "12 x", "NaN"]
NO_TEXT = [*ANY_WRONG, "", "   ", 5, 1.5]

WRONG: dict[str, list[Any]] = {
    "on_invalid_value": [*NO_TEXT, "Null", "ignore-" + BODY_MARKER],
    "amounts": [*NO_TEXT, "Text", "float-" + BODY_MARKER],
    "personal_data": [*NO_TEXT, "Hash", "mask-" + BODY_MARKER],
    "hash_key": [*ANY_WRONG, 5, 1.5, BODY_MARKER + "\n", "a\x00" + BODY_MARKER],
    "provider": [*NO_TEXT, "Generic", "stripe-" + BODY_MARKER],
    "base_url": [
        *NO_TEXT,
        BODY_MARKER,
        "api.example.com/v1/",
        "//api.example.com/",
        "ftp://api.example.com/",
        "file:///etc/passwd",
        "https://",
        "https:///v1/",
        "https://api.example.com:port/",
        "https://api.example.com:99999/",
        "https://api.example.com:0/",
        "https://api.example.com/v1/?key=" + BODY_MARKER,
        "https://api.example.com/v1/#" + BODY_MARKER,
        "https://api.example.com/v 1/",
        "https://api.example.com/\u202e/",
        "https://api.exa\tmple.com/v1/",
        "https://api.example.com\n/v1/",
        "https://[::1",
    ],
    "username": [*NO_TEXT, "a:" + BODY_MARKER, "a\r\nX-Evil=" + BODY_MARKER, "a\x00b"],
    "password": [True, [], {}, [BODY_MARKER], 5, 1.5, "a\r\nX-Evil: " + BODY_MARKER],
    "page_size": [*NO_NUMBER, 0, -1, 1.5],
    "limit_param": [*NO_TEXT, "a&b=" + BODY_MARKER, "a b", "ü", "a\r\nb"],
    "offset_param": [*ANY_WRONG, "   ", 5, 1.5, "a&b=" + BODY_MARKER, "a=b"],
    "page_overlap": [*NO_NUMBER, -1, 0.5],
    "check_total": [[], {}, [BODY_MARKER], {"value": BODY_MARKER}, BODY_MARKER, "", "true", 0, 1, 1.5],
    "requests_per_minute": [*NO_NUMBER, 0, -1, 1_000_001, 1e300],
    "concurrency": [*NO_NUMBER, 0, 17, 1.5, -3],
    "max_retries": [*NO_NUMBER, -1, 1.5, 101],
    "backoff_factor": [*NO_NUMBER, -0.1, 301],
    "request_timeout": [*NO_NUMBER, 0, -1, 3601],
    "start_date": [*NO_TEXT, BODY_MARKER, "2024-13-01", "01/02/2024", "2024", "1700000000", TOMORROW, "0000-01-01"],
    "lookback_days": [*NO_NUMBER, -1, 36_501],
    "window_days": [*NO_NUMBER, 0, -1, 36_501],
    "reread_days": [*NO_NUMBER, -1, 36_501],
    "user_agent": [*NO_TEXT, "a\r\nX-Evil: " + BODY_MARKER, "agent-ü"],
}

INSECURE = [
    "http://api.example.com/v1/",
    "HTTP://api.example.com/v1/",
    "http://localhost.evil.example/",
    "http://127.0.0.1.evil.example/",
    "http://evil.example/127.0.0.1/",
    "http://evil.example:80/",
    "http://0.0.0.0/",
    "http://10.0.0.1/",
    "http://192.168.0.1/",
    "http://169.254.169.254/",
    "http://[2001:db8::1]/",
    "http://2130706433/",
    "http://127.1/",
    "http://0x7f.0.0.1/",
    "http://LOCALHOST.evil.example/",
]
TRICKS = [
    "http://127.0.0.1\\.evil.example/",
    "http://127.0.0.1\\@evil.example/",
    "http:\\\\127.0.0.1\\",
    "http:/\\evil.example/",
    "http://evil.example\\127.0.0.1/",
    "http://127.0.0.1/\\evil.example",
    "http://127.0.0.1#@evil.example/",
    "http://127.0.0.1?@evil.example/",
    "http://127.0.0.1%2eevil.example/",
    "http://127.0.0.1\t.evil.example/",
    "http://127.0.0.1\n.evil.example/",
    "http://loca\tlhost/",
    "http://127.0.0.1\u3002evil.example/",
    "http://①②⑦.0.0.1/",
    "http://127.0.0.1, evil.example/",
    "http:127.0.0.1",
    "http://[::1]evil.example/",
    "http://[::1%25eth0]/",
]
CREDENTIALS = [
    f"https://{BODY_MARKER}@api.example.com/v1/",
    f"https://user:{BODY_MARKER}@api.example.com/v1/",
    f"http://127.0.0.1@evil.example/{BODY_MARKER}",
    f"http://127.0.0.1:80@evil.example/{BODY_MARKER}",
    f"http://{BODY_MARKER}@127.0.0.1/",
    "https://@api.example.com/",
]


@pytest.fixture(scope="module")
def api() -> Iterator[FakeAPI]:
    """An API that must not be asked anything."""
    with FakeAPI(make_account(charges=3)) as api:
        yield api
        assert api.requests == []


def expect_refused(run: TapRun, name: str) -> str:
    """Assert that a setting was refused as it must be and return the log."""
    expect_one_error(run, f"setting `{name}` ")
    assert run.messages == []
    told = run.lines[-1].split("| tap-payments", 1)[1].partition("| ")[2]
    assert told.startswith(f"setting `{name}` ")
    assert told.count("setting `") == 1, "one mistake is told as one"
    return told


def _shown(value: Any) -> list[str]:
    """Return what of a value could be recognized in a log."""
    text = value if isinstance(value, str) else json.dumps(value)
    return [part for part in (text, text.strip(), repr(value)) if len(part) > 4]


@pytest.mark.parametrize("name", KINDS)
def test_every_setting_refuses_what_is_wrong(name: str, api: FakeAPI) -> None:
    for value in WRONG[name]:
        run = run_in_process({**tap_config(api, page_overlap=1), name: value})
        told = expect_refused(run, name)
        # Where and what the program is stands in other lines, and a rule may have a number of its own.
        told = told.replace("such as https://api.example.com/v1/", "")
        assert not any(part in told for part in _shown(value)), (value, told)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_beyond_json_that_are_no_number_are_refused(name: str, value: float, api: FakeAPI) -> None:
    expect_one_error(run_in_process({**tap_config(api), name: value}), "--config ")
    with pytest.raises(ConfigValidationError, match=f"^setting `{name}` must be a [^;]*$"):
        TapPayments(config={**tap_config(api, page_overlap=1), name: value})


@pytest.mark.parametrize("value", [None, "missing"])
def test_what_is_required_must_be_there(value: str | None, api: FakeAPI) -> None:
    config = {**tap_config(api), "username": None}
    if value == "missing":
        del config["username"]
    assert "required" in expect_refused(run_in_process(config), "username")


def test_null_is_as_good_as_missing(api: FakeAPI) -> None:
    with FakeAPI(make_account(charges=3)) as other:
        config = dict.fromkeys(KINDS) | {"username": other.username, "base_url": other.url}
        run = run_in_process(config, catalog=catalog_with(only=["charges"])).expect_success()
        assert len(run.records("charges")) == 3


@pytest.mark.parametrize("url", INSECURE)
def test_http_is_for_loopback_alone(url: str, api: FakeAPI) -> None:
    told = expect_refused(run_in_process(tap_config(api, base_url=url)), "base_url")
    assert "https://" in told
    assert url not in told


@pytest.mark.parametrize("url", TRICKS)
def test_tricks_with_the_host_are_refused(url: str, api: FakeAPI) -> None:
    expect_refused(run_in_process(tap_config(api, base_url=url)), "base_url")


@pytest.mark.parametrize("url", CREDENTIALS)
def test_credentials_in_the_url_are_refused(url: str, api: FakeAPI) -> None:
    assert "`username` and `password`" in expect_refused(run_in_process(tap_config(api, base_url=url)), "base_url")


@pytest.mark.parametrize("url", ["http://localhost:{}/v1", "http://LOCALHOST:{}/v1/", " http://127.0.0.1:{}/v1/ "])
def test_loopback_may_be_http(url: str) -> None:
    with FakeAPI(make_account(charges=2)) as api:
        config = tap_config(api, base_url=url.format(api.port))
        run = run_in_process(config, catalog=catalog_with(only=["charges"])).expect_success()
        assert len(run.records("charges")) == 2


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"page_size": 10, "page_overlap": 10}, "page_overlap"),
        ({"page_size": 1, "provider": "chargedesk"}, "page_overlap"),
        ({"limit_param": "offset"}, "limit_param"),
        ({"offset_param": "limit"}, "limit_param"),
        ({"emit_activate_version_messages": True}, "emit_activate_version_messages"),
        (
            {
                "emit_activate_version_messages": True,
                "page_overlap": 1,
                "batch_config": {"encoding": {"format": "jsonl"}, "storage": {"root": "file:///nowhere"}},
            },
            "emit_activate_version_messages",
        ),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], name: str, api: FakeAPI) -> None:
    expect_refused(run_in_process(tap_config(api, **settings)), name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stream_maps", BODY_MARKER),
        ("stream_maps", [BODY_MARKER]),
        ("stream_map_config", BODY_MARKER),
        ("flattening_enabled", BODY_MARKER),
        ("flattening_max_depth", BODY_MARKER),
        ("batch_config", BODY_MARKER),
        ("batch_config", {"encoding": {"format": BODY_MARKER}}),
        ("emit_activate_version_messages", BODY_MARKER),
    ],
)
def test_settings_of_the_sdk_are_refused_likewise(name: str, value: Any, api: FakeAPI) -> None:
    expect_refused(run_in_process(tap_config(api, page_overlap=1, **{name: value})), name)


def test_all_violations_are_in_one_line(api: FakeAPI) -> None:
    run = run_in_process({**tap_config(api), "username": None, "page_size": BODY_MARKER, "start_date": BODY_MARKER})
    expect_one_error(run, "setting `username` ", "setting `page_size` ", "setting `start_date` ")


# From the environment.


def from_environment(monkeypatch: pytest.MonkeyPatch, api: FakeAPI, **settings: object) -> InProcessRun:
    """Run with every setting in the environment."""
    for name, value in tap_config(api, **settings).items():
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setenv(f"TAP_PAYMENTS_{name.upper()}", text)
    return invoke_in_process("--config", "ENV")


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind != "string"])
def test_numbers_of_the_environment_obey_the_same_rules(
    name: str, api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in (BODY_MARKER, "", "nan", "NaN", "inf", "-1", "1e999", "true", "[]", "{", "1,5", "0x10"):
        if (name, value) == ("check_total", "true"):
            continue
        monkeypatch.setenv(f"TAP_PAYMENTS_{name.upper()}", value)
        expect_refused(from_environment(monkeypatch, api, **{name: value}), name)


@pytest.mark.parametrize("name", ["provider", "base_url", "username", "start_date", "limit_param", "user_agent"])
def test_texts_of_the_environment_obey_the_same_rules(name: str, api: FakeAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in [value for value in WRONG[name] if isinstance(value, str) and "\0" not in value]:
        expect_refused(from_environment(monkeypatch, api, **{name: value}), name)


def test_what_is_required_must_be_in_the_environment(api: FakeAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAP_PAYMENTS_USERNAME", raising=False)
    monkeypatch.setenv("TAP_PAYMENTS_BASE_URL", api.url)
    expect_refused(invoke_in_process("--config", "ENV"), "username")


@pytest.mark.parametrize("name", ["stream_maps", "batch_config"])
def test_what_is_no_json_in_the_environment_is_named(name: str, api: FakeAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("{" + BODY_MARKER, BODY_MARKER, "[1"):
        expect_refused(from_environment(monkeypatch, api, **{name: value}), name)


def test_numbers_of_the_environment_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeAPI(make_account(charges=25)) as api:
        for name, value in {
            "page_size": "10",
            "request_timeout": "12.5",
            "concurrency": "2",
            "check_total": "FALSE",
            "backoff_factor": "1e-2",
            "password": "123",
            "username": "456",
        }.items():
            monkeypatch.setenv(f"TAP_PAYMENTS_{name.upper()}", value)
        api.username, api.password = "456", "123"
        api.rewrite = lambda body, _params: body | {"total_count": 26}
        monkeypatch.setenv("TAP_PAYMENTS_BASE_URL", api.url)
        run = invoke_in_process("--config", "ENV").expect_success()
        assert len(run.records("charges")) == 25
        assert {request.params["limit"] for request in api.requests} == {"10"}
        assert all(request.authorization_ok for request in api.requests)


def test_the_environment_goes_over_the_file(api: FakeAPI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(tap_config(api)), encoding="utf-8")
    monkeypatch.setenv("TAP_PAYMENTS_PAGE_SIZE", "0")
    expect_refused(invoke_in_process("--config", str(file), "--config", "ENV"), "page_size")


# Files.

NO_OBJECT = {
    "text": BODY_MARKER,
    "broken": f'{{"username":"{BODY_MARKER}"',
    "empty": "",
    "a list": f'["{BODY_MARKER}"]',
    "a number": "17",
    "null": "null",
    "a string": f'"{BODY_MARKER}"',
    "no UTF-8": b'{"username":"\xff"}',
}


@pytest.mark.parametrize("option", ["config", "state", "catalog"])
@pytest.mark.parametrize("content", NO_OBJECT.values(), ids=NO_OBJECT)
def test_a_file_without_a_json_object_is_refused(
    option: str, content: str | bytes, api: FakeAPI, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(tap_config(api)), encoding="utf-8")
    bad.write_bytes(content if isinstance(content, bytes) else content.encode())
    arguments = ["--config", str(bad)] if option == "config" else ["--config", str(good), f"--{option}", str(bad)]
    run = invoke_in_process(*arguments)
    expect_one_error(run, f"--{option} ")
    assert run.messages == []


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    expect_one_error(invoke_in_process("--config", str(tmp_path / "nowhere.json")), "--config ")


@pytest.mark.parametrize("option", ["state", "catalog"])
def test_a_file_that_is_not_there(option: str, api: FakeAPI, tmp_path: Path) -> None:
    good = tmp_path / "good.json"
    good.write_text(json.dumps(tap_config(api)), encoding="utf-8")
    run = invoke_in_process("--config", str(good), f"--{option}", str(tmp_path / "nowhere.json"))
    assert run.exit_code != 0
    assert "Traceback" not in run.stderr
    assert f"--{option}" in run.stderr


@pytest.mark.parametrize(
    "state",
    [
        {"bookmarks": []},
        {"bookmarks": {"charges": BODY_MARKER}},
        {"bookmarks": {"charges": []}},
        {"bookmarks": BODY_MARKER},
        {"bookmarks": None},
        {"bookmarks": {"charges": None}},
        {"bookmarks": {"charges": {"replication_key": "occurred", "replication_key_value": {"a": BODY_MARKER}}}},
        {"bookmarks": {"charges": {"replication_key": "occurred", "replication_key_value": BODY_MARKER}}},
    ],
    ids=str,
)
def test_a_state_of_another_shape_is_refused_or_read_as_none(state: Any) -> None:
    with FakeAPI(make_account(charges=5)) as api:
        run = run_in_process(
            tap_config(api), catalog=catalog_with(only=["charges"], incremental=["charges"]), state=state
        )
        if run.exit_code:
            expect_one_error(run)
        else:
            run.expect_success()
            assert len(run.records("charges")) == 5


# What needs no configuration.


@pytest.mark.parametrize("arguments", [["--discover"], ["--about"], ["--about", "--format", "json"], ["--version"]])
def test_these_need_no_configuration(arguments: list[str]) -> None:
    run = invoke_in_process(*arguments)
    assert run.exit_code == 0
    assert run.errors == []
    if "--discover" in arguments:
        assert len(json.loads(run.stdout)["streams"]) == 4


@pytest.mark.parametrize("name", KINDS)
def test_discovery_does_not_mind_a_wrong_configuration(name: str, api: FakeAPI, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**tap_config(api), name: WRONG[name][3]}), encoding="utf-8")
    run = invoke_in_process("--config", str(file), "--discover")
    assert run.exit_code == 0
    assert len(json.loads(run.stdout)["streams"]) == 4
    assert BODY_MARKER not in run.stderr + run.stdout.decode()


def test_as_a_process(api: FakeAPI) -> None:
    run = run_tap(
        {**tap_config(api), "password": [BODY_MARKER], "page_size": BODY_MARKER},
        env={"TAP_PAYMENTS_LOGLEVEL": "DEBUG"},
    )
    expect_one_error(run, "setting `password` must be text", "setting `page_size` must be a whole number")
    assert run.messages == []


@pytest.mark.parametrize("provider", ["generic", None, "chargedesk"])
def test_the_examples_address_is_read_with_a_warning(provider: str | None) -> None:
    with FakeAPI() as api:
        config = tap_config(api, provider=provider, base_url=None, max_retries=0)
        # A proxy that lets nothing through, so that no test asks a host that is not ours.
        run = run_tap(config, env={"HTTPS_PROXY": api.url, "NO_PROXY": ""})
        named = run_tap({**config, "base_url": "https://payments.example/v1/"}, env={"HTTPS_PROXY": api.url})
        read = run_tap(tap_config(api)).expect_success()
    warnings = run.expect_failure("`base_url`").logged("WARNING", "`base_url`", "example")
    assert len(warnings) == (provider != "chargedesk")
    assert not named.expect_failure("`base_url`").logged("WARNING")
    assert not read.logged("WARNING")
