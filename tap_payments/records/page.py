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
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from tap_payments.errors import (
    ContradictionError,
    MalformedBodyError,
    UnexpectedBodyError,
    UnreadableNumberError,
    show_key,
)
from tap_payments.records.exact_json import (
    DECODER,
    MAX_EXPONENT_DIGITS,
    RECEIVED_ENCODER,
    NonFinite,
    read_integer,
    read_number,
)
from tap_payments.records.timestamps import read_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    NameRecord = Callable[[dict[str, Any]], str]

# Nothing that an API documents is nested deeper. Where a decoder gives up depends on Python: near its recursion limit,
# or, from 3.14 on, only where the stack ends. What is below this depth is cut out then, to name the field that has it.
MAX_DEPTH = 200
LONE_SURROGATE = "text with half a surrogate pair, which cannot be written as UTF-8"
STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True)
class PageOutline:
    """The records of a page in order, without their contents, and the API's own statements about the list.

    Attributes:
        keys: The records' keys.
        times: The records' times in Unix seconds; None where a record has none that can be read.
        filter_times: The times by which the API filters the list, likewise.
        total: The API's own count of the list's records; None where there is none.
        has_more: Whether the API announces more records.
    """

    keys: Sequence[str]
    times: Sequence[float | None]
    filter_times: Sequence[float | None]
    total: int | None = None
    has_more: bool = False


@dataclass(frozen=True)
class Page:
    """A page of records, in the order of the list.

    The records stay as they came until they are wanted, one by one: what is decoded, coerced and encoded before the
    next record is touched stays in the processor's cache, and takes half the time.

    Attributes:
        outline: The records' keys and times.
        has_non_finite: Whether a record holds NaN or Infinity, as `NonFinite`.
    """

    outline: PageOutline
    _records: Sequence[msgspec.Raw]
    _name_record: NameRecord
    has_non_finite: bool = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self.record, range(len(self.outline.keys)))

    def record(self, place: int) -> dict[str, Any]:
        """Decode one record; its numbers with a fraction are `Decimal`.

        Args:
            place: Where in the page it stands, from 0.

        Raises:
            UnexpectedBodyError: If the record cannot be read.
        """
        raw = self._records[place]
        try:
            record: dict[str, Any] = DECODER.decode(raw)
        except (ArithmeticError, RecursionError, msgspec.DecodeError, UnicodeDecodeError):
            record = _decode_carefully(b'{"data":[%b]}' % bytes(raw), self._name_record)["data"][0]
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
    filter_time: str | None = None,
    show: Callable[[object], str] = show_key,
) -> Page:
    """Read a page out of an answer.

    Args:
        content: The body of the answer.
        key: The field that is a record's key.
        time: The field that is a record's time.
        filter_time: The field by whose time the API filters; None where it is `time`.
        show: Shows a key in the text of an error.

    Raises:
        MalformedBodyError: If the body is no JSON.
        ContradictionError: If it has an error beside its records.
        UnexpectedBodyError: If it is JSON, but not the documented body, or a record of it cannot be written.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    fields = tuple(dict.fromkeys((key, time, filter_time or time)))
    has_non_finite = False
    name_record = partial(_name_record, key, show)
    try:
        if not content.isascii():
            content.decode()  # The splitter passes over text without a look at its bytes.
        envelope = _SPLITTER.decode(content)
        records = envelope.data
        # One column of values for each field.
        outlined = _outliner(fields).decode(content).data
        columns = [[getattr(record, field) for record in outlined] for field in fields]
    except (ArithmeticError, RecursionError, msgspec.DecodeError, UnicodeDecodeError):
        body = _decode_carefully(content, name_record)
        _check_shape(body)
        envelope = _Envelope([], body.get("total_count"), body.get("has_more"), body.get("error"))
        has_non_finite = any(isinstance(part, NonFinite) for part in _walk(body["data"]))
        records = [msgspec.Raw(RECEIVED_ENCODER.encode(record)) for record in body["data"]]
        columns = [[_finite(record.get(field)) for record in body["data"]] for field in fields]
    if envelope.error not in (None, False, "", []):  # Some servers send one of these where there is no error.
        raise ContradictionError("it has an `error` beside `data`")
    keys = []
    for number, value in enumerate(columns[0], start=1):
        if value is None or value == "":
            msg = f"record {number} of the page lacks its key `{key}`"
            raise UnexpectedBodyError(msg)
        keys.append(value if type(value) is str else str(value))
    times = [[read_time(value) for value in column] for column in columns[1:]]
    has_more = str(envelope.has_more).strip().lower() in {"true", "1", "yes"}
    outline = PageOutline(keys, times[0], times[-1], _read_total(envelope.total_count), has_more)
    return Page(outline, records, name_record, has_non_finite)


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


def _decode_carefully(content: bytes, name_record: NameRecord) -> Any:
    """Decode what the fast decoder refuses, and distinguish an invalid record from an invalid answer.

    Python's decoder takes integers of thousands of digits, NaN and Infinity, which are invalid values of their fields,
    and half surrogate pairs, which no target could read.

    Raises:
        MalformedBodyError: If it is no JSON.
        UnexpectedBodyError: If a record of it cannot be written.
    """
    try:
        body = json.loads(content, parse_float=read_number, parse_int=read_integer, parse_constant=NonFinite)
    except UnreadableNumberError:
        _blame_exponent(content, name_record)
    except RecursionError:
        _blame_depth(content, name_record)
    except ValueError:
        msg = "the answer is no JSON" if content.strip() else "the answer is empty"
        raise MalformedBodyError(msg) from None
    if not all(_is_text(part) for part in _walk(body)):
        _blame(body, name_record, lambda value: not _is_text(value), LONE_SURROGATE)
    return body


def _finite(value: object) -> object:
    """Return a value, or None in place of NaN and Infinity."""
    return None if isinstance(value, NonFinite) else value


def _read_total(value: object) -> int | None:
    """Read `total_count`, which PHP may send as text; None where it is no whole number."""
    number = _read_digits(str(value).strip()) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal) or not math.isfinite(number):
        return None
    return int(number) if number >= 0 and number == int(number) else None


def _read_digits(text: str) -> Decimal | None:
    """Read a number that is written with digits and a point alone, of at most 20 letters."""
    return Decimal(text) if re.fullmatch(r"\d{1,20}(\.0*)?", text, re.ASCII) else None


def _blame_depth(content: bytes, name_record: NameRecord) -> NoReturn:
    """Raise an error that names the field which is nested too deeply, reading the rest of the body without it."""
    kept, depth, start = [], 0, 0
    for match in STRUCTURE.finditer(content):
        token = match.group()
        if token in b"[{":
            depth += 1
            if depth == MAX_DEPTH:
                kept.append(content[start : match.start()])
        elif token in b"]}":
            if depth == MAX_DEPTH:
                kept.append(b"Infinity")
                start = match.end()
            depth -= 1
    kept.append(content[start:])
    try:
        body = json.loads(b"".join(kept) if depth == 0 else b"")
    except ValueError:
        msg = "the answer is no JSON"
        raise MalformedBodyError(msg) from None
    _blame(body, name_record, lambda value: value == float("inf"), f"values nested more than {MAX_DEPTH} deep")


def _blame_exponent(content: bytes, name_record: NameRecord) -> NoReturn:
    """Raise an error that names the field whose number is out of all bounds."""

    def read(text: str) -> object:
        try:
            return read_number(text)
        except UnreadableNumberError:
            return float("inf")

    try:
        body = json.loads(content, parse_float=read, parse_int=read_integer, parse_constant=NonFinite)
    except RecursionError:
        _blame_depth(content, name_record)
    except ValueError:
        msg = "the answer is no JSON"
        raise MalformedBodyError(msg) from None
    what = f"a number with an exponent of more than {MAX_EXPONENT_DIGITS} digits"
    _blame(body, name_record, lambda value: value == float("inf"), what)


def _blame(body: object, name_record: NameRecord, is_wrong: Callable[[object], bool], what: str) -> NoReturn:
    records = body.get("data") if isinstance(body, dict) else None
    for record in records if isinstance(records, list) else []:
        for name, value in record.items() if isinstance(record, dict) else ():
            if any(is_wrong(part) for part in (name, *_walk(value))):
                field = name if _is_text(name) else "unreadable"
                msg = f"record {name_record(record)}, field `{field:.100}`: {what}"
                raise UnexpectedBodyError(msg)
    msg = f"the answer has {what}"
    raise UnexpectedBodyError(msg)


def _name_record(key: str, show: Callable[[object], str], record: dict[str, Any]) -> str:
    return show(record.get(key)) if _is_text(record.get(key)) else "unreadable"


def _walk(value: object) -> Iterator[object]:
    """Yield every key and every value inside."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            pending.extend(part)
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)
        else:
            yield part


def _is_text(value: object) -> bool:
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True
