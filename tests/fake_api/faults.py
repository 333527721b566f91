"""Faults to order: what can go wrong between a client and the API."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
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
    """A response other than the right one; it is counted by its `kind`, or else by the name of its class."""

    kind: str = field(default="", kw_only=True)

    @property
    def name(self) -> str:
        """The name that it is counted by."""
        return self.kind or type(self).__name__

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

    @override
    def reply(self, proper: Proper) -> Reply:
        return Reply(self.code, self.body, self.headers)


@dataclass(frozen=True)
class Body(Fault):
    """A body of its own: a page of HTML, nothing at all, a list without `data`."""

    body: bytes
    content_type: str = "application/json"

    @override
    def reply(self, proper: Proper) -> Reply:
        return Reply(200, self.body, content_type=self.content_type)


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
        # After a full flush the same data are the same bytes again.
        first, again = (
            packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH) for data in (b'{"data":[', b" " * (1 << 20))
        )
        body, headers = first + again * self.mebibytes, {"Content-Encoding": "gzip"}
        if not self.chunked:
            return Reply(200, body, headers)
        return Reply(200, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), {**headers, "Transfer-Encoding": "chunked"})


@dataclass(frozen=True)
class Hang(Fault):
    """Silence for so many seconds before the right response; with `None` until the fake API stops."""

    seconds: float | None = None

    @override
    def answer(self, writer: ResponseWriter, proper: Proper) -> None:
        writer.stopping.wait(self.seconds)
        if self.seconds is None:
            Drop().answer(writer, proper)
        else:
            writer.send(proper())


@dataclass(frozen=True)
class Drip(Fault):
    """The right response in ten pieces, spread over so many seconds."""

    seconds: float

    @override
    def answer(self, writer: ResponseWriter, proper: Proper) -> None:
        reply = proper()
        writer.request.answered(reply.status, reply.records)
        whole = reply.head() + reply.body
        step = -(-len(whole) // 10)
        for start in range(0, len(whole), step):
            writer.stopping.wait(self.seconds / 10)
            writer.connection.sendall(whole[start : start + step])


@dataclass(frozen=True)
class Trickle(Fault):
    """A response whose body never ends, a byte each `interval` seconds, by itself with a length."""

    interval: float
    chunked: bool = False

    @override
    def answer(self, writer: ResponseWriter, proper: Proper) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        head += b"Transfer-Encoding: chunked\r\n\r\n" if self.chunked else b"Content-Length: 1000000\r\n\r\n"
        writer.request.answered(200)
        writer.connection.sendall(head)
        while not writer.stopping.wait(self.interval):
            writer.connection.sendall(b"1\r\n \r\n" if self.chunked else b" ")
        writer.close(reset=True)


@dataclass(frozen=True)
class Drop(Fault):
    """A connection reset before the response."""

    @override
    def answer(self, writer: ResponseWriter, proper: Proper) -> None:
        writer.request.answered(0)
        writer.close(reset=True)


@dataclass(frozen=True)
class DropMidBody(Fault):
    """A connection closed, or reset, after half of the body that the header promised."""

    reset: bool = False

    @override
    def answer(self, writer: ResponseWriter, proper: Proper) -> None:
        reply = proper()
        writer.request.answered(reply.status)
        writer.connection.sendall(reply.head() + reply.body[: len(reply.body) // 2])
        writer.close(reset=self.reset)


@dataclass
class _Order:
    """A fault for the next requests that match."""

    fault: Fault
    times: float
    after: int
    matches: Callable[[str, dict[str, str]], bool]


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
        when: Callable[[dict[str, str]], bool] = lambda _: True,
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

        def matches(asked: str, params: dict[str, str]) -> bool:
            return stream in {None, asked} and when(params)

        with self._lock:
            self._orders.append(_Order(fault, inf if times is None else times, after, matches))

    def clear(self) -> None:
        """Cancel all that is ordered."""
        with self._lock:
            self._orders.clear()

    def due(self, stream: str, params: dict[str, str]) -> Fault | None:
        """Return the fault that this request shall meet, and count it."""
        with self._lock:
            for order in self._orders:
                if order.times <= 0 or not order.matches(stream, params):
                    continue
                if order.after > 0:
                    order.after -= 1
                    continue
                order.times -= 1
                self.thrown[order.fault.name] += 1
                return order.fault
        return None
