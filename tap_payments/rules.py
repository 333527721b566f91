"""What a configuration may hold. What is wrong is named by its setting and its rule, never by its value."""

from __future__ import annotations

import ipaddress
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tap_payments.records.timestamps import is_iso, read_time
from tap_payments.settings import BY_NAME, SETTINGS, Settings, iso_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
PARAMETER = re.compile(r"[A-Za-z0-9_.\[\]-]+")


def violations(config: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with a configuration: each setting and its rule, never the value.

    Args:
        config: A configuration as it was given.
    """
    wrong = set()
    for setting in SETTINGS:
        value = config.get(setting.name)
        if value is None:
            if setting.required:
                wrong.add(setting.name)
                yield f"setting `{setting.name}` is missing: it is required"
        elif not setting.allows(value):
            wrong.add(setting.name)
            yield f"setting `{setting.name}` must be {setting.rule}"
    for name, rule in _finer_violations(config, wrong):
        yield f"setting `{name}` must {rule}"


def _finer_violations(config: Mapping[str, Any], wrong: set[str]) -> Iterator[tuple[str, str]]:
    """Say what is wrong with values of the right kind; those named as wrong already are passed over."""
    texts = {name: value for name in BY_NAME if name not in wrong and isinstance(value := config.get(name), str)}
    if "base_url" in texts and (rule := _url_rule(texts["base_url"].strip())):
        yield "base_url", rule
    yield from _text_violations(texts)
    if "start_date" in texts and (rule := _date_rule(texts["start_date"].strip())):
        yield "start_date", rule
    if not wrong:
        yield from _mutual_violations(config)


def _text_violations(texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Say which texts HTTP could not carry."""
    if ":" in texts.get("username", ""):
        yield "username", "not contain a colon: HTTP Basic ends the user name there"
    for name in ("username", "password", "user_agent"):
        if not texts.get(name, "").isprintable():
            yield name, "not contain control characters"
    if not texts.get("user_agent", "").isascii():
        yield "user_agent", "be ASCII text"
    for name in ("limit_param", "offset_param"):
        if texts.get(name) and not PARAMETER.fullmatch(texts[name]):
            yield name, "be the name of a query parameter"


def _date_rule(text: str) -> str | None:
    """Give the rule that a start date breaks."""
    if not is_iso(text):
        return "be an ISO 8601 date or date-time, such as 2024-01-31 or 2024-01-31T12:00:00Z"
    return "not be in the future" if (read_time(iso_time(text)) or 0) > time.time() else None


def _mutual_violations(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say which settings do not go together."""
    settings = Settings.from_config({**config, "start_date": None})
    if settings.page_overlap >= settings.page_size:
        yield "page_overlap", "be less than `page_size`"
    if settings.limit_param == settings.offset_param:
        yield "limit_param", "differ from `offset_param`"
    if config.get("emit_activate_version_messages"):
        if config.get("batch_config"):
            yield "emit_activate_version_messages", "not be used together with `batch_config`"
        if not settings.page_overlap:
            yield (
                "emit_activate_version_messages",
                "not be used with `page_overlap: 0`, which cannot tell a deleted record from one that was missed",
            )


def _url_rule(url: str) -> str | None:
    """Give the rule that a base URL breaks."""
    # `urlsplit` leaves out tabs and line ends, which others do not.
    try:
        parts = urlsplit(url if re.fullmatch(r"[!-~]*", url) else "")
        port = parts.port
    except ValueError:
        return "be a URL such as https://api.example.com/v1/"
    if "@" in parts.netloc:
        return "not contain credentials: they belong in `username` and `password`"
    if parts.scheme not in {"http", "https"} or not HOST.fullmatch(parts.netloc) or port == 0:
        return "be a URL such as https://api.example.com/v1/"
    if parts.query or parts.fragment or "\\" in url:
        return "be a URL without query or fragment"
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        return "begin with https://, since the credentials would travel in the clear; http is for a loopback host only"
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
