"""The settings: their declarations, and what a run makes of them."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from singer_sdk import typing as th

from tap_payments.providers import PROVIDERS, Provider
from tap_payments.timestamps import DAY, read_iso

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        allowed_values=list(PROVIDERS),
        default="generic",
        description=f"The payments API to read: {' or '.join(f'`{name}`' for name in PROVIDERS)}.",
    ),
    th.Property(
        "base_url",
        th.StringType(pattern=NOT_BLANK),
        description="URL of the API, version included; `https` only, except for a loopback host. "
        + _defaults("base_url", "none, it must be set"),
    ),
    th.Property(
        "username",
        th.StringType(pattern=USER_NAME),
        required=True,
        secret=True,
        description="User name for HTTP Basic, without a colon; with chargedesk, the company's secret key.",
    ),
    th.Property(
        "password",
        th.StringType,
        default="",
        secret=True,
        description="Password for HTTP Basic; with chargedesk, nothing.",
    ),
    th.Property(
        "page_size", th.IntegerType(minimum=1), default=500, description="Records to ask for in one page, at least 1."
    ),
    th.Property(
        "limit_param",
        th.StringType(pattern=PARAMETER),
        description="Query parameter that carries `page_size`. " + _defaults("limit_param"),
    ),
    th.Property(
        "offset_param",
        th.StringType(pattern=PARAMETER_OR_EMPTY),
        default="offset",
        description="Query parameter that carries the offset; empty where one request brings the whole list.",
    ),
    th.Property(
        "page_overlap",
        th.IntegerType(minimum=0),
        default=1,
        description="Records that two neighbouring pages share, so that a list that moves while it is read loses none; "
        "less than `page_size`. 0, for an API that takes only whole pages as offsets, may miss records that move.",
    ),
    th.Property(
        "check_total",
        th.BooleanType,
        default=True,
        description="Fail if a list ends before its own `total_count`; set it to false where totals are inexact.",
    ),
    th.Property(
        "requests_per_minute",
        th.DecimalType(exclusive_minimum=0, maximum=1_000_000),
        description="Maximum requests a minute, over all streams of a run: more than 0 and at most 1000000. "
        + _defaults("requests_per_minute", "no limit", "{}"),
    ),
    th.Property(
        "concurrency",
        th.IntegerType(minimum=1, maximum=16),
        default=1,
        description="Pages in flight per stream, 1 to 16. With 1 the next page is fetched while this one is written.",
    ),
    th.Property(
        "max_retries",
        th.IntegerType(minimum=0, maximum=100),
        default=3,
        description="How often a request is sent again after a failure that may pass (429, 500, 502, 503, 504, "
        "a timeout, a broken response), 0 to 100.",
    ),
    th.Property(
        "backoff_factor",
        th.DecimalType(minimum=0, maximum=300),
        default=2,
        description="Retries wait `backoff_factor * 2**n` seconds, n counting from 0, and up to a tenth more, or as "
        "long as the API asks if that is longer. 0 to 300.",
    ),
    th.Property(
        "request_timeout",
        th.DecimalType(exclusive_minimum=0, maximum=3600),
        default=60,
        description="Seconds to wait for a connection, and between two parts of a response: more than 0 and at most "
        "3600. A body may take ten times that.",
    ),
    th.Property(
        "start_date",
        th.StringType(pattern=NOT_BLANK),
        description="Where INCREMENTAL streams begin: an ISO 8601 date or date-time, UTC where it names no zone. "
        "Default: the beginning.",
    ),
    th.Property(
        "lookback_days",
        th.DecimalType(minimum=0, maximum=36_500),
        default=30,
        description="Days before the bookmark from which INCREMENTAL streams read again, 0 to 36500.",
    ),
    th.Property(
        "reread_days",
        th.DecimalType(minimum=0, maximum=36_500),
        default=30,
        description="Days within which INCREMENTAL streams read all older records once more, an even part each run, "
        "since payments change later; 0 to 36500, where 0 never does.",
    ),
    th.Property(
        "on_invalid_value",
        th.StringType,
        allowed_values=["error", "null"],
        default="error",
        description="What to do with a value that cannot be made its declared type: `error` fails the stream, `null` "
        "loads null in its place, with a warning. In YAML and JSON, write null in quotes.",
    ),
    th.Property(
        "amounts",
        th.StringType,
        allowed_values=["decimal", "text"],
        default="decimal",
        description="How money is declared: `decimal` (text of format `x-singer.decimal`, NUMERIC in PostgreSQL), or "
        "`text` for targets that give decimals a scale of 0, such as Snowflake's. The text sent is the same.",
    ),
    th.Property(
        "personal_data",
        th.StringType,
        allowed_values=["keep", "hash", "drop"],
        default="keep",
        description="What to do with fields that hold personal data or free text: `keep`, `hash` (HMAC-SHA256 with "
        "`hash_key`) or `drop` them. With `hash` and `drop`, undeclared fields never pass.",
    ),
    th.Property(
        "hash_key",
        th.StringType,
        secret=True,
        description="Secret key of the hashes, for `personal_data: hash`. With `drop`, `customers.customer_id` stays "
        "because it is the key; it is hashed if `hash_key` is set.",
    ),
    th.Property(
        "user_agent",
        th.StringType(pattern=HEADER),
        description="The User-Agent header to send, in ASCII. Default: `singer-sdk/<version>`.",
    ),
    th.Property(
        "emit_activate_version_messages",
        th.BooleanType,
        default=False,
        description="Whether to tell the target which records are gone; not with `batch_config` or `page_overlap: 0`.",
    ),
)


@dataclass(frozen=True)
class Settings:
    """The configuration of a run: every default filled in, numbers as Python's own.

    Attributes are the settings of the same names, but for these:
        provider: The provider's facts.
        base_url: Ends in a slash.
        start: `start_date` in Unix seconds, rounded down.
        lookback: `lookback_days` in seconds.
    `amounts` is read by `records.schema.SchemaRules`, since discovery runs before the configuration is validated.
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

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Settings:
        """Fill in the defaults that depend on the provider.

        Args:
            config: A configuration that `validation.check_config` has completed and found valid.
        """
        provider = PROVIDERS[config["provider"]]
        given: dict[str, Any] = {"hash_key": "", **vars(provider), **config}
        start = read_iso(config.get("start_date", "").strip())
        given |= {
            "provider": provider,
            "base_url": (given["base_url"] or "").strip().rstrip("/") + "/",
            "start": None if start is None else math.floor(start),
            "lookback": float(config["lookback_days"]) * DAY,
        }
        return cls(**{field.name: _plain(given[field.name]) for field in fields(cls)})


def read_text(text: str, types: list[str]) -> Any:
    """Return the value that the text of an environment variable stands for.

    Args:
        text: The text; returned as it is, and refused later, where it stands for no value of the types.
        types: The JSON Schema types of the setting.
    """
    with suppress(KeyError, ValueError, RecursionError):
        return TEXTS[types[0]](text) if types[0] in TEXTS else json.loads(text)
    return text


def _plain(value: Any) -> Any:
    """Return a number, which in a configuration may be a decimal or `5.0`, as Python's own; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, float | Decimal):
        return value
    return int(value) if value == int(value) else float(value)


# Texts of the environment, where they are not read as JSON.
TEXTS: dict[str, Callable[[str], object]] = {
    "boolean": lambda text: {"true": True, "1": True, "false": False, "0": False}[text.lower()],
    "string": str,
}
