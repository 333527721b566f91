"""A response of the fake API, and the connection it goes out on."""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from threading import Event

    from tests.fake_api.log import LoggedRequest

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Reply:
    """One HTTP response.

    Attributes:
        status: Its status code.
        body: Its body.
        headers: Headers besides the length and the type of the body.
        content_type: The type of the body.
        records: How many records a client can read in it.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    records: int = 0

    def head(self) -> bytes:
        """Return the status line and the headers, up to the body."""
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        lines = [
            f"HTTP/1.1 {self.status} {phrase}",
            f"Content-Type: {self.content_type}",
            *([] if "Transfer-Encoding" in self.headers else [f"Content-Length: {len(self.body)}"]),
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class ResponseWriter:
    """The connection one request came in on.

    The request is logged before the last bytes leave: a client that has read a response finds it in the log.

    Args:
        connection: The socket.
        request: The entry of the request in the log.
        stopping: Set when the fake API stops, which ends every pause.
    """

    def __init__(self, connection: socket.socket, request: LoggedRequest, stopping: Event) -> None:
        self._connection = connection
        self._request = request
        self._stopping = stopping
        self.open = True

    def pause(self, seconds: float | None) -> None:
        """Wait so many seconds, or with `None` until the fake API stops."""
        self._stopping.wait(seconds)

    def send(self, reply: Reply) -> None:
        """Send the whole response at once."""
        self._request.answered(reply.status, reply.records)
        head = reply.head()
        if isinstance(self._connection, ssl.SSLSocket):
            self._connection.sendall(head + reply.body)
            return
        sent = self._connection.sendmsg((head, reply.body))
        if sent < len(head):
            self._connection.sendall(head[sent:])
            sent = len(head)
        self._connection.sendall(memoryview(reply.body)[sent - len(head) :])

    def send_slowly(self, reply: Reply, *, pieces: int, seconds: float) -> None:
        """Send the response in pieces, spread over so many seconds."""
        whole = reply.head() + reply.body
        step = -(-len(whole) // pieces)
        for start in range(0, len(whole), step):
            self.pause(seconds / pieces)
            if start + step >= len(whole):
                self._request.answered(reply.status, reply.records)
            self._connection.sendall(whole[start : start + step])

    def trickle(self, head: bytes, piece: bytes, interval: float) -> None:
        """Send pieces, one each so many seconds, until the client hangs up or the fake API stops."""
        self._request.answered(200, 0)
        self._connection.sendall(head)
        while not self._stopping.wait(interval):
            self._connection.sendall(piece)
        self._close(reset=True)

    def break_off(self, reply: Reply, *, length: int, reset: bool) -> None:
        """Send so many bytes of the body and close, though the header promised all of it."""
        self._request.answered(reply.status, 0)
        self._connection.sendall(reply.head() + reply.body[:length])
        self._close(reset=reset)

    def drop(self) -> None:
        """Reset the connection without a response."""
        self._request.answered(0, 0)
        self._close(reset=True)

    def _close(self, *, reset: bool) -> None:
        self.open = False
        if reset:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
