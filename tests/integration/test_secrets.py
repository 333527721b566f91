"""User name, password, the header made of them, and bodies are in no output, whatever fails, at DEBUG too."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests

from tap_payments import client, errors
from tap_payments.api.rate_limiter import RateLimiter
from tap_payments.output.writer import BufferedWriter
from tap_payments.pagination.paginator import ListPaginator
from tap_payments.records import page
from tap_payments.records.decoder import RecordDecoder
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.faults import LEAK_MARKER, Body, Drop, DropMidBody, Fault, Hang, Redirect, Status
from tests.support.in_process import BODY_MARKER, InProcessRun, expect_one_error, read_stream, run_in_process
from tests.support.proxies import forward_proxy, make_certificate
from tests.support.tap_runs import run_tap, tap_config

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

FAILURES: dict[str, Fault] = {
    **{str(status): Status(status, body=MARKED) for status in (401, 404, 429, 503)},
    "a status with a header": Status(429, {"Retry-After": "9999", "X-Echo": HEADER}, MARKED),
    "drop": Drop(),
    "cut short": DropMidBody(),
    "silence": Hang(None),
    "HTML": Body(b"<html>" + MARKED),
    "another shape": Body(MARKED),
    "an echo of the header": Body(f'{{"error":"Authorization: Basic {HEADER}"}}'.encode()),
    "a misfit": Body(b'{"data":[{"charge_id":"a","is_paid":' + MARKED + b"}]}"),
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log everything, and forget the proxies and authorities of whoever runs the tests."""
    monkeypatch.setenv("TAP_PAYMENTS_LOGLEVEL", "DEBUG")
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def api() -> Iterator[FakeAPI]:
    """An API that asks for the secrets."""
    with FakeAPI(make_account(charges=30), username=USERNAME, password=PASSWORD) as api:
        yield api


def expect_silence(run: InProcessRun) -> None:
    """Assert that nothing secret is in any output, and no traceback."""
    for output in (run.stderr, run.stdout.decode()):
        words = (*SECRETS, BODY_MARKER, LEAK_MARKER, "Traceback")
        assert [word for word in words if word in output] == []


def test_the_needles_are_what_is_sent(api: FakeAPI) -> None:
    run = read_stream(api).expect_success()
    assert all(request.authorization_ok for request in api.requests)
    assert "DEBUG" in run.stderr
    assert "GET /v1/charges" in run.stderr
    expect_silence(run)


@pytest.mark.parametrize("fault", FAILURES.values(), ids=FAILURES)
def test_failures_keep_the_secrets(fault: Fault, api: FakeAPI) -> None:
    api.faults.add(fault, times=None)
    run = read_stream(api, request_timeout=0.3, max_retries=1)
    expect_one_error(run, "charges: /v1/charges ")
    expect_silence(run)


@pytest.mark.parametrize("error", [KeyError, OSError])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (client, "read_page"),
        (RecordDecoder, "read"),
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
    owner: Any, name: str, error: type[Exception], api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        text = f"{USERNAME} {PASSWORD} {HEADER} {BODY_MARKER}"
        raise error(text) from LookupError(text)

    monkeypatch.setattr(owner, name, fail)
    run = read_stream(api, max_retries=1)
    assert run.exit_code == 1
    expect_silence(run)


def test_an_internal_error_names_the_line_it_came_up_in(api: FakeAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "read_time", None)
    run = read_stream(api)
    expect_one_error(run)
    assert re.search(r"internal error: TypeError in records/page\.py:\d+$", run.errors[0])


MAPS = ({"x": "int(description)"}, {"x": "description +"}, {"__filter__": "int(description) > 0"})


@pytest.mark.parametrize("stream_map", [*MAPS, {"__key_properties__": ["nothing"]}, 5], ids=str)
def test_stream_maps_that_fail_keep_the_secrets(stream_map: Any, api: FakeAPI) -> None:
    api.faults.add(Body(f'{{"data":[{{"charge_id":"a","description":"{BODY_MARKER}{PASSWORD}"}}]}}'.encode()))
    run = read_stream(api, stream_maps={"charges": stream_map}, stream_map_config={"key": PASSWORD})
    expect_one_error(run)
    expect_silence(run)
    assert "stream_maps" in run.errors[0]


def test_a_redirect_to_another_host_is_followed_nowhere(api: FakeAPI) -> None:
    """`test_retries.py` has the same host."""
    with FakeAPI(make_account(charges=30), credentials_required=False) as other:
        api.faults.add(Redirect(f"{other.url}charges"), when=lambda params: params["offset"] == "10")
        run = read_stream(api, page_size=10, page_overlap=0)
        assert other.requests == []
    expect_one_error(run, "charges: /v1/charges answered 302 ", errors.REDIRECT_ADVICE)
    assert len(run.records("charges")) == 10
    assert other.url not in run.stderr
    expect_silence(run)


def test_netrc_does_not_replace_the_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password evil\ndefault login mallory password evil\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with FakeAPI(make_account(charges=3), username=USERNAME) as api:
        assert requests.utils.get_netrc_auth(api.url) == ("mallory", "evil")
        read_stream(api).expect_success()
        assert all(request.authorization_ok for request in api.requests)


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[FakeAPI]:
    """An API that speaks TLS, by a certificate that nobody trusts."""
    files = make_certificate(tmp_path)
    with FakeAPI(make_account(charges=30), username=USERNAME, password=PASSWORD, certificate=files) as api:
        yield api


@pytest.mark.parametrize(
    ("variable", "authority"), [("HTTPS_PROXY", "REQUESTS_CA_BUNDLE"), ("ALL_PROXY", "CURL_CA_BUNDLE")]
)
def test_variables_of_proxies_and_authorities_are_honoured(
    variable: str, authority: str, tls: FakeAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(authority, str(tmp_path / "certificate.pem"))
    with forward_proxy() as (proxy, asked):
        monkeypatch.setenv(variable, proxy)
        read_stream(tls).expect_success()
        assert set(asked) == {f"127.0.0.1:{tls.port}"}
        asked.clear()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        read_stream(tls).expect_success()
        assert asked == []
    assert len(tls.requests) == 4


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_credentials_in_the_clear_go_to_no_proxy(variable: str, api: FakeAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    with forward_proxy() as (proxy, asked):
        monkeypatch.setenv(variable, proxy)
        read_stream(api).expect_success()
    assert asked == []


@pytest.mark.parametrize("authority", [None, "/nowhere/certificate.pem"])
def test_a_certificate_that_is_not_trusted_ends_the_run_at_once(
    authority: str | None, tls: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    if authority:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority)
    run = read_stream(tls)
    expect_one_error(run, "charges: /v1/charges ", errors.CERTIFICATE_ADVICE)
    expect_silence(run)
    assert not run.logged("trying again"), "nothing of that kind passes by itself"
    assert tls.requests == []


@pytest.mark.parametrize("arguments", [["--about"], ["--about", "--format", "json"], ["--discover"], ["--test"]])
def test_other_commands_keep_the_secrets(arguments: list[str], api: FakeAPI) -> None:
    api.faults.add(Status(503, body=MARKED), times=None)
    run = run_in_process(tap_config(api), *arguments)
    assert run.exit_code == (arguments == ["--test"])
    expect_silence(run)


def test_as_a_process(api: FakeAPI) -> None:
    api.faults.add(Status(401, body=MARKED), times=None)
    run = run_tap(tap_config(api), env={"TAP_PAYMENTS_LOGLEVEL": "DEBUG"})
    expect_one_error(run, errors.ADVICE[401])
    assert [secret for secret in SECRETS if secret in run.stderr + json.dumps(run.messages, ensure_ascii=False)] == []
