"""One request over HTTP; failures are transient or final."""

from __future__ import annotations

import ssl
import time
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
import urllib3.response

from tap_payments import errors
from tap_payments.api.sessions import TIMEOUTS_PER_ANSWER
from tap_payments.errors import RequestError, TransientError
from tap_payments.records.timestamps import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator

# Largest body that is read, in bytes after decompression; a page of 500 charges is one MB.
MAX_BODY = 256 << 20
TOO_LARGE = f"answered with more than {MAX_BODY >> 20} MiB: {errors.SIZE_ADVICE}"
# Bytes to read at a time, and to decompress: smaller pieces stay in the processor's cache, but are more.
PIECE = 1 << 20
DECOMPRESSED_PIECE = 1 << 18

# Latest Unix second of a `Retry-After`: a day before the year 10000, which has no date in Python.
LATEST_RETRY = LATEST - 86_400


def send(session: requests.Session, request: requests.PreparedRequest, timeout: float) -> requests.Response:
    """Send a request and read its answer to the end.

    Args:
        session: The session to send it with.
        request: The request, with its credentials.
        timeout: Seconds to wait for a connection, and between two parts of the answer. With a session of
            `ThreadSessions` the whole answer may take ten times that.

    Returns:
        The answer, whatever its status; redirects are not followed.

    Raises:
        TransientError: If another try may do better.
        RequestError: If none will, or the answer is too large to be read.
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
        _read_whole(response)
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError):
        advice, reason = errors.TIMEOUT_ADVICE, _describe_timeout(timeout, time.monotonic() - begun)
    except requests.exceptions.SSLError as error:
        if not _is_broken_off(error):
            raise RequestError(f"was not asked: {errors.CERTIFICATE_ADVICE}") from None
        advice, reason = errors.UNREACHABLE_ADVICE, "broke off the connection"
    except (urllib3.exceptions.ProtocolError, urllib3.exceptions.DecodeError, urllib3.exceptions.SSLError):
        advice, reason = errors.BODY_ADVICE, "broke off its answer"
    except requests.exceptions.ConnectionError:
        host = urlsplit(request.url or "").hostname
        advice, reason = errors.UNREACHABLE_ADVICE, f"could not be reached at {host}, or broke off the connection"
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, UnicodeError):
        raise RequestError(f"was not asked: {errors.UNREACHABLE_ADVICE}") from None
    except OSError:
        # What `requests` raises for a file of authorities that is not there.
        raise RequestError(f"was not asked: {errors.CERTIFICATE_ADVICE}") from None
    else:
        return response
    raise TransientError(reason, advice=advice)


def _describe_timeout(timeout: float, waited: float) -> str:
    """Describe which of the two limits was passed: that of a part of an answer, or that of the whole."""
    whole = timeout * TIMEOUTS_PER_ANSWER
    if waited < whole:
        return f"did not answer within {timeout:.12g} s"
    return f"did not finish its answer within {whole:.12g} s"


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


def _read_whole(response: requests.Response) -> None:
    """Read the body: `requests` reads 10 kB at a time, which takes four times the work of decoding it.

    Raises:
        RequestError: If it is larger than `MAX_BODY`; at most that much of it is in memory then.
    """
    try:
        response._content = b"".join(_read_parts(response.raw))  # noqa: SLF001 - what `Response.content` returns
    except BaseException:
        response.close()
        raise


def _read_parts(raw: urllib3.response.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield the decompressed body, in one part where its size is known beforehand."""
    length, encoded = raw.length_remaining, bool(raw.headers.get("Content-Encoding"))
    if length is not None and length > MAX_BODY:
        raise RequestError(TOO_LARGE)
    if length is not None and not encoded:
        yield raw.read()
        return
    size = 0
    while part := raw.read(DECOMPRESSED_PIECE if encoded else PIECE, decode_content=encoded):
        size += len(part)
        if size > MAX_BODY:
            raise RequestError(TOO_LARGE)
        yield part


def _is_broken_off(error: requests.exceptions.SSLError) -> bool:
    """Whether the other side hung up during the handshake, rather than showing a certificate that is not trusted."""
    pending: list[object] = [error]
    while pending:
        cause = pending.pop()
        if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return True
        if isinstance(cause, BaseException):
            pending += [cause.__cause__, getattr(cause, "reason", None), *cause.args]
    return False
