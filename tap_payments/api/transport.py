"""One request over HTTP; failures are transient or final."""

from __future__ import annotations

import ssl
import threading
import time
from datetime import timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import requests
import urllib3.exceptions

from tap_payments import errors
from tap_payments.errors import RefusedCredentialsError, RequestError, TransientError
from tap_payments.timestamps import DAY, LATEST

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# Largest body that is read, in bytes after decompression; a page of 500 charges is one MB.
MAX_BODY = 256 << 20
TOO_LARGE = f"answered with more than {MAX_BODY >> 20} MiB: {errors.SIZE_ADVICE}"
# Bytes to read and decompress at a time at most: larger pieces do not stay in the processor's cache.
PIECE = 1 << 18
# How much longer a whole response may take than one wait for a part of it.
TIMEOUTS_PER_RESPONSE = 10

# Latest Unix second of a `Retry-After`: a day before the year 10000, which has no date in Python.
LATEST_RETRY = LATEST - DAY


class ThreadSession(threading.local):
    """A session for each thread: `requests` does not promise that threads can share one."""

    def __init__(self) -> None:
        self.session = requests.Session()


def send(session: requests.Session, request: requests.PreparedRequest, timeout: float) -> requests.Response:
    """Send a request and read its response to the end.

    Args:
        session: The session to send it with.
        request: The request, with its credentials.
        timeout: Seconds to wait for a connection, and between two parts of the response, which with its body may take
            ten times that.

    Returns:
        The response, whatever its status; redirects are not followed.

    Raises:
        TransientError: If another try may do better.
        RequestError: If none will, or the response is too large to be read.
    """
    # Sessions look at the environment's proxies and authorities only where they make the request themselves.
    environment = session.merge_environment_settings(request.url, {}, None, None, None)
    environment["stream"] = True
    if (request.url or "").startswith("http:"):
        # Such a host is this machine; through a proxy the credentials would travel in the clear.
        environment["proxies"] = {}
    begun = time.monotonic()
    try:
        response = session.send(request, timeout=timeout, allow_redirects=False, **environment)
        _read_whole(response, begun, timeout * TIMEOUTS_PER_RESPONSE)
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError):
        advice, reason = errors.TIMEOUT_ADVICE, f"did not answer within {timeout:.12g} s"
    except requests.exceptions.SSLError as error:
        # The other side hung up during the handshake, rather than showing a certificate that is not trusted.
        if not any(isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError) for cause in _causes(error)):
            raise RequestError(f"request not sent: {errors.CERTIFICATE_ADVICE}") from None
        advice, reason = errors.UNREACHABLE_ADVICE, "broke off the connection"
    except (urllib3.exceptions.ProtocolError, urllib3.exceptions.DecodeError, urllib3.exceptions.SSLError):
        advice, reason = errors.BODY_ADVICE, "broke off its response"
    except requests.exceptions.ConnectionError as error:
        advice, reason = errors.UNREACHABLE_ADVICE, _describe_failed_connection(error)
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, UnicodeError):
        raise RequestError(f"request not sent: {errors.UNREACHABLE_ADVICE}") from None
    except OSError:
        # `requests` raises it where the file of authorities is missing.
        raise RequestError(f"request not sent: {errors.CERTIFICATE_ADVICE}") from None
    else:
        return response
    raise TransientError(reason, advice=advice)


def check_status(response: requests.Response, what: str, *, retried: Collection[int]) -> None:
    """Raise unless the status is 200.

    Args:
        response: The response.
        what: The event, in the words of a message.
        retried: The statuses that another try may not meet.

    Raises:
        TransientError: If the request is worth another try.
        RequestError: If it is not.
    """
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    if status in retried:
        raise TransientError(
            what,
            advice=errors.advise(status),
            retry_after=read_retry_after(response.headers.get("Retry-After")),
            pauses_all=status == HTTPStatus.TOO_MANY_REQUESTS,
        )
    failure = RefusedCredentialsError if status == HTTPStatus.UNAUTHORIZED else RequestError
    raise failure(f"{what}: {errors.advise(status)}")


def read_retry_after(header: str | None) -> float | None:
    """Read `Retry-After`, which may hold seconds or a date.

    Returns:
        Seconds from now, at most to the year 9999; None where it is missing or unreadable.
    """
    text = (header or "").strip()
    now = time.time()
    try:
        seconds = float(text) if text.isascii() and text.isdigit() else _read_http_date(text) - now
    except Exception:  # noqa: BLE001 - the library's parser raises whatever it comes to, and no header may end a run
        return None
    return min(max(0.0, seconds), LATEST_RETRY - now)


def _read_http_date(text: str) -> float:
    when = parsedate_to_datetime(text)
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()


def _read_whole(response: requests.Response, begun: float, limit: float) -> None:
    """Read the body: `requests` reads 10 kB at a time, which takes four times the work of decoding it.

    Args:
        response: The response, of which the headers are read.
        begun: When the request was sent, on the monotonic clock.
        limit: Seconds that the whole response may take.

    Raises:
        TransientError: If it takes longer.
        RequestError: If it is larger than `MAX_BODY`; at most that much of it is in memory then.
    """
    body = bytearray()
    # A connection whose response was read to its end has gone back to the session by then, and stays open.
    with response:
        # Not `read`, which waits until it has as much as it was asked for.
        while part := response.raw.read1(PIECE, decode_content=True):
            body += part
            if len(body) > MAX_BODY:
                raise RequestError(TOO_LARGE)
            if time.monotonic() - begun > limit:
                raise TransientError(f"did not finish its response within {limit:.12g} s", advice=errors.TIMEOUT_ADVICE)
    response._content = bytes(body)  # noqa: SLF001 - what `Response.content` returns


def _describe_failed_connection(error: Exception) -> str:
    """Describe how a connection failed, with the host and the port, which may be a proxy's."""
    for cause in _causes(error):
        if isinstance(cause, urllib3.exceptions.NewConnectionError):
            host = f"{cause.conn.host}:{cause.conn.port}"
            if isinstance(cause, urllib3.exceptions.NameResolutionError):
                return f"got no connection: unknown host {host}"
            is_refused = isinstance(cause.__cause__, ConnectionRefusedError)
            return f"got no connection: refused by {host}" if is_refused else f"got no connection to {host}"
    return "broke off the connection"


def _causes(error: Exception) -> Iterator[BaseException]:
    """Yield an error and what it was raised from; requests and urllib3 wrap errors in one another."""
    pending: list[object] = [error]
    while pending:
        cause = pending.pop()
        if isinstance(cause, BaseException):
            yield cause
            pending += [cause.__cause__, getattr(cause, "reason", None), *cause.args]
