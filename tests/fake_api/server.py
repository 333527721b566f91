"""The payments API on loopback."""

from __future__ import annotations

import time
from base64 import b64encode
from contextlib import ExitStack
from dataclasses import KW_ONLY, InitVar, dataclass, field, replace
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

import msgspec

from tests.fake_api.account import Account, Window
from tests.fake_api.connections import Reply, Server
from tests.fake_api.faults import Faults
from tests.fake_api.log import LoggedRequest
from tests.fake_api.providers import MAX_PAGE, PROVIDERS, STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from typing_extensions import Self

    from tests.fake_api.chaos import Chaos
    from tests.fake_api.connections import ResponseWriter

ROOT = "/v1/"
POLL = 0.005  # seconds; every test waits for it once, when its fake API stops


@dataclass(eq=False)
class FakeAPI:
    """A payments API whose behaviour is set by attributes, which may change while it runs.

    Attributes:
        lists: For each stream its records; what is left out is empty. They become `account`, which may be changed while
            it is read.
        provider: The dialect, a key of `PROVIDERS`.
        total_count: Whether a list says how many records it has, after filtering.
        page_cap: The most records on a page, instead of 500.
        max_offset: The largest offset of each stream, over the provider's; `None` as a value lifts it.
        latency: Seconds before every response.
        rate_limit: How many requests pass in `rate_window` seconds; more get a 429. `None` for no limit.
        ascending: Whether it serves the oldest records first.
        port: The port to listen on; 0 for any free one.
        certificate: Files of a certificate and its key, to serve `https`; `None` for `http`.
        chaos: Faults by chance for requests that meet no ordered one, or `None`.
        rewrite: Changes the body of every page, given the query; or `None`.
        requests: Every request so far, in the order they came.
        faults: Faults ordered for the next requests.
    """

    lists: InitVar[Mapping[str, Iterable[dict[str, Any]]] | None] = None
    _: KW_ONLY
    provider: str = "generic"
    username: str = "sk_test_sandbox"
    password: str = ""
    total_count: bool = False
    page_cap: int | None = None
    max_offset: Mapping[str, int | None] = field(default_factory=dict)
    latency: float = 0.0
    rate_limit: int | None = None
    rate_window: float = 60.0
    ignore_offset: bool = False
    ignore_filter: bool = False
    ascending: bool = False
    port: int = 0
    credentials_required: bool = True
    certificate: tuple[Path, Path] | None = None
    chaos: Chaos | None = None
    rewrite: Callable[[dict[str, Any], dict[str, str]], dict[str, Any]] | None = None

    def __post_init__(self, lists: Mapping[str, Iterable[dict[str, Any]]] | None) -> None:
        self.account = Account(lists)
        self.requests: list[LoggedRequest] = []
        self.faults = Faults()
        self.stopping = Event()
        self._callbacks: list[Callable[[FakeAPI, LoggedRequest, dict[str, str]], object]] = []
        self._passed: list[float] = []
        self._in_flight = 0
        self._lock = Lock()
        self._stop = ExitStack()

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
        server = Server(self.port, self)
        self.port = server.server_port
        thread = Thread(target=server.serve_forever, args=(POLL,), daemon=True)
        thread.start()
        for end in (server.server_close, thread.join, server.shutdown, self.stopping.set):
            self._stop.callback(end)

    def stop(self) -> None:
        """Close the port and every connection."""
        self._stop.close()

    def receive(self, path: str, params: dict[str, str], user_agent: str, authorization: str) -> LoggedRequest:
        """Put a request into the log."""
        stream = path.removeprefix(ROOT) if path.startswith(ROOT) else ""
        expected = b64encode(f"{self.username}:{self.password}".encode()).decode()
        request = LoggedRequest(
            time=time.monotonic(),
            stream=stream if stream in STREAMS else "",
            path=path,
            params=params,
            user_agent=user_agent,
            authorization_ok=authorization == f"Basic {expected}",
            in_flight=self._count_in_flight(1),
            on_done=lambda: self._count_in_flight(-1),
        )
        self.requests.append(request)
        return request

    def _count_in_flight(self, change: int) -> int:
        with self._lock:
            self._in_flight += change
            return self._in_flight

    def answer(self, request: LoggedRequest, writer: ResponseWriter) -> None:
        """Respond to a request, rightly or by the fault that is due."""
        fault = self.faults.due(request.stream, request.params)
        if fault is None and self.chaos is not None:
            fault = self.chaos.due(request.stream, request.params)
        if self.latency:
            writer.stopping.wait(self.latency)
        if fault is None:
            writer.send(self._proper(request))
        else:
            fault.answer(writer, lambda: self._proper(request))

    def _proper(self, request: LoggedRequest) -> Reply:
        """Return the response that the API would send."""
        if self.credentials_required and not request.authorization_ok:
            return _error(401, "The API key is not valid.")
        if not request.stream:
            return _error(404, "There is nothing at this address.")
        if self._is_too_fast():
            return _error(429, "Too many requests.")
        for callback in self._callbacks:
            callback(self, request, request.params)
        if self.chaos is not None:
            self.chaos.move(self.account, request.stream)
        try:
            reply = self._page(request.stream, request.params)
        except _BadRequestError as bad:
            return _error(400, str(bad))
        if self.rewrite is not None:
            body = self.rewrite(msgspec.json.decode(reply.body), request.params)
            reply = replace(reply, body=msgspec.json.encode(body))
        return reply

    def _is_too_fast(self) -> bool:
        """Whether the requests of the last `rate_window` seconds are as many as are allowed."""
        if self.rate_limit is None:
            return False
        with self._lock:
            now = time.monotonic()
            self._passed = [passed for passed in self._passed if passed > now - self.rate_window]
            is_too_fast = len(self._passed) >= self.rate_limit
            self._passed += [] if is_too_fast else [now]
            return is_too_fast

    def _page(self, stream: str, params: dict[str, str]) -> Reply:
        """Return the page of a list that the query asks for."""
        provider = PROVIDERS[self.provider]
        asked, offset = _number(params, provider.page_param), _number(params, "offset") or 0
        size = max(1, min(provider.page_default if asked is None else asked, self.page_cap or MAX_PAGE))
        largest = {**provider.max_offset, **self.max_offset}.get(stream)
        if offset < 0 or (largest is not None and offset > largest):
            raise _BadRequestError(f"offset must be from 0 to {largest}")
        window, name = Window(), provider.filters.get(stream)
        if name is not None and not self.ignore_filter:
            window = Window(*(_number(params, f"{name}[{end}]") for end in ("min", "max")))
        offset = 0 if self.ignore_offset else offset
        found = self.account[stream].page(window, offset, size, ascending=self.ascending)
        parts, count = found.records or [b""], len(found.records)
        parts[0] = b'{"object":"list","data":[' + parts[0]
        parts[-1] += b'],"total_count":%d}' % found.total if self.total_count else b"]}"
        # A page of 500 is a megabyte: one join, and no other copy of it.
        return Reply(200, b",".join(parts), records=count)


class _BadRequestError(Exception):
    """A bad request; its text is the message of the 400."""


def _error(status: int, message: str) -> Reply:
    """Return an error the way the API words it."""
    return Reply(status, msgspec.json.encode({"error": {"message": message}}))


def _number(params: dict[str, str], name: str) -> int | None:
    try:
        return int(params[name]) if name in params else None
    except ValueError:
        raise _BadRequestError(f"{name} must be a whole number") from None
