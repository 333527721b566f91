"""A page of records, read out of the body of a response.

The documented body is `{"data": [...]}`, with `total_count` beside `data` in some APIs. Bytes that are no JSON are
worth another try; JSON of another shape is not.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from tap_payments.errors import BODY_ADVICE, CONTRADICTION_ADVICE, MalformedBodyError, RequestError, TransientError
from tap_payments.records.exact_json import read_integer, read_number
from tap_payments.records.timestamps import read_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Half a surrogate pair, escaped or not, as group 1; whole pairs and other escapes are passed over.
SURROGATES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2}|[\ud800-\udfff])"
    r"|\\.",
    re.DOTALL,
)


@dataclass(frozen=True)
class Page:
    """A page of records, in the order of the list.

    Attributes:
        keys: The records' keys.
        times: The records' times in Unix seconds; None where a record has none that can be read.
        total: The API's own count of the list's records; None where there is none.
        has_more: Whether the API announces more records.
        records: The records, as a rule not decoded yet: what is decoded, coerced and encoded before the next record
            is touched stays in the processor's cache, and takes half the time.
        has_unreadable_times: Whether a record has a time that is written in no way that is known.
        arrived: When the page arrived.
    """

    keys: Sequence[str]
    times: Sequence[float | None]
    total: int | None = None
    has_more: bool = False
    records: Sequence[msgspec.Raw | dict[str, Any]] = ()
    has_unreadable_times: bool = False
    arrived: datetime = field(default_factory=lambda: datetime.now(tz=timezone.utc))


class _Body(msgspec.Struct):
    data: list[msgspec.Raw]
    total_count: Any = None
    has_more: Any = None
    error: Any = None


_SPLITTER = msgspec.json.Decoder(_Body)


@cache
def _header_decoder(fields: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Return a decoder for some fields of a body's records, which passes over all else."""
    record = msgspec.defstruct("Record", [(field, Any, None) for field in fields])
    body = msgspec.defstruct("Body", [("data", list[record])])  # type: ignore[valid-type]  # made at run time
    return msgspec.json.Decoder(body, float_hook=read_number)


def read_page(
    content: bytes,
    *,
    key: str,
    time: str,
    on_replaced: Callable[[], None] = lambda: None,
) -> Page:
    """Read a page out of the body of a response whose status is 200.

    Args:
        content: The body.
        key: The field that is a record's key.
        time: The field that is a record's time.
        on_replaced: Called where U+FFFD takes the place of half a surrogate pair.

    Raises:
        TransientError: If the body is no JSON, or has an error beside its records.
        RequestError: If it is JSON, but not the documented body.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    fields = (key, time)
    try:
        if not content.isascii():
            content.decode()  # The splitter passes over text without a look at its bytes.
        body = _SPLITTER.decode(content)
        records: Sequence[msgspec.Raw | dict[str, Any]] = body.data
        headers = [
            [getattr(header, field) for field in fields] for header in _header_decoder(fields).decode(content).data
        ]
    except (RecursionError, msgspec.DecodeError, UnicodeDecodeError):
        body, records = _read_carefully(content, on_replaced)
        headers = [[record.get(field) for field in fields] for record in records]
    if body.error not in (None, False, "", []):  # Some servers send one of these where there is no error.
        raise TransientError("answered 200, but it has an `error` beside `data`", advice=CONTRADICTION_ADVICE)
    keys = [value if type(value) is str else str(value) for value, _ in headers if value not in (None, "")]
    if len(keys) < len(headers):
        number = next(index for index, (value, _) in enumerate(headers, start=1) if value in (None, ""))
        raise _unexpected(f"record {number} of the page lacks its key `{key}`")
    times = [read_time(value) for _, value in headers]
    return Page(
        keys,
        times,
        _read_total(body.total_count),
        has_more=str(body.has_more).strip().lower() in {"true", "1", "yes"},
        records=records,
        has_unreadable_times=None in times
        and any(time is None and value not in (None, "") for time, (_, value) in zip(times, headers, strict=True)),
    )


def _unexpected(reason: str) -> RequestError:
    return RequestError(f"answered 200, but {reason}: {BODY_ADVICE}")


def _read_carefully(content: bytes, on_replaced: Callable[[], None]) -> tuple[_Body, list[dict[str, Any]]]:
    """Read a body that the fast decoder refuses.

    Returns:
        The body without its records, and the records.

    Raises:
        TransientError: If it is no JSON.
        RequestError: If it is JSON, but not the documented body.
    """
    try:
        body = decode_carefully(content, on_replaced)
    except MalformedBodyError as error:
        raise TransientError(f"answered 200, but {error}", advice=BODY_ADVICE) from None
    if not isinstance(body, dict) or "data" not in body:
        raise _unexpected("the response is JSON without `data`")
    records = body["data"]
    if not isinstance(records, list):
        raise _unexpected("`data` is not a list")
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise _unexpected(f"record {number} of the page is not an object")
    return _Body([], body.get("total_count"), body.get("has_more"), body.get("error")), records


def decode_carefully(content: bytes, on_replaced: Callable[[], None]) -> Any:
    """Decode what the fast decoder refuses.

    Python's decoder takes integers of thousands of digits, and NaN and Infinity, which become the texts of their
    names: so they are invalid values wherever text is not declared.

    Args:
        content: The JSON.
        on_replaced: Called if U+FFFD takes the place of half a surrogate pair, which no target could read.

    Raises:
        MalformedBodyError: If it is no JSON, or nested too deeply to be read.
    """
    try:
        received = content.decode("utf-8", "surrogatepass")
        text = SURROGATES.sub(lambda match: "\ufffd" if match[1] else match[0], received)
        body = json.loads(text, parse_float=read_number, parse_int=read_integer, parse_constant=str)
    except RecursionError:
        raise MalformedBodyError("the response is nested too deeply") from None
    except ValueError:
        raise MalformedBodyError("the response is no JSON" if content.strip() else "the response is empty") from None
    if text != received:
        on_replaced()
    return body


def _read_total(value: object) -> int | None:
    """Read `total_count`, which PHP may send as text; None where it is no whole number."""
    if isinstance(value, str):
        value = Decimal(value.strip()) if re.fullmatch(r"[0-9]{1,20}(\.0*)?", value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        return None
    return int(value) if value >= 0 and value == int(value) else None
