"""The payments API on loopback."""

from __future__ import annotations

import time
from base64 import b64encode
from dataclasses import replace
from http import HTTPStatus
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import msgspec

from tests.fake_api import pages
from tests.fake_api.account import Account
from tests.fake_api.connections import Server
from tests.fake_api.faults import Faults
from tests.fake_api.log import InFlight, LoggedRequest, RateLimit
from tests.fake_api.providers import PROVIDERS, STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from typing_extensions import Self

    from tests.fake_api.chaos import Chaos
    from tests.fake_api.responses import Reply, ResponseWriter

ROOT = "/v1/"
POLL = 0.005  # seconds; every test waits for it once, when its fake API stops


class FakeAPI:
    """A payments API that behaves as told; every switch is an attribute and may be turned while it runs.

    Attributes:
        account: The lists it serves, which may be changed while they are read.
        requests: Every request so far, in the order they came.
        faults: Faults ordered for the next requests.
        chaos: Faults by chance for requests that meet no ordered one, or `None`.
        rewrite: Changes the body of every page, given the query; or `None`.

    Args:
        account: For each stream its records; what is left out is empty.
        provider: The dialect, a key of `PROVIDERS`.
        username: The user name it asks for.
        password: The password it asks for.
        total_count: Whether a list says how many records it has, after filtering.
        page_cap: The most records on a page, instead of 500.
        max_offset: The largest offset of each stream, over the provider's; `None` as a value lifts it.
        latency: Seconds before every response.
        rate_limit: How many requests pass in `rate_window`; more get a 429. `None` for no limit.
        rate_window: Seconds.
        retry_after: The `Retry-After` header of those responses; `None` for no header.
        ignore_offset: Whether it serves the first page whatever the offset.
        ignore_filter: Whether it serves the whole list whatever the filter.
        exclusive_max: Whether the upper end of a filter is left out.
        ascending: Whether it serves the oldest records first.
        port: The port to listen on; 0 for any free one.
        credentials_required: Whether wrong credentials get a 401.
        certificate: Files of a certificate and its key, to serve `https`; `None` for `http`.
    """

    def __init__(  # noqa: PLR0913 -- one switch for each thing an API may do
        self,
        account: Mapping[str, Iterable[dict[str, Any]]] | None = None,
        *,
        provider: str = "generic",
        username: str = "sk_test_sandbox",
        password: str = "",
        total_count: bool = False,
        page_cap: int | None = None,
        max_offset: Mapping[str, int | None] | None = None,
        latency: float = 0.0,
        rate_limit: int | None = None,
        rate_window: float = 60.0,
        retry_after: float | str | None = None,
        ignore_offset: bool = False,
        ignore_filter: bool = False,
        exclusive_max: bool = False,
        ascending: bool = False,
        port: int = 0,
        credentials_required: bool = True,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        if provider not in PROVIDERS:
            raise ValueError(f"provider must be one of {sorted(PROVIDERS)}")
        self.account = Account(account)
        self.provider = provider
        self.username, self.password = username, password
        self.credentials_required = credentials_required
        self.certificate = certificate
        self.total_count, self.page_cap, self.max_offset = total_count, page_cap, max_offset
        self.latency = latency
        self.rate_limit, self.rate_window, self.retry_after = rate_limit, rate_window, retry_after
        self.ignore_offset, self.ignore_filter = ignore_offset, ignore_filter
        self.exclusive_max, self.ascending = exclusive_max, ascending
        self.port = port
        self.requests: list[LoggedRequest] = []
        self.faults = Faults()
        self.chaos: Chaos | None = None
        self.rewrite: Callable[[dict[str, Any], dict[str, str]], dict[str, Any]] | None = None
        self.stopping = Event()
        self._callbacks: list[Callable[[FakeAPI, LoggedRequest, dict[str, str]], object]] = []
        self._rate = RateLimit()
        self._in_flight = InFlight()
        self._server: Server | None = None
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base URL, with a slash at its end."""
        return f"http{'s' if self.certificate else ''}://127.0.0.1:{self.port}{ROOT}"

    @property
    def max_in_flight(self) -> int:
        """The most requests that were served at once."""
        return max((request.in_flight for request in self.requests), default=0)

    def requests_for(self, stream: str) -> list[LoggedRequest]:
        """Return the requests for one list, in the order they came."""
        return [request for request in self.requests if request.stream == stream]

    def before_each(self, callback: Callable[[FakeAPI, LoggedRequest, dict[str, str]], object]) -> None:
        """Call back before each page is made, with the request as far as it is known and its query."""
        self._callbacks.append(callback)

    def start(self) -> None:
        """Listen; from now on `port` and `url` are the real ones."""
        self.stopping.clear()
        self._server = Server(self.port, self)
        self.port = self._server.port
        self._thread = Thread(target=self._server.serve_forever, args=(POLL,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection."""
        self.stopping.set()
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = self._thread = None

    def receive(self, path: str, params: dict[str, str], user_agent: str, authorization: str) -> LoggedRequest:
        """Put a request into the log."""
        stream = path.removeprefix(ROOT) if path.startswith(ROOT) else ""
        request = LoggedRequest(
            time=time.monotonic(),
            stream=stream if stream in STREAMS else "",
            path=path,
            params=params,
            user_agent=user_agent,
            authorization_ok=self._authorized(authorization),
            in_flight=self._in_flight.enter(),
            counted_in=self._in_flight,
        )
        self.requests.append(request)
        return request

    def answer(self, request: LoggedRequest, writer: ResponseWriter) -> None:
        """Respond to a request, rightly or by the fault that is due."""
        fault = self.faults.due(request.stream, request.params)
        if fault is None and self.chaos is not None:
            fault = self.chaos.due(request.stream, request.params)
        if self.latency:
            writer.pause(self.latency)
        if fault is None:
            writer.send(self._proper(request))
        else:
            fault.answer(writer, lambda: self._proper(request))

    def _proper(self, request: LoggedRequest) -> Reply:
        """Return the response that the API would send."""
        if self.credentials_required and not request.authorization_ok:
            return pages.error(401, "The API key is not valid.")
        if not request.stream:
            return pages.error(404, "There is nothing at this address.")
        if self.rate_limit is not None and not self._rate.passes(time.monotonic(), self.rate_limit, self.rate_window):
            headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
            return pages.error(429, "Too many requests.", headers)
        for callback in self._callbacks:
            callback(self, request, request.params)
        if self.chaos is not None:
            self.chaos.move(self.account, request.stream)
        reply = pages.page(self, request.stream, request.params)
        if self.rewrite is not None and reply.status == HTTPStatus.OK:
            body = self.rewrite(msgspec.json.decode(reply.body), request.params)
            reply = replace(reply, body=msgspec.json.encode(body))
        return reply

    def _authorized(self, header: str) -> bool:
        expected = b64encode(f"{self.username}:{self.password}".encode()).decode()
        return header == f"Basic {expected}"
