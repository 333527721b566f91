"""A wrong setting or file is refused before any request, in one line that names it and its rule, never a value.

`tests/unit/test_settings.py` tries each setting.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tap_payments.settings import SETTINGS
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.in_process import BODY_MARKER, expect_one_error, invoke_in_process, run_in_process
from tests.support.tap_runs import catalog_with, run_tap, tap_config, write_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.in_process import InProcessRun
    from tests.support.tap_runs import TapRun


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
    message = run.lines[-1].split("| tap-payments", 1)[1].partition("| ")[2]
    assert message.startswith(f"setting `{name}` ")
    assert message.count("setting `") == 1, "one mistake is reported as one"
    return message


def test_null_is_as_good_as_missing_and_loopback_may_be_http_by_any_of_its_names() -> None:
    with FakeAPI(make_account(charges=3)) as api:
        url = f" http://LOCALHOST:{api.port}/v1 "
        config = dict.fromkeys(SETTINGS.wrapped) | {"username": api.username, "base_url": url}
        run = run_in_process(config, catalog=catalog_with(only=["charges"])).expect_success()
    assert len(run.records("charges")) == 3


def test_an_unknown_setting_is_named_and_ignored() -> None:
    with FakeAPI(make_account(charges=3)) as api:
        run = run_in_process(tap_config(api, pagesize=BODY_MARKER)).expect_success()
    assert len(run.records("charges")) == 3
    assert len(run.logged("WARNING", "unknown setting ignored: `pagesize`")) == 1
    assert BODY_MARKER not in run.stderr


def test_numbers_of_the_environment_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"page_size": "10", "request_timeout": "12.5", "concurrency": "2", "check_total": "FALSE"}
    values |= {"backoff_factor": "1e-2", "password": "123", "username": "456"}
    with FakeAPI(make_account(charges=25), username="456", password="123") as api:
        for name, value in {**values, "base_url": api.url}.items():
            monkeypatch.setenv(f"TAP_PAYMENTS_{name.upper()}", value)
        api.rewrite = lambda body, _params: body | {"total_count": 26}
        run = invoke_in_process("--config", "ENV").expect_success()
        assert len(run.records("charges")) == 25
        assert {request.params["limit"] for request in api.requests} == {"10"}
        assert all(request.authorization_ok for request in api.requests)


def test_the_environment_goes_over_the_file(api: FakeAPI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAP_PAYMENTS_PAGE_SIZE", "0")
    files = write_files(tmp_path, config=tap_config(api))
    expect_refused(invoke_in_process(*files, "--config", "ENV"), "page_size")


NO_OBJECT: dict[str, tuple[str | bytes, str]] = {
    "text": (BODY_MARKER, "is not valid JSON: line 1, column 1"),
    "broken": (f'{{\n"username":"{BODY_MARKER}"', f"is not valid JSON: line 2, column {len(BODY_MARKER) + 14}"),
    "empty": ("", "is empty"),
    "a list": (f'["{BODY_MARKER}"]', "does not hold a JSON object"),
    "null": ("null", "does not hold a JSON object"),
    "no UTF-8": (b'{"username":"\xff"}', "is not valid JSON"),
    "a number of too many digits": ('{"username":' + "1" * 5000 + "}", "is not valid JSON"),
    "nested too deeply": ('{"a":' * 100_000, "is nested too deeply"),
}
OPTIONS = ["config", "state", "catalog"]


def read_file(option: str, file: Path, api: FakeAPI) -> InProcessRun:
    """Run the tap with a file, and with a good configuration where it is none itself."""
    good = write_files(file.parent, good=tap_config(api))[1]
    return invoke_in_process(*(["--config", good] if option != "config" else []), f"--{option}", str(file))


@pytest.mark.parametrize(
    ("option", "case"),
    [(option, case) for option in OPTIONS for case in NO_OBJECT if (option, case) != ("state", "empty")],
)
def test_a_file_without_a_json_object_is_refused(option: str, case: str, api: FakeAPI, tmp_path: Path) -> None:
    content, reason = NO_OBJECT[case]
    bad = tmp_path / "bad.json"
    bad.write_bytes(content if isinstance(content, bytes) else content.encode())
    run = read_file(option, bad, api)
    expect_one_error(run, f"--{option} {bad} {reason}")
    assert run.messages == []


@pytest.mark.parametrize("option", OPTIONS)
def test_a_file_that_cannot_be_read_is_refused(option: str, api: FakeAPI, tmp_path: Path) -> None:
    for file, reason in ((tmp_path / "nowhere.json", "No such file or directory"), (tmp_path, "Is a directory")):
        expect_one_error(read_file(option, file, api), f"--{option} {file} cannot be read: {reason}")


def test_an_empty_state_begins_anew(tmp_path: Path) -> None:
    """`tail -1` of what a first pipe that failed has written is empty."""
    state = tmp_path / "state.json"
    state.write_text("\n", encoding="utf-8")
    with FakeAPI(make_account(charges=3)) as api:
        run = read_file("state", state, api).expect_success()
    assert len(run.records("charges")) == 3
    assert len(run.logged("WARNING")) == len(run.logged("WARNING", f"--state {state} is empty")) == 1


def test_later_configurations_go_over_earlier_ones_and_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    with FakeAPI(make_account(charges=3)) as api:
        first = write_files(tmp_path, config=tap_config(api, page_size=0))
        second = tmp_path / "second.json"
        second.write_text(json.dumps({"page_size": 2}), encoding="utf-8-sig")
        assert len(invoke_in_process(*first, "--config", str(second)).expect_success().records("charges")) == 3


@pytest.mark.parametrize("arguments", [["--discover"], ["--about"], ["--about", "--format", "json"], ["--version"]])
def test_these_need_no_configuration_and_do_not_mind_a_wrong_one(arguments: list[str]) -> None:
    names = ("base_url", "page_size", "personal_data", "username", "on_invalid_value", "stream_maps")
    for run in (invoke_in_process(*arguments), run_in_process(dict.fromkeys(names, BODY_MARKER), *arguments)):
        assert run.exit_code == 0
        assert run.errors == []
        assert BODY_MARKER not in run.stderr + run.stdout.decode()
        assert "--discover" not in arguments or len(json.loads(run.stdout)["streams"]) == len(STREAMS)


@pytest.mark.parametrize("test", [[], ["--test"]])
def test_credentials_go_to_no_example(test: list[str]) -> None:
    with FakeAPI() as api:
        line = expect_refused(run_in_process(tap_config(api, provider=None, base_url=None), *test), "base_url")
    assert "required" in line
    assert "`provider: chargedesk`" in line


def test_a_provider_with_an_address_needs_none() -> None:
    with FakeAPI() as api:
        config = tap_config(api, provider="chargedesk", base_url=None, max_retries=0)
        # A proxy that lets nothing through, so that no test asks a host that is not ours.
        run = run_tap(config, env={"HTTPS_PROXY": api.url, "NO_PROXY": ""})
    assert run.failed == list(STREAMS)
