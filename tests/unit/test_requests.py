"""A stream alone, with HTTP mocked by requests_mock."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from tap_payments.tap import TapPayments

if TYPE_CHECKING:
    from requests_mock import Mocker

URL = "https://payments.example/v1/charges"
CONFIG = {"base_url": "https://payments.example/v1", "username": "key", "password": "pass wörd", "page_overlap": 0}


def read(**settings: object) -> None:
    """Read the charges, of which there are none, with the stream alone."""
    assert list(TapPayments(config={**CONFIG, **settings}).streams["charges"].get_records(None)) == []


def test_a_request_has_page_size_offset_and_credentials(requests_mock: Mocker) -> None:
    requests_mock.get(URL, json={"data": []})
    read()
    (request,) = requests_mock.request_history
    assert request.qs == {"limit": ["500"], "offset": ["0"]}
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode() == "key:pass wörd"
    assert request.headers["User-Agent"].startswith("singer-sdk/")
    assert request.headers["Accept"] == "application/json"
    assert request.method == "GET"
    assert request.body is None


def test_names_of_parameters_and_the_user_agent_can_be_set(requests_mock: Mocker) -> None:
    requests_mock.get(URL, json={"data": []})
    read(limit_param="per_page", offset_param="skip", page_size=20, user_agent="nightly/1")
    (request,) = requests_mock.request_history
    assert request.qs == {"per_page": ["20"], "skip": ["0"]}
    assert request.headers["User-Agent"] == "nightly/1"
