"""User name, password, the header made of them, and bodies are in no output, whatever fails, at DEBUG too."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests

from tap_payments import client, errors
from tap_payments.api import responses
from tap_payments.api.rate_limiter import RateLimiter
from tap_payments.output.writer import BufferedWriter
from tap_payments.pagination.paginator import ListPaginator
from tap_payments.records.coercion import Coercer
from tap_payments.settings import SETTINGS
from tests.attacks import BODY_MARKER, HereRun, command_here, expect_told_once, run_here
from tests.intermediaries import forward_proxy, make_certificate, tls_end
from tests.sandbox import Sandbox, make_account
from tests.sandbox.faults import LEAK_MARKER, Body, Drop, DropMidBody, Fault, Hang, Redirect, Status
from tests.tapping import catalog_with, invoke, run_tap, tap_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USERNAME, PASSWORD = "sk_live_u5ers.own+key/=", "p4ss wörd-of-the/account"
HEADER = b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
SECRETS = [
    *(USERNAME, PASSWORD, HEADER, HEADER.rstrip("="), quote(USERNAME), quote(PASSWORD), quote(USERNAME, safe="")),
    *(b64encode(one.encode()).decode().rstrip("=")[:-1] for one in (USERNAME, PASSWORD)),
    *(repr(PASSWORD)[1:-1], json.dumps(PASSWORD)[1:-1], "u5ers", "p4ss"),
]
MARKED = f'{{"x":"{BODY_MARKER}"}}'.encode()

FAILURES: dict[str, tuple[Fault, ...]] = {
    **{str(status): (Status(status, body=MARKED),) for status in (400, 401, 403, 404, 418, 429, 500, 503, 599)},
    "a status with a header": (Status(429, {"Retry-After": "9999", "X-Echo": HEADER}, MARKED),),
    "redirect": (Redirect("http://127.0.0.1:1/"),),
    "drop": (Drop(),),
    "cut short": (DropMidBody(),),
    "silence": (Hang(None),),
    "HTML": (Body(b"<html>" + MARKED),),
    "another shape": (Body(MARKED),),
    "an echo of the header": (Body(f'{{"error":"Authorization: Basic {HEADER}"}}'.encode()),),
    "a misfit": (Body(b'{"data":[{"charge_id":"a","is_paid":' + MARKED + b"}]}"),),
    "half a pair": (Body(b'{"data":[{"charge_id":"a","name":"\\ud800","x":' + MARKED + b"}]}"),),
}


@pytest.fixture(autouse=True)
def _everything_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAP_PAYMENTS_LOGLEVEL", "DEBUG")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An API that asks for the secrets."""
    with Sandbox(make_account(charges=30), username=USERNAME, password=PASSWORD) as sandbox:
        yield sandbox


def read(sandbox: Sandbox, **settings: object) -> HereRun:
    """Read the charges."""
    return run_here(tap_config(sandbox, **settings), catalog=catalog_with(only=["charges"]))


def expect_silence(run: HereRun) -> None:
    """Hold that nothing secret is in any output, and no traceback."""
    for output in (run.stderr, run.stdout.decode()):
        assert [secret for secret in SECRETS if secret in output] == []
        assert BODY_MARKER not in output
        assert LEAK_MARKER not in output
        assert "Traceback" not in output


def test_the_needles_are_what_goes_over_the_wire(sandbox: Sandbox) -> None:
    run = read(sandbox).expect_success()
    assert all(request.authorization_ok for request in sandbox.requests)
    assert "DEBUG" in run.stderr
    assert "GET /v1/charges" in run.stderr
    expect_silence(run)


@pytest.mark.parametrize("faults", FAILURES.values(), ids=FAILURES)
def test_failures_keep_the_secrets(faults: tuple[Fault, ...], sandbox: Sandbox) -> None:
    for fault in faults:
        sandbox.faults.add(fault, times=None)
    run = read(sandbox, request_timeout=0.3, max_retries=1)
    expect_told_once(run, "charges: /v1/charges ")
    expect_silence(run)


@pytest.mark.parametrize("name", SETTINGS.wrapped)
def test_wrong_settings_keep_the_secrets(name: str, sandbox: Sandbox) -> None:
    for wrong in ([USERNAME, PASSWORD], {"a": PASSWORD}, PASSWORD if name == "check_total" else True):
        run = run_here({**tap_config(sandbox), name: wrong})
        expect_told_once(run, f"`{name}`")
        expect_silence(run)


def test_wrong_secrets_keep_themselves(sandbox: Sandbox) -> None:
    for settings in (
        {"password": PASSWORD + "\n"},
        {"username": USERNAME + ":"},
        {"base_url": f"https://{USERNAME}@a/"},
    ):
        expect_silence(run := read(sandbox, **settings))
        expect_told_once(run, "setting `")
    assert sandbox.requests == []


def test_a_setting_that_is_not_known_keeps_its_value(sandbox: Sandbox) -> None:
    run = read(sandbox, passwrod=PASSWORD)
    run.expect_success()
    assert run.told("WARNING", "`passwrod`")
    expect_silence(run)


@pytest.mark.parametrize("error", [RuntimeError, ValueError, KeyError, OSError, requests.RequestException])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (responses, "read_page"),
        (Coercer, "coerce"),
        (ListPaginator, "advance"),
        (RateLimiter, "acquire"),
        (requests.Session, "send"),
        (requests.Session, "prepare_request"),
        (BufferedWriter, "flush"),
        (client.PaymentsStream, "chunks"),
    ],
    ids=lambda part: getattr(part, "__name__", part),
)
def test_internal_errors_keep_the_secrets(
    owner: Any, name: str, error: type[Exception], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        told = f"{USERNAME} {PASSWORD} {HEADER} {BODY_MARKER}"
        try:
            raise LookupError(told)  # noqa: TRY301 -- the very traceback that must not be shown
        except LookupError as cause:
            raise error(told) from cause

    monkeypatch.setattr(owner, name, fail)
    run = read(sandbox, max_retries=1)
    expect_told_once(run)
    expect_silence(run)


@pytest.mark.parametrize(
    "maps",
    [
        {"charges": {"x": "int(description)"}},
        {"charges": {"x": "nothing_of_that_name"}},
        {"charges": {"x": "description +"}},
        {"charges": {"x": "1 / 0"}},
        {"charges": {"x": "description.nothing()"}},
        {"charges": {"x": "{}[description]"}},
        {"charges": {"__filter__": "int(description) > 0"}},
        {"charges": {"x": "__import__('os').environ"}},
        {"charges": {"__key_properties__": ["nothing"]}},
        {"charges": {"__source__": "nothing"}},
        {"charges": 5},
        {"nothing": {"x": "1"}},
    ],
    ids=str,
)
def test_stream_maps_that_fail_keep_the_secrets(maps: dict[str, Any], sandbox: Sandbox) -> None:
    sandbox.faults.add(Body(f'{{"data":[{{"charge_id":"a","description":"{BODY_MARKER}{PASSWORD}"}}]}}'.encode()))
    run = read(sandbox, stream_maps=maps, stream_map_config={"key": PASSWORD})
    if run.exit_code == 0:
        return
    expect_told_once(run)
    expect_silence(run)
    assert "stream_maps" in run.lines[-1]


# Where the credentials go.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("elsewhere", [True, False], ids=["another host", "the same host"])
def test_a_redirect_is_an_error_and_followed_nowhere(status: int, sandbox: Sandbox, *, elsewhere: bool) -> None:
    with Sandbox(make_account(charges=30), credentials_required=False) as other:
        target = f"{other.url if elsewhere else sandbox.url}charges"
        sandbox.faults.add(Redirect(target, status), times=None, when=lambda params: params["offset"] == "10")
        run = read(sandbox, page_size=10)
        assert other.requests == []
    expect_told_once(run, f"charges: /v1/charges answered {status} ", errors.REDIRECT_ADVICE)
    assert len(run.records("charges")) == 10
    assert len(sandbox.requests) == 2
    assert target not in run.lines[-1]
    expect_silence(run)


@pytest.mark.parametrize("way", ["NETRC", "HOME"])
def test_netrc_does_not_replace_the_credentials(
    way: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password evil\ndefault login mallory password evil\n")
    netrc.chmod(0o600)
    monkeypatch.setenv(way, str(netrc if way == "NETRC" else tmp_path))
    assert requests.utils.get_netrc_auth(sandbox.url) == ("mallory", "evil")
    read(sandbox).expect_success()
    assert all(request.authorization_ok for request in sandbox.requests)


def test_an_empty_password_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login mallory password evil\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with Sandbox(make_account(charges=3), username=USERNAME) as sandbox:
        read(sandbox, password=None).expect_success()
        assert all(request.authorization_ok for request in sandbox.requests)


def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the proxies of whoever runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for loopback, and its key."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_proxy_variables_are_honoured(
    variable: str, sandbox: Sandbox, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    no_proxies(monkeypatch)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    with forward_proxy() as (proxy, asked), tls_end(sandbox.port, *certificate) as (port, _):
        monkeypatch.setenv(variable, proxy)
        read(sandbox, base_url=f"https://127.0.0.1:{port}/v1/").expect_success()
        assert set(asked) == {f"127.0.0.1:{port}"}
        assert len(sandbox.requests) == 2
        asked.clear()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        read(sandbox, base_url=f"https://127.0.0.1:{port}/v1/").expect_success()
        assert asked == []
        assert len(sandbox.requests) == 4


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_credentials_in_the_clear_go_to_no_proxy(
    variable: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_proxies(monkeypatch)
    with forward_proxy() as (proxy, asked):
        monkeypatch.setenv(variable, proxy)
        read(sandbox).expect_success()
    assert asked == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_of_ones_own_is_honoured(
    variable: str, sandbox: Sandbox, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    no_proxies(monkeypatch)
    for other in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(variable, str(certificate[0]))
    with tls_end(sandbox.port, *certificate) as (port, _):
        run = read(sandbox, base_url=f"https://127.0.0.1:{port}/v1/").expect_success()
    assert len(run.records("charges")) == 30
    assert all(request.authorization_ok for request in sandbox.requests)


@pytest.mark.parametrize("settings", [{}, {"verify": False, "verify_ssl": False, "insecure": True}], ids=str)
def test_a_certificate_that_is_not_trusted_ends_the_run_at_once(
    settings: dict[str, Any], sandbox: Sandbox, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    no_proxies(monkeypatch)
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    with tls_end(sandbox.port, *certificate) as (port, handshakes):
        run = read(sandbox, base_url=f"https://127.0.0.1:{port}/v1/", **settings)
    expect_told_once(run, "charges: /v1/charges ", errors.CERTIFICATE_ADVICE)
    expect_silence(run)
    assert len(handshakes) <= 1, "nothing of that kind passes by itself"
    assert sandbox.requests == []


def test_a_file_of_authorities_that_is_not_there(
    sandbox: Sandbox, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    no_proxies(monkeypatch)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]) + ".nowhere")
    with tls_end(sandbox.port, *certificate) as (port, _):
        run = read(sandbox, base_url=f"https://127.0.0.1:{port}/v1/")
    expect_told_once(run, "charges: /v1/charges ", errors.CERTIFICATE_ADVICE)
    assert sandbox.requests == []


def test_no_setting_switches_the_verification_off() -> None:
    assert not [
        name for name in SETTINGS.wrapped for word in ("verify", "ssl", "tls", "cert", "insecure") if word in name
    ]


# As a process, and in what else there is to print.


@pytest.mark.parametrize("arguments", [["--about"], ["--about", "--format", "json"], ["--discover"]])
def test_what_is_printed_about_the_tap_has_no_secrets(arguments: list[str], sandbox: Sandbox, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(tap_config(sandbox)), encoding="utf-8")
    expect_silence(command_here("--config", str(config), *arguments))


@pytest.mark.parametrize("status", [401, 503])
def test_the_test_of_the_connection_keeps_the_secrets(status: int, sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.faults.add(Status(status, body=MARKED), times=None)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(tap_config(sandbox)), encoding="utf-8")
    run = command_here("--config", str(config), "--test")
    expect_told_once(run, f"answered {status} ", errors.advise(status))
    expect_silence(run)


def test_as_a_process(sandbox: Sandbox) -> None:
    sandbox.faults.add(Status(401, body=MARKED), times=None)
    run = run_tap(tap_config(sandbox), env={"TAP_PAYMENTS_LOGLEVEL": "DEBUG"})
    expect_told_once(run, errors.ADVICE[401])
    for secret in SECRETS:
        assert secret not in run.stderr + json.dumps(run.messages, ensure_ascii=False)


def test_from_the_environment_as_a_process(sandbox: Sandbox) -> None:
    settings = tap_config(sandbox, page_size="x")
    env = {f"TAP_PAYMENTS_{name.upper()}": str(value) for name, value in settings.items()}
    ended = invoke("--config", "ENV", env={**env, "TAP_PAYMENTS_LOGLEVEL": "DEBUG"})
    assert ended.returncode == 1
    assert "setting `page_size` must be a whole number" in ended.stderr.splitlines()[-1]
    for secret in SECRETS:
        assert secret not in ended.stderr + ended.stdout
