"""The answer of the API to one request for a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tests.fake_api.api import Window
from tests.fake_api.providers import MAX_PAGE, PROVIDERS
from tests.fake_api.wire import Reply

if TYPE_CHECKING:
    from tests.fake_api.server import Sandbox


class BadRequestError(Exception):
    """A request the API answers 400; its text is the message."""


def error(status: int, message: str, headers: dict[str, str] | None = None) -> Reply:
    """Give an error the way the API words it."""
    return Reply(status, msgspec.json.encode({"error": {"message": message}}), headers or {})


def page(sandbox: Sandbox, stream: str, params: dict[str, str]) -> Reply:
    """Give the page of a list that the query asks for."""
    try:
        size, offset, window = _size(sandbox, params), _offset(sandbox, stream, params), Window()
        if not sandbox.ignore_filter:
            window = _window(sandbox, stream, params)
    except BadRequestError as bad:
        return error(400, str(bad))
    found = sandbox.account[stream].page(window, offset, size, ascending=sandbox.ascending)
    start = b'{"object":"list","data":['
    end = b'],"total_count":%d}' % found.total if sandbox.total_count else b"]}"
    parts = found.records or [b""]
    parts[0], count = start + parts[0], len(found.records)
    parts[-1] += end
    # A page of 500 is a megabyte: one join, and no other copy of it.
    return Reply(200, b",".join(parts), records=count)


def _size(sandbox: Sandbox, params: dict[str, str]) -> int:
    provider = PROVIDERS[sandbox.provider]
    asked = _number(params, provider.page_param)
    cap = MAX_PAGE if sandbox.page_cap is None else sandbox.page_cap
    return max(1, min(provider.page_default if asked is None else asked, cap))


def _offset(sandbox: Sandbox, stream: str, params: dict[str, str]) -> int:
    offset = _number(params, "offset") or 0
    largest = {**PROVIDERS[sandbox.provider].max_offset, **(sandbox.max_offset or {})}.get(stream)
    if offset < 0 or (largest is not None and offset > largest):
        raise BadRequestError(f"offset must be from 0 to {largest}")
    return 0 if sandbox.ignore_offset else offset


def _window(sandbox: Sandbox, stream: str, params: dict[str, str]) -> Window:
    name = PROVIDERS[sandbox.provider].filters.get(stream)
    if name is None:
        return Window()
    return Window(
        _number(params, f"{name}[min]"),
        _number(params, f"{name}[max]"),
        latest_included=not sandbox.exclusive_max,
    )


def _number(params: dict[str, str], name: str) -> int | None:
    if name not in params:
        return None
    try:
        return int(params[name])
    except ValueError:
        raise BadRequestError(f"{name} must be a whole number") from None
