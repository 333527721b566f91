"""What an answer means: a page, a failure that may pass, or one that will not."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from tap_payments import errors
from tap_payments.api.transport import read_retry_after
from tap_payments.errors import (
    MalformedBodyError,
    RefusedCredentialsError,
    RequestError,
    TransientError,
    UnexpectedBodyError,
)
from tap_payments.records.page import Page, read_page

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import requests


def check_status(response: requests.Response, what: str, *, retried: Collection[int]) -> None:
    """Let only a 200 pass.

    Args:
        response: The answer.
        what: What happened, in the words of a message.
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


def parse_page(response: requests.Response, *, key: str, time: str, on_replaced: Callable[[], None]) -> Page:
    """Return the page of an answer.

    Args:
        response: An answer whose status is 200.
        key: The field that is a record's key.
        time: The field that is a record's time.
        on_replaced: Called where U+FFFD takes the place of half a surrogate pair.

    Raises:
        TransientError: If another try may bring another answer.
        RequestError: If it will not.
    """
    try:
        return read_page(response.content, key=key, time=time, on_replaced=on_replaced)
    except MalformedBodyError as error:
        raise TransientError(f"answered 200, but {error}", advice=errors.BODY_ADVICE) from None
    except UnexpectedBodyError as error:
        raise RequestError(f"answered 200, but {error}: {errors.BODY_ADVICE}") from None
