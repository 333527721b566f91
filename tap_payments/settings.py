"""The settings: what there is to set, and what a run makes of them. What a value may be is in `rules.py`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from singer_sdk import typing as th

from tap_payments import __version__
from tap_payments.providers import PROVIDERS, Provider
from tap_payments.records.timestamps import read_time

if TYPE_CHECKING:
    from collections.abc import Mapping

CENTURY = 36_500  # days
DAY = 86_400  # seconds


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: Its name in a configuration.
        kind: `string`, `boolean`, `integer` or `number`.
        title: A short name for a person.
        description: What it does, with its unit and, where it depends on the provider, its default.
        default: Its value where it is not set; None where there is none, or where it depends on the provider.
        least: The smallest number allowed.
        above: The number that it must be larger than.
        most: The largest number allowed.
        choices: The values allowed, where there are few.
        required: Whether a run needs it.
        secret: Whether its value is to be shown nowhere.
        may_be_empty: Whether an empty text is allowed.
    """

    name: str
    kind: str
    title: str
    description: str
    default: str | bool | float | None = None
    least: float | None = None
    above: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    required: bool = False
    secret: bool = False
    may_be_empty: bool = False

    @property
    def rule(self) -> str:
        """What a value must be, to follow `must be`."""
        if self.choices:
            return "one of " + ", ".join(f"`{choice}`" for choice in self.choices)
        if self.kind == "boolean":
            return "true or false"
        if self.kind == "string":
            return "text" if self.may_be_empty else "text that is not empty"
        what = "a whole number" if self.kind == "integer" else "a number"
        if self.above is not None:
            what += f" above {self.above:.12g}"
        if self.least is not None and self.most is not None:
            return f"{what} from {self.least:.12g} to {self.most:.12g}"
        if self.least is not None:
            what += f" of at least {self.least:.12g}"
        return what + (f" and at most {self.most:.12g}" if self.most is not None else "")

    def allows(self, value: object) -> bool:
        """Whether the value is of the right kind and within its bounds."""
        if self.choices:
            return value in self.choices
        if self.kind == "boolean":
            return isinstance(value, bool)
        if self.kind == "string":
            return isinstance(value, str) and (self.may_be_empty or value.strip() != "")
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
            return False
        return (
            (self.kind == "number" or value == int(value))
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
        )

    def property(self) -> th.Property[Any]:
        """The setting as the SDK describes settings."""
        kinds: dict[str, type[th.JSONTypeHelper[Any]]] = {
            "boolean": th.BooleanType,
            "string": th.StringType,
            "integer": th.IntegerType,
            "number": th.NumberType,
        }
        return th.Property(
            self.name,
            kinds[self.kind],
            title=self.title,
            description=self.description,
            default=self.default,
            required=self.required,
            secret=self.secret,
            allowed_values=list(self.choices) or None,
        )


SETTINGS = (
    Setting(
        "provider",
        "string",
        "Provider",
        "The payments API to read: `generic`, or `chargedesk` for ChargeDesk. It sets the defaults of `base_url`, "
        "`limit_param`, `page_overlap` and `requests_per_minute`.",
        default="generic",
        choices=tuple(PROVIDERS),
    ),
    Setting(
        "base_url",
        "string",
        "Base URL",
        "Where the API is, version included. `https` only, but for a loopback host. Default: "
        f"`{PROVIDERS['generic'].base_url}`; with chargedesk `{PROVIDERS['chargedesk'].base_url}`.",
    ),
    Setting(
        "username",
        "string",
        "User name",
        "User name for HTTP Basic authentication; with chargedesk, the company's secret key.",
        required=True,
        secret=True,
    ),
    Setting(
        "password",
        "string",
        "Password",
        "Password for HTTP Basic authentication; with chargedesk, nothing.",
        default="",
        secret=True,
        may_be_empty=True,
    ),
    Setting("page_size", "integer", "Page size", "Records to ask for in one page.", default=500, least=1),
    Setting(
        "limit_param",
        "string",
        "Limit parameter",
        "Query parameter that carries `page_size`. Default: `limit`; with chargedesk `count`.",
    ),
    Setting(
        "offset_param",
        "string",
        "Offset parameter",
        "Query parameter that carries the offset; empty where the API does not page and one request brings the whole "
        "list.",
        default="offset",
        may_be_empty=True,
    ),
    Setting(
        "page_overlap",
        "integer",
        "Page overlap",
        "Records that two neighbouring pages share, so that a list that moves while it is read loses none; less than "
        "`page_size`. Default: 0; with chargedesk 1.",
        least=0,
    ),
    Setting(
        "check_total",
        "boolean",
        "Check the total",
        "Whether an end of a list that the API's own `total_count` contradicts is refused. Set it to false where the "
        "API's totals are inexact.",
        default=True,
    ),
    Setting(
        "requests_per_minute",
        "number",
        "Requests a minute",
        "The most requests to send in a minute, over all streams of a run. Default: no limit; with chargedesk 60.",
        above=0,
        most=1_000_000,
    ),
    Setting(
        "concurrency",
        "integer",
        "Concurrency",
        "Pages in flight per stream. With 1 the next page is still fetched while this one is written.",
        default=1,
        least=1,
        most=16,
    ),
    Setting(
        "max_retries",
        "integer",
        "Most retries",
        "How often a request that failed for now (429, 500, 502, 503, 504, a timeout, a broken answer) is tried again.",
        default=3,
        least=0,
        most=100,
    ),
    Setting(
        "backoff_factor",
        "number",
        "Backoff factor",
        "Retries wait `backoff_factor * 2**n` seconds, n counting from 0, or as long as the API asks where that is "
        "longer.",
        default=2,
        least=0,
        most=300,
    ),
    Setting(
        "request_timeout",
        "number",
        "Request timeout",
        "Seconds to wait for a connection, and between two parts of an answer. A whole answer may take ten times that.",
        default=60,
        above=0,
        most=3600,
    ),
    Setting(
        "start_date",
        "string",
        "Start date",
        "Where INCREMENTAL streams begin: an ISO 8601 date or date-time, UTC where it names no zone. Default: the "
        "beginning.",
    ),
    Setting(
        "lookback_days",
        "number",
        "Look-back days",
        "Days before the bookmark from which INCREMENTAL streams read again, since payments change later.",
        default=30,
        least=0,
        most=CENTURY,
    ),
    Setting(
        "window_days",
        "number",
        "Window days",
        "Days that INCREMENTAL streams read at a time where records are many; a bookmark is kept after each.",
        default=30,
        above=0,
        most=CENTURY,
    ),
    Setting(
        "on_invalid_value",
        "string",
        "Invalid values",
        "What to do with a value that cannot be made its declared type: `error` ends the run, `null` loads null in its "
        "place, with a warning for each field and a count at the end. In YAML and JSON, null is written in quotes.",
        default="error",
        choices=("error", "null"),
    ),
    Setting(
        "user_agent",
        "string",
        "User agent",
        "The User-Agent header to send. Default: `tap-payments/<version>`.",
    ),
)

BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True)
class Settings:
    """What a run makes of its configuration: every default filled in, numbers as Python's own.

    Attributes are the settings of the same names, but for these:
        provider: The provider's facts.
        base_url: Ends in a slash.
        start: `start_date` in Unix seconds, rounded down.
        lookback: `lookback_days` in seconds.
    """

    provider: Provider
    base_url: str
    username: str
    password: str
    page_size: int
    limit_param: str
    offset_param: str
    page_overlap: int
    check_total: bool
    requests_per_minute: float | None
    concurrency: int
    max_retries: int
    backoff_factor: float
    request_timeout: float
    start: int | None
    lookback: int
    window_days: float
    on_invalid_value: str
    user_agent: str

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Settings:
        """Fill in the defaults of a configuration in which `rules.violations` finds nothing."""
        provider = PROVIDERS[_value(config, "provider")]

        def given(name: str, default: Any) -> Any:
            value = _value(config, name)
            return default if value is None else value

        start = read_time(iso_time(given("start_date", "")))
        pace = given("requests_per_minute", provider.requests_per_minute)
        return cls(
            provider=provider,
            base_url=given("base_url", provider.base_url).strip().rstrip("/") + "/",
            username=given("username", ""),
            password=given("password", ""),
            page_size=int(given("page_size", 0)),
            limit_param=given("limit_param", provider.limit_param),
            offset_param=given("offset_param", ""),
            page_overlap=int(given("page_overlap", provider.page_overlap)),
            check_total=given("check_total", True),  # noqa: FBT003 - a default
            requests_per_minute=None if pace is None else float(pace),
            concurrency=int(given("concurrency", 0)),
            max_retries=int(given("max_retries", 0)),
            backoff_factor=float(given("backoff_factor", 0)),
            request_timeout=float(given("request_timeout", 0)),
            start=None if start is None else math.floor(start),
            lookback=int(float(given("lookback_days", 0)) * DAY),
            window_days=float(given("window_days", 0)),
            on_invalid_value=given("on_invalid_value", ""),
            user_agent=given("user_agent", f"tap-payments/{__version__}"),
        )


def _value(config: Mapping[str, Any], name: str) -> Any:
    """Give a setting's value; null counts as not set."""
    value = config.get(name)
    return BY_NAME[name].default if value is None else value


def iso_time(text: str) -> str:
    """Keep digits that are an ISO 8601 date (`20240506`) from being read as seconds."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if re.fullmatch(r"\d{8}", text) else text
