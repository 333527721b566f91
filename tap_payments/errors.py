"""Fatal errors and the advice they carry; each is one line, without secrets."""

from __future__ import annotations

import traceback
from http import HTTPStatus
from pathlib import Path

from singer_sdk.exceptions import ConfigValidationError, FatalAPIError, MappingError, RetriableAPIError
from typing_extensions import override

# Advice for each status. `docs/troubleshooting.md` lists the same, word for word.
ADVICE = {
    400: "the API refuses the request: check `page_size`, `limit_param` and `offset_param`",
    401: "the API does not accept the credentials: check `username` and `password`",
    403: "the credentials may not read this list: API access must be enabled for the account",
    404: "there is no such list: check that `base_url` is the API's own, up to its version, such as `/v1/`",
    429: "requests come too fast: set `requests_per_minute` to what the account is allowed",
}
SERVER_ADVICE = "the API is down or overloaded: run again later"
REDIRECT_ADVICE = (
    "the API redirects, and the credentials go to no other address: set `base_url` to the address it moved to"
)
UNREACHABLE_ADVICE = "the API cannot be reached: check `base_url`, the network and its proxy settings"
CERTIFICATE_ADVICE = (
    "the API's certificate is not trusted: check `base_url`, or name the right authority in `REQUESTS_CA_BUNDLE`"
)
TIMEOUT_ADVICE = "the API is slow to answer: run again later, or raise `request_timeout`"
BODY_ADVICE = "unexpected response: check `base_url` and any proxy"
VALUE_ADVICE = 'set `on_invalid_value: "null"` to load null in its place, or deselect the field'
KEY_VALUE_ADVICE = (
    "a key, a replication key, or a field whose schema allows no null is never made null: have the value corrected"
)
SIZE_ADVICE = "the response is too large: lower `page_size`, or check `base_url` and any proxy"
UNKNOWN_ADVICE = "unexpected status: ask the API's provider"


CONTRADICTION_ADVICE = "the API contradicts itself: report it to its provider, or run again later"
TOTAL_ADVICE = "report it to the API's provider, or set `check_total: false` if its totals are inexact"


class RunError(FatalAPIError):
    """Ends the run; the text is its one ERROR line, without anything secret."""


class StreamError(FatalAPIError):
    """Fails one stream; the text is its one ERROR line, without anything secret."""


class StoppedError(Exception):
    """The run was stopped while it waited."""


class RequestError(FatalAPIError):
    """A request failed, and would fail again; the text follows the name of what was requested."""


class RefusedCredentialsError(RequestError):
    """The API refused the credentials, with which every other stream would fail too."""


class TransientError(RetriableAPIError):
    """A request failed in a way that another try may not.

    Attributes:
        reason: The event, to follow the name of the request.
        advice: Advice if it does not pass.
        retry_after: Seconds that the API asks to wait; None where it does not.
        pauses_all: Whether all requests of the run are to wait, not just this one.
    """

    def __init__(
        self, reason: str, *, advice: str = "", retry_after: float | None = None, pauses_all: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice
        self.retry_after = retry_after
        self.pauses_all = pauses_all


class ContradictionError(TransientError):
    """A response contradicts itself, or what came before."""

    def __init__(self, what: str, advice: str = CONTRADICTION_ADVICE) -> None:
        super().__init__(f"answered 200, but {what}", advice=advice)


class InvalidValueError(Exception):
    """A value cannot be coerced to the declared type.

    The text names the field and both types, never the value.

    Attributes:
        reason: Both types.
        path: The field.
        never_null: Whether the field may not become null instead.
    """

    def __init__(self, declared: str, arrived: str) -> None:
        self.reason = f"declared {declared}, arrived as {arrived}"
        super().__init__(self.reason)
        self.path = ""
        self.never_null = False

    def within(self, part: str) -> InvalidValueError:
        """Note that the field is inside another, or an item of an array."""
        dot = "." if self.path and not self.path.startswith("[") else ""
        self.path = f"{part}{dot}{self.path}"
        return self

    @override
    def __str__(self) -> str:
        advice = KEY_VALUE_ADVICE if self.never_null else VALUE_ADVICE
        return f"field `{self.path}`: {self.reason}: {advice}"


class UnreadableListError(Exception):
    """The list cannot be read whole; the text is the reason, without the name of the stream."""


class UnwritableRecordError(Exception):
    """A record cannot be encoded as JSON."""


def describe_error(error: Exception) -> str:
    """Return the one line that reports an error; of one that is not known, its kind and origin alone."""
    if isinstance(error, RunError | StreamError | ConfigValidationError):
        message = str(error)
    elif isinstance(error, MappingError):
        message = f"setting `stream_maps` must hold maps that the SDK can read: {type(error).__name__}"
    else:
        message = f"internal error: {_origin(error)}"
    # What an API put into a key or the name of a field must not look like more lines.
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in message)


def _origin(error: Exception) -> str:
    """Return the kind of an error and the line of the package that it came up in, and nothing of its text."""
    package, origin = Path(__file__).parent, "an unknown place"
    for frame in traceback.extract_tb(error.__traceback__):
        file = Path(frame.filename)
        if file.is_relative_to(package):
            origin = f"{file.relative_to(package).as_posix()}:{frame.lineno}"
    return f"{type(error).__name__} in {origin}"


def describe_status(status: int) -> str:
    """Return a status with its standard name, not with the server's own words."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def advise(status: int) -> str:
    """Return what to do about a status."""
    if status in ADVICE:
        return ADVICE[status]
    if 300 <= status < 400:  # noqa: PLR2004 - the class of redirects
        return REDIRECT_ADVICE
    return SERVER_ADVICE if status >= HTTPStatus.INTERNAL_SERVER_ERROR else UNKNOWN_ADVICE
