"""Parsing of an answer's body into a page of records.

The documented body is `{"data": [...]}`, with `total_count` beside `data` in some APIs. Bytes that are no JSON are
worth another try; JSON of another shape is not.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from tap_payments.errors import (
    ContradictionError,
    MalformedBodyError,
    UnexpectedBodyError,
)
from tap_payments.records.exact_json import DECODER, read_integer, read_number
from tap_payments.records.timestamps import read_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

# Half a surrogate pair, escaped or not, as group 1; whole pairs and other escapes are passed over.
SURROGATES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2}|[\ud800-\udfff])"
    r"|\\.",
    re.DOTALL,
)


@dataclass(frozen=True)
class PageOutline:
    """The records of a page in order, without their contents, and the API's own statements about the list.

    Attributes:
        keys: The records' keys.
        times: The records' times in Unix seconds; None where a record has none that can be read.
        total: The API's own count of the list's records; None where there is none.
        has_more: Whether the API announces more records.
    """

    keys: Sequence[str]
    times: Sequence[float | None]
    total: int | None = None
    has_more: bool = False


@dataclass(frozen=True)
class Page:
    """A page of records, in the order of the list.

    The records stay as they came until they are wanted, one by one: what is decoded, coerced and encoded before the
    next record is touched stays in the processor's cache, and takes half the time.

    Attributes:
        outline: The records' keys and times.
        has_unreadable_times: Whether a record has a time that is written in no way that is known.
    """

    outline: PageOutline
    _records: Sequence[msgspec.Raw | dict[str, Any]]
    has_unreadable_times: bool = False
    _on_replaced: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self.record, range(len(self.outline.keys)))

    def record(self, place: int) -> dict[str, Any]:
        """Decode one record; its numbers with a fraction are `Decimal`.

        Args:
            place: Where in the page it stands, from 0.

        Raises:
            MalformedBodyError: If the record cannot be read.
        """
        raw = self._records[place]
        if isinstance(raw, dict):
            return raw
        try:
            record: dict[str, Any] = DECODER.decode(raw)
        except (RecursionError, msgspec.DecodeError, UnicodeDecodeError):
            record = _decode_carefully(bytes(raw), self._on_replaced)
        return record


@dataclass(frozen=True)
class FetchedPage:
    """A page and when it arrived."""

    page: Page
    arrived: datetime

    @property
    def outline(self) -> PageOutline:
        """The outline of the page."""
        return self.page.outline


class _Envelope(msgspec.Struct):
    data: list[msgspec.Raw]
    total_count: Any = None
    has_more: Any = None
    error: Any = None


_SPLITTER = msgspec.json.Decoder(_Envelope)


@cache
def _outliner(fields: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Return a decoder for some fields of a body's records, which passes over all else."""
    record = msgspec.defstruct("Record", [(field, Any, None) for field in fields])
    envelope = msgspec.defstruct("Body", [("data", list[record])])  # type: ignore[valid-type]  # made at run time
    return msgspec.json.Decoder(envelope, float_hook=read_number)


def read_page(
    content: bytes,
    *,
    key: str,
    time: str,
    on_replaced: Callable[[], None] = lambda: None,
) -> Page:
    """Read a page out of an answer.

    Args:
        content: The body of the answer.
        key: The field that is a record's key.
        time: The field that is a record's time.
        on_replaced: Called where U+FFFD takes the place of half a surrogate pair; for a record, when it is decoded.

    Raises:
        MalformedBodyError: If the body is no JSON.
        ContradictionError: If it has an error beside its records.
        UnexpectedBodyError: If it is JSON, but not the documented body.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    fields = (key, time)
    try:
        if not content.isascii():
            content.decode()  # The splitter passes over text without a look at its bytes.
        envelope = _SPLITTER.decode(content)
        records: Sequence[msgspec.Raw | dict[str, Any]] = envelope.data
        # One column of values for each field.
        outlined = _outliner(fields).decode(content).data
        columns = [[getattr(record, field) for record in outlined] for field in fields]
    except (RecursionError, msgspec.DecodeError, UnicodeDecodeError):
        body = _decode_carefully(content, on_replaced)
        _check_shape(body)
        envelope = _Envelope([], body.get("total_count"), body.get("has_more"), body.get("error"))
        records = body["data"]
        columns = [[record.get(field) for record in body["data"]] for field in fields]
    if envelope.error not in (None, False, "", []):  # Some servers send one of these where there is no error.
        raise ContradictionError("it has an `error` beside `data`")
    keys = []
    for number, value in enumerate(columns[0], start=1):
        if value is None or value == "":
            msg = f"record {number} of the page lacks its key `{key}`"
            raise UnexpectedBodyError(msg)
        keys.append(value if type(value) is str else str(value))
    times = [read_time(value) for value in columns[1]]
    has_more = str(envelope.has_more).strip().lower() in {"true", "1", "yes"}
    outline = PageOutline(keys, times, _read_total(envelope.total_count), has_more)
    unreadable = None in times and any(
        second is None and value not in (None, "") for second, value in zip(times, columns[1], strict=True)
    )
    return Page(outline, records, unreadable, on_replaced)


def _check_shape(body: object) -> None:
    """Raise an error if JSON is not the documented body."""
    records = body.get("data") if isinstance(body, dict) else None
    if not isinstance(records, list):
        what = "`data` that is no list" if isinstance(body, dict) and "data" in body else "no `data`"
        msg = f"the answer is JSON with {what}"
        raise UnexpectedBodyError(msg)
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            msg = f"record {number} of the page is no object"
            raise UnexpectedBodyError(msg)


def _decode_carefully(content: bytes, on_replaced: Callable[[], None]) -> Any:
    """Decode what the fast decoder refuses, and tell JSON of another shape from what is no JSON.

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
        msg = "the answer is nested too deeply"
        raise MalformedBodyError(msg) from None
    except ValueError:
        msg = "the answer is no JSON" if content.strip() else "the answer is empty"
        raise MalformedBodyError(msg) from None
    if text != received:
        on_replaced()
    return body


def _read_total(value: object) -> int | None:
    """Read `total_count`, which PHP may send as text; None where it is no whole number."""
    number = _read_digits(str(value).strip()) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal) or not math.isfinite(number):
        return None
    return int(number) if number >= 0 and number == int(number) else None


def _read_digits(text: str) -> Decimal | None:
    """Read a number that is written with digits and a point alone, of at most 20 letters."""
    return Decimal(text) if re.fullmatch(r"\d{1,20}(\.0*)?", text, re.ASCII) else None
