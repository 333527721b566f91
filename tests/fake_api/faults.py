"""Faults to order: what can go wrong between a client and the API."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from typing_extensions import override

from tests.fake_api.connections import Reply, ResponseWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAK_MARKER = "LEAK-BODY-MARKER"
"""Stands in the body of every wrong status: no log may show it."""

ERROR_BODY = b'{"error":{"message":"' + LEAK_MARKER.encode() + b'"}}'


Proper = Callable[[], Reply]
"""Makes the right response."""


@dataclass(frozen=True)
class Fault:
    """A response other than the right one; its `kind` is the name that it is counted by."""

    kind: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if not self.kind:
            object.__setattr__(self, "kind", type(self).__name__)

    def answer(self, writer: ResponseWriter, proper: Proper) -> None:
        """Send the response."""
        writer.send(self.reply(proper))

    def reply(self, proper: Proper) -> Reply:
        """Return the response, where it is sent as any other."""
        raise NotImplementedError


@dataclass(frozen=True)
class Status(Fault):
    """A status of its own."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = ERROR_BODY

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", f"Status {self.code}")

    @override
    def reply(self, proper: Proper) -> Reply:
        return Reply(self.code, self.body, self.headers)


@dataclass(frozen=True)
class Body(Fault):
    """A body of its own: a page of HTML, nothing at all, a list without `data`."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200

    @override
    def reply(self, proper: Proper) -> Reply:
        return Reply(self.status, self.body, content_type=self.content_type)


@dataclass(frozen=True)
class Redirect(Fault):
    """A redirect to a URL."""

    location: str
    status: int = 302

    @override
    def reply(self, proper: Proper) -> Reply:
        return Reply(self.status, headers={"Location": self.location})


@dataclass(frozen=True)
class Truncate(Fault):
    """Half of the JSON, with the length of that half in the header."""

    @override
    def reply(self, proper: Proper) -> Reply:
        whole = proper()
        return Reply(whole.status, whole.body[: len(whole.body) // 2], whole.headers)


@dataclass(frozen=True)
class Bomb(Fault):
    """A gzip body of this many MiB of white space, by itself with a length, a thousandth of that on its way."""

    mebibytes: int
    chunked: bool = False

    @override
    def reply(self, proper: Proper) -> Reply:
        packer = zlib.compressobj(wbits=31)

        def pack(data: bytes) -> bytes:
            return packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)

        # After a full flush the same data are the same bytes again.
        first, again = pack(b'{"data":['), pack(b" " * (1 << 20))
        body = first + again * self.mebibytes
        if not self.chunked:
            return Reply(200, body, {"Content-Encoding": "gzip"})
        headers = {"Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}
        return Reply(200, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), headers)


@dataclass(frozen=True)
class Hang(Fault):
    """Silence for so many seconds before the right response; with `None` until the fake API stops."""

    seconds: float | None = None

    @override
    def answer(self, writer: ResponseWriter, proper: Proper) -> None:
        writer.pause(self.seconds)
        if self.seconds is None:
            writer.drop()
        else:
            writer.send(proper())


@dataclass(frozen=True)
class Drip(Fault):
    """The right response in ten pieces, spread over so many seconds."""

    seconds: float

    @override
    def answer(self, writer: ResponseWriter, proper: Proper) -> None:
        writer.send_slowly(proper(), pieces=10, seconds=self.seconds)


@dataclass(frozen=True)
class Trickle(Fault):
    """A response whose body never ends, a byte each `interval` seconds, by itself with a length."""

    interval: float
    chunked: bool = False

    @override
    def answer(self, writer: ResponseWriter, proper: Proper) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        head += b"Transfer-Encoding: chunked\r\n\r\n" if self.chunked else b"Content-Length: 1000000\r\n\r\n"
        writer.trickle(head, b"1\r\n \r\n" if self.chunked else b" ", self.interval)


@dataclass(frozen=True)
class Drop(Fault):
    """A connection reset before the response."""

    @override
    def answer(self, writer: ResponseWriter, proper: Proper) -> None:
        writer.drop()


@dataclass(frozen=True)
class DropMidBody(Fault):
    """A connection closed, or reset, after half of the body that the header promised."""

    reset: bool = False

    @override
    def answer(self, writer: ResponseWriter, proper: Proper) -> None:
        reply = proper()
        writer.break_off(reply, length=len(reply.body) // 2, reset=self.reset)


@dataclass
class _Order:
    """A fault for the next requests that match."""

    fault: Fault
    times: int | None
    stream: str | None
    when: Callable[[dict[str, str]], bool] | None
    after: int

    def take(self, stream: str, params: dict[str, str]) -> bool:
        """Whether the fault is due for a request, and count it."""
        if self.stream not in {None, stream} or (self.when is not None and not self.when(params)):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


class Faults:
    """The faults ordered from one fake API; `thrown` counts those that happened, by kind."""

    def __init__(self) -> None:
        self.thrown: Counter[str] = Counter()
        self._orders: list[_Order] = []
        self._lock = Lock()

    def add(
        self,
        fault: Fault,
        *,
        times: int | None = 1,
        stream: str | None = None,
        when: Callable[[dict[str, str]], bool] | None = None,
        after: int = 0,
    ) -> None:
        """Order a fault; of several that match a request the first ordered happens.

        Args:
            fault: What shall happen.
            times: To how many matching requests; `None` to all.
            stream: Only to requests for this list; `None` to any request.
            when: Only to requests whose query it holds for.
            after: How many matching requests to spare first.
        """
        with self._lock:
            self._orders.append(_Order(fault, times, stream, when, after))

    def clear(self) -> None:
        """Cancel all that is ordered."""
        with self._lock:
            self._orders.clear()

    def due(self, stream: str, params: dict[str, str]) -> Fault | None:
        """Return the fault that this request shall meet, and count it."""
        with self._lock:
            for order in self._orders:
                if order.take(stream, params):
                    self.thrown[order.fault.kind] += 1
                    return order.fault
        return None
