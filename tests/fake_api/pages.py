"""The response of the API to one request for a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tests.fake_api.account import Window
from tests.fake_api.providers import MAX_PAGE, PROVIDERS
from tests.fake_api.responses import Reply

if TYPE_CHECKING:
    from tests.fake_api.server import FakeAPI


class BadRequestError(Exception):
    """A bad request; its text is the message of the 400."""


def error(status: int, message: str, headers: dict[str, str] | None = None) -> Reply:
    """Return an error the way the API words it."""
    return Reply(status, msgspec.json.encode({"error": {"message": message}}), headers or {})


def page(api: FakeAPI, stream: str, params: dict[str, str]) -> Reply:
    """Return the page of a list that the query asks for."""
    try:
        size, offset, window = _size(api, params), _offset(api, stream, params), Window()
        if not api.ignore_filter:
            window = _window(api, stream, params)
    except BadRequestError as bad:
        return error(400, str(bad))
    found = api.account[stream].page(window, offset, size, ascending=api.ascending)
    start = b'{"object":"list","data":['
    end = b'],"total_count":%d}' % found.total if api.total_count else b"]}"
    parts = found.records or [b""]
    parts[0], count = start + parts[0], len(found.records)
    parts[-1] += end
    # A page of 500 is a megabyte: one join, and no other copy of it.
    return Reply(200, b",".join(parts), records=count)


def _size(api: FakeAPI, params: dict[str, str]) -> int:
    provider = PROVIDERS[api.provider]
    asked = _number(params, provider.page_param)
    cap = MAX_PAGE if api.page_cap is None else api.page_cap
    return max(1, min(provider.page_default if asked is None else asked, cap))


def _offset(api: FakeAPI, stream: str, params: dict[str, str]) -> int:
    offset = _number(params, "offset") or 0
    largest = {**PROVIDERS[api.provider].max_offset, **(api.max_offset or {})}.get(stream)
    if offset < 0 or (largest is not None and offset > largest):
        raise BadRequestError(f"offset must be from 0 to {largest}")
    return 0 if api.ignore_offset else offset


def _window(api: FakeAPI, stream: str, params: dict[str, str]) -> Window:
    name = PROVIDERS[api.provider].filters.get(stream)
    if name is None:
        return Window()
    return Window(
        _number(params, f"{name}[min]"),
        _number(params, f"{name}[max]"),
        latest_included=not api.exclusive_max,
    )


def _number(params: dict[str, str], name: str) -> int | None:
    if name not in params:
        return None
    try:
        return int(params[name])
    except ValueError:
        raise BadRequestError(f"{name} must be a whole number") from None
