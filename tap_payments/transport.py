"""One request over HTTP, and why it got no answer: what may pass is told apart from what will not."""

from __future__ import annotations

import ssl
import time
from datetime import timezone
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests
import urllib3.exceptions

from tap_payments import errors
from tap_payments.prefetch import TransientError


class NotAskedError(Exception):
    """The API could not be asked, and will not be the next time; the text says what to do."""


def send(session: requests.Session, request: requests.PreparedRequest, timeout: float) -> requests.Response:
    """Send a request and read its answer to the end.

    Args:
        session: The session to send it with.
        request: The request, with its credentials.
        timeout: Seconds to wait for a connection, and between two parts of the answer.

    Returns:
        The answer, whatever its status; redirects are not followed.

    Raises:
        TransientError: If another try may do better.
        NotAskedError: If none will.
    """
    # Sessions look at the environment's proxies and authorities only where they make the request themselves.
    environment = session.merge_environment_settings(request.url, {}, None, None, None)
    environment["stream"] = True
    if (request.url or "").startswith("http:"):
        # Such a host is this machine; through a proxy the credentials would travel in the clear.
        environment["proxies"] = {}
    try:
        response = session.send(request, timeout=timeout, allow_redirects=False, **environment)
        _read_whole(response)
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError):
        advice, reason = errors.TIMEOUT_ADVICE, f"did not answer within {timeout:.12g} s"
    except requests.exceptions.SSLError as error:
        if not _is_broken_off(error):
            raise NotAskedError(errors.CERTIFICATE_ADVICE) from None
        advice, reason = errors.UNREACHABLE_ADVICE, "broke off the connection"
    except (urllib3.exceptions.ProtocolError, urllib3.exceptions.DecodeError, urllib3.exceptions.SSLError):
        advice, reason = errors.BODY_ADVICE, "broke off its answer"
    except requests.exceptions.ConnectionError:
        host = urlsplit(request.url or "").hostname
        advice, reason = errors.UNREACHABLE_ADVICE, f"could not be reached at {host}, or broke off the connection"
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, UnicodeError):
        raise NotAskedError(errors.UNREACHABLE_ADVICE) from None
    except OSError:
        # What `requests` raises for a file of authorities that is not there.
        raise NotAskedError(errors.CERTIFICATE_ADVICE) from None
    else:
        return response
    raise TransientError(reason, advice=advice)


def read_retry_after(header: str | None) -> float | None:
    """Read `Retry-After`, which may hold seconds or a date.

    Returns:
        Seconds from now; None where it is missing, or says neither.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return max(0.0, when.timestamp() - time.time())


def _read_whole(response: requests.Response) -> None:
    """Read the body in one go: `requests` reads 10 kB at a time, which takes four times the work of decoding it."""
    try:
        response._content = response.raw.read(decode_content=True)  # noqa: SLF001 - what `Response.content` gives
    except BaseException:
        response.close()
        raise


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
