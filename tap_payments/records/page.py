"""A page of records, read out of the body of a response.

The documented body is `{"data": [...]}`, with `total_count` beside `data` in some APIs. Bytes that are not JSON are
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
from typing import TYPE_CHECKING

import msgspec

from tap_payments.errors import BODY_ADVICE, ContradictionError, RequestError, TransientError
from tap_payments.records.decoder import Body
from tap_payments.records.exact_json import read_integer, read_number
from tap_payments.timestamps import read_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tap_payments.records.decoder import Record, RecordDecoder

# Half a surrogate pair, escaped or not, as group 1; whole pairs and other escapes are passed over.
SURROGATES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2}|[\ud800-\udfff])"
    r"|\\.",
    re.DOTALL,
)


MISSING = (None, "", msgspec.UNSET)

REPLACED_TEXT = (
    "text with half a surrogate pair cannot be written as UTF-8, so U+FFFD takes the place of each half: have the text "
    "corrected at its source"
)


@dataclass(frozen=True)
class Page:
    """A page of records, in the order of the list.

    Attributes:
        keys: The records' keys.
        times: The records' times in Unix seconds; None where a record has none that can be read.
        total: The API's own count of the list's records; None where there is none.
        has_more: Whether the API announces more records.
        records: The records, for `RecordDecoder.read`.
        has_unreadable_times: Whether a record has a time that is written in no way that is known.
        arrived: When the page arrived.
    """

    keys: Sequence[str]
    times: Sequence[float | None]
    total: int | None = None
    has_more: bool = False
    records: Sequence[Record] = ()
    has_unreadable_times: bool = False
    arrived: datetime = field(default_factory=lambda: datetime.now(tz=timezone.utc))


def read_page(content: bytes, decoder: RecordDecoder, *, on_replaced: Callable[[], None] = lambda: None) -> Page:
    """Read a page out of the body of a response whose status is 200.

    Args:
        content: The body.
        decoder: Decodes the body with its records.
        on_replaced: Called where U+FFFD takes the place of half a surrogate pair.

    Raises:
        TransientError: If the body is not JSON, or has an error beside its records.
        RequestError: If it is JSON, but not the documented body.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        body = decoder.decode(content)
    except (RecursionError, msgspec.DecodeError, UnicodeDecodeError):
        body = _read_carefully(content, on_replaced)
    if body.error not in (None, False, "", []):  # Some servers send one of these where there is no error.
        raise ContradictionError("it has an `error` beside `data`")
    keys = []
    for number, key in enumerate(decoder.values(body.data, decoder.key), start=1):
        if key in MISSING:
            raise _unexpected(f"record {number} of the page lacks its key `{decoder.key}`")
        keys.append(key if type(key) is str else str(key))
    written = decoder.values(body.data, decoder.time)
    times = [read_time(value) for value in written]
    return Page(
        keys,
        times,
        _read_total(body.total_count),
        has_more=str(body.has_more).strip().lower() in {"true", "1", "yes"},
        records=body.data,
        has_unreadable_times=None in times
        and any(time is None and value not in MISSING for time, value in zip(times, written, strict=True)),
    )


def _unexpected(reason: str) -> RequestError:
    return RequestError(f"answered 200, but {reason}: {BODY_ADVICE}")


def _read_carefully(content: bytes, on_replaced: Callable[[], None]) -> Body:
    """Read a body that the fast decoder refuses.

    Raises:
        TransientError: If it is not JSON.
        RequestError: If it is JSON, but not the documented body.
    """
    try:
        received = content.decode("utf-8", "surrogatepass")
        text = SURROGATES.sub(lambda match: "\ufffd" if match[1] else match[0], received)
        # Takes integers of thousands of digits too, and makes of NaN and Infinity the texts of their names, which are
        # invalid values wherever text is not declared.
        body = json.loads(text, parse_float=read_number, parse_int=read_integer, parse_constant=str)
    except (RecursionError, ValueError) as error:
        reason = "not JSON" if content.strip() else "empty"
        if isinstance(error, RecursionError):
            reason = "nested too deeply"
        raise TransientError(f"answered 200, but the response is {reason}", advice=BODY_ADVICE) from None
    if text != received:
        # No target could read half a pair.
        on_replaced()
    if not isinstance(body, dict) or "data" not in body:
        raise _unexpected("the response is JSON without `data`")
    records = body["data"]
    if not isinstance(records, list):
        raise _unexpected("`data` is not a list")
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise _unexpected(f"record {number} of the page is not an object")
    return Body(records, body.get("total_count"), body.get("has_more"), body.get("error"))


def _read_total(value: object) -> int | None:
    """Read `total_count`, which PHP may send as text; None where it is not a whole number."""
    if isinstance(value, str):
        value = Decimal(value.strip()) if re.fullmatch(r"[0-9]{1,20}(\.0*)?", value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        return None
    return int(value) if value >= 0 and value == int(value) else None
