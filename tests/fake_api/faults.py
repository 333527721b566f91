"""Faults to order: what can go wrong between a client and the API."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from tests.fake_api.responses import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.fake_api.responses import ResponseWriter

LEAK_MARKER = "LEAK-BODY-MARKER"
"""Stands in the body of every wrong status: no log may show it."""

ERROR_BODY = b'{"error":{"message":"' + LEAK_MARKER.encode() + b'"}}'


class Fault(Protocol):
    """A way to answer other than the API would."""

    @property
    def kind(self) -> str:
        """The name it is counted by."""

    def answer(self, writer: ResponseWriter, proper: Callable[[], Reply]) -> None:
        """Answer; `proper` makes the answer without the fault."""


@dataclass(frozen=True)
class Status:
    """An answer with a status of its own."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = ERROR_BODY

    @property
    def kind(self) -> str:
        """The name it is counted by."""
        return f"Status {self.code}"

    def answer(self, writer: ResponseWriter, proper: Callable[[], Reply]) -> None:
        """Send the status."""
        writer.send(Reply(self.code, self.body, self.headers))


@dataclass(frozen=True)
class Body:
    """A body of its own: a page of HTML, nothing at all, a list without `data`."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200
    kind: str = "Body"

    def answer(self, writer: ResponseWriter, proper: Callable[[], Reply]) -> None:
        """Send the body."""
        writer.send(Reply(self.status, self.body, content_type=self.content_type))


@dataclass(frozen=True)
class Redirect:
    """A redirect to a URL."""

    location: str
    status: int = 302
    kind: str = "Redirect"

    def answer(self, writer: ResponseWriter, proper: Callable[[], Reply]) -> None:
        """Send the redirect."""
        writer.send(Reply(self.status, headers={"Location": self.location}))


@dataclass(frozen=True)
class Hang:
    """Silence for so many seconds before the right answer; with `None` until the fake API stops."""

    seconds: float | None = None
    kind: str = "Hang"

    def answer(self, writer: ResponseWriter, proper: Callable[[], Reply]) -> None:
        """Wait, then answer as the API would."""
        writer.pause(self.seconds)
        if self.seconds is None:
            writer.drop()
        else:
            writer.send(proper())


@dataclass(frozen=True)
class Drip:
    """The right answer in pieces, spread over so many seconds."""

    seconds: float
    pieces: int = 10
    kind: str = "Drip"

    def answer(self, writer: ResponseWriter, proper: Callable[[], Reply]) -> None:
        """Send the answer slowly."""
        writer.send_slowly(proper(), pieces=self.pieces, seconds=self.seconds)


@dataclass(frozen=True)
class Trickle:
    """An answer that never ends, a byte at a time: in its headers, or in its body.

    Attributes:
        interval: Seconds between two bytes.
        headers: Whether even the headers have no end.
        chunked: Whether the body comes in chunks instead of with a length.
    """

    interval: float
    headers: bool = False
    chunked: bool = False
    kind: str = "Trickle"

    def answer(self, writer: ResponseWriter, proper: Callable[[], Reply]) -> None:
        """Send bytes until the client hangs up."""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        if not self.headers:
            head += b"Transfer-Encoding: chunked\r\n\r\n" if self.chunked else b"Content-Length: 1000000\r\n\r\n"
        writer.trickle(head, b"x" if self.headers else b"1\r\n \r\n" if self.chunked else b" ", self.interval)


@dataclass(frozen=True)
class Bomb:
    """A gzip body of this many MiB of white space, which is a thousandth of that on its way.

    Attributes:
        mebibytes: Its size once it is decompressed.
        chunked: Whether it comes in chunks instead of with a length.
    """

    mebibytes: int
    chunked: bool = False
    kind: str = "Bomb"

    def answer(self, writer: ResponseWriter, proper: Callable[[], Reply]) -> None:
        """Send the body."""
        packer = zlib.compressobj(wbits=31)

        def pack(data: bytes) -> bytes:
            return packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)

        # After a full flush the same data are the same bytes again.
        first, again = pack(b'{"data":['), pack(b" " * (1 << 20))
        body = first + again * self.mebibytes
        headers = {"Content-Encoding": "gzip"}
        if self.chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            headers["Transfer-Encoding"] = "chunked"
        writer.send(Reply(200, body, headers))


@dataclass(frozen=True)
class Drop:
    """A connection reset before the answer."""

    kind: str = "Drop"

    def answer(self, writer: ResponseWriter, proper: Callable[[], Reply]) -> None:
        """Reset the connection."""
        writer.drop()


@dataclass(frozen=True)
class DropMidBody:
    """A connection closed, or reset, after half of the body the header promised."""

    reset: bool = False
    kind: str = "DropMidBody"

    def answer(self, writer: ResponseWriter, proper: Callable[[], Reply]) -> None:
        """Send half and go."""
        reply = proper()
        writer.break_off(reply, length=len(reply.body) // 2, reset=self.reset)


@dataclass(frozen=True)
class Truncate:
    """Half of the JSON, with the length of that half in the header."""

    kind: str = "Truncate"

    def answer(self, writer: ResponseWriter, proper: Callable[[], Reply]) -> None:
        """Send half as if it were all."""
        reply = proper()
        writer.send(Reply(reply.status, reply.body[: len(reply.body) // 2], reply.headers))


@dataclass
class _Order:
    """A fault for the next requests that match."""

    fault: Fault
    times: int | None
    stream: str | None
    when: Callable[[dict[str, str]], bool] | None
    after: int

    def matches(self, stream: str, params: dict[str, str]) -> bool:
        """Whether the request is one of those meant."""
        return self.stream in (None, stream) and (self.when is None or self.when(params))

    def take(self) -> bool:
        """Whether the fault is due, and count it."""
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
                if order.matches(stream, params) and order.take():
                    self.thrown[order.fault.kind] += 1
                    return order.fault
        return None
