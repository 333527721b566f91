"""The settings: their declarations, and what a run makes of them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from singer_sdk import typing as th

from tap_payments import __version__
from tap_payments.providers import PROVIDERS, Provider
from tap_payments.records.timestamps import read_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CENTURY = 36_500  # days
DAY = 86_400  # seconds

# A `$` also matches before a line break at the end, which `(?!\n)` rules out.
NOT_BLANK = r"\S"
USER_NAME = r"^\s*[^\s:][^:]*$"
PARAMETER = r"^[A-Za-z0-9_.\[\]-]+$(?!\n)"
PARAMETER_OR_EMPTY = r"^[A-Za-z0-9_.\[\]-]*$(?!\n)"
HEADER = r"^ *[!-~][ -~]*$(?!\n)"


def _defaults(setting: str, none: str = "none", form: str = "`{}`") -> str:
    """Describe a default that depends on the provider."""
    shown = {
        name: none if (value := getattr(provider, setting)) is None else form.format(value)
        for name, provider in PROVIDERS.items()
    }
    generic = shown.pop("generic")
    return "; ".join([f"Default: {generic}", *(f"with {name} {value}" for name, value in shown.items())]) + "."


SETTINGS = th.PropertiesList(
    th.Property(
        "provider",
        th.StringType,
        description=(
            "The payments API to read: `generic`, or `chargedesk` for ChargeDesk. It sets the defaults of `base_url`, "
            "`limit_param` and `requests_per_minute`."
        ),
        default="generic",
        allowed_values=list(PROVIDERS),
    ),
    th.Property(
        "base_url",
        th.StringType(pattern=NOT_BLANK),
        description=(
            "URL of the API, version included. `https` only, except for a loopback host. "
            + _defaults("base_url", "none, it must be set")
        ),
    ),
    th.Property(
        "username",
        th.StringType(pattern=USER_NAME),
        description="User name for HTTP Basic authentication; with chargedesk, the company's secret key.",
        required=True,
        secret=True,
    ),
    th.Property(
        "password",
        th.StringType,
        description="Password for HTTP Basic authentication; with chargedesk, nothing.",
        default="",
        secret=True,
    ),
    th.Property(
        "page_size",
        th.IntegerType(minimum=1),
        description="Records to ask for in one page, at least 1.",
        default=500,
    ),
    th.Property(
        "limit_param",
        th.StringType(pattern=PARAMETER),
        description="Query parameter that carries `page_size`. " + _defaults("limit_param"),
    ),
    th.Property(
        "offset_param",
        th.StringType(pattern=PARAMETER_OR_EMPTY),
        description=(
            "Query parameter that carries the offset; empty where the API does not page and one request brings the "
            "whole list."
        ),
        default="offset",
    ),
    th.Property(
        "page_overlap",
        th.IntegerType(minimum=0),
        description=(
            "Records that two neighbouring pages share, so that a list that moves while it is read loses none; less "
            "than `page_size`. 0 is for an API that takes only whole pages as offsets; records that move may be missed."
        ),
        default=1,
    ),
    th.Property(
        "check_total",
        th.BooleanType,
        description=(
            "Fail if a list ends before its own `total_count`. Set it to false where the API's totals are inexact."
        ),
        default=True,
    ),
    th.Property(
        "requests_per_minute",
        th.DecimalType(exclusive_minimum=0, maximum=1_000_000),
        description=(
            "Maximum requests a minute, over all streams of a run. "
            + _defaults("requests_per_minute", "no limit", "{}")
        ),
    ),
    th.Property(
        "concurrency",
        th.IntegerType(minimum=1, maximum=16),
        description="Pages in flight per stream, 1 to 16. With 1 the next is still fetched while this one is written.",
        default=1,
    ),
    th.Property(
        "max_retries",
        th.IntegerType(minimum=0, maximum=100),
        description=(
            "How often a request is sent again after a failure that may pass (429, 500, 502, 503, 504, a timeout, a "
            "broken response), at most 100 times."
        ),
        default=3,
    ),
    th.Property(
        "backoff_factor",
        th.DecimalType(minimum=0, maximum=300),
        description=(
            "Retries wait `backoff_factor * 2**n` seconds, n counting from 0, and up to a tenth more, or as long as "
            "the API asks if that is longer; at most 300."
        ),
        default=2,
    ),
    th.Property(
        "request_timeout",
        th.DecimalType(exclusive_minimum=0, maximum=3600),
        description=(
            "Seconds to wait for a connection, and between two parts of a response, at most 3600. A body may take ten "
            "times that."
        ),
        default=60,
    ),
    th.Property(
        "start_date",
        th.StringType(pattern=NOT_BLANK),
        description=(
            "Where INCREMENTAL streams begin: an ISO 8601 date or date-time, UTC where it names no zone. Default: the "
            "beginning."
        ),
    ),
    th.Property(
        "lookback_days",
        th.DecimalType(minimum=0, maximum=CENTURY),
        description=(
            "Days before the bookmark from which INCREMENTAL streams read again, since payments change later; at most "
            "36500."
        ),
        default=30,
    ),
    th.Property(
        "reread_days",
        th.DecimalType(minimum=0, maximum=CENTURY),
        description=(
            "Days within which INCREMENTAL streams read all older records once more, an even part each run, since "
            "payments change later; 0 never does, and at most 36500."
        ),
        default=30,
    ),
    th.Property(
        "on_invalid_value",
        th.StringType,
        description=(
            "What to do with a value that cannot be made its declared type: `error` fails the stream, `null` loads "
            "null in its place, with a warning for each field and a count at the end. In YAML and JSON, write null in "
            "quotes."
        ),
        default="error",
        allowed_values=["error", "null"],
    ),
    th.Property(
        "amounts",
        th.StringType,
        description=(
            "How money fields are declared: `decimal` (text of format `x-singer.decimal`, NUMERIC in PostgreSQL), or "
            "`text` for targets that give decimals a scale of 0, such as Snowflake's. The text sent is the same."
        ),
        default="decimal",
        allowed_values=["decimal", "text"],
    ),
    th.Property(
        "personal_data",
        th.StringType,
        description=(
            "What to do with fields that hold personal data or free text: `keep` them, `hash` them (HMAC-SHA256 with "
            "`hash_key`) or `drop` them. With `hash` and `drop`, fields that the schemas do not declare never pass."
        ),
        default="keep",
        allowed_values=["keep", "hash", "drop"],
    ),
    th.Property(
        "hash_key",
        th.StringType,
        description=(
            "Secret key of the hashes, for `personal_data: hash`. With `drop`, `customers.customer_id` stays because "
            "it is the key; it is hashed if `hash_key` is set."
        ),
        secret=True,
    ),
    th.Property(
        "user_agent",
        th.StringType(pattern=HEADER),
        description="The User-Agent header to send. Default: `tap-payments/<version>`.",
    ),
    th.Property(
        "emit_activate_version_messages",
        th.BooleanType,
        description=(
            "Whether to tell the target which records are gone; not with `batch_config`, nor with `page_overlap: 0`."
        ),
        default=False,
    ),
)


@dataclass(frozen=True)
class Settings:
    """What a run makes of its configuration: every default filled in, numbers as Python's own.

    Attributes are the settings of the same names, but for these:
        provider: The provider's facts.
        base_url: Ends in a slash.
        start: `start_date` in Unix seconds, rounded down.
        lookback: `lookback_days` in seconds.
    What changes declared types is read by `records.schema`, which discovery needs before a configuration is valid.
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
    reread_days: float
    on_invalid_value: str
    personal_data: str
    hash_key: str
    user_agent: str

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Settings:
        """Fill in the defaults that depend on the provider.

        Args:
            config: A configuration that `settings_validation.check_config` has completed and found valid.
        """
        provider = PROVIDERS[config["provider"]]
        start = read_time(iso_time(config.get("start_date", "")))
        values = {**vars(provider), "hash_key": "", "user_agent": f"tap-payments/{__version__}", **config} | {
            "provider": provider,
            "base_url": (config.get("base_url") or provider.base_url or "").strip().rstrip("/") + "/",
            "start": None if start is None else math.floor(start),
            "lookback": float(config["lookback_days"]) * DAY,
        }
        # Numbers arrive as `Decimal`.
        readers: dict[str, Callable[[Any], Any]] = {"int": int, "float": float}
        return cls(**{one.name: readers.get(str(one.type), _unchanged)(values[one.name]) for one in fields(cls)})


def _unchanged(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def iso_time(text: str) -> str:
    """Keep digits that are an ISO 8601 date (`20240506`) from being read as seconds."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if re.fullmatch(r"\d{8}", text) else text
