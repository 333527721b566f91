"""HTTP/1.1 for the fake API: responses, connections that stay open, and one thread for each."""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping
    from threading import Event

    from tests.fake_api.log import LoggedRequest
    from tests.fake_api.server import FakeAPI

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
SECONDS_TO_HANG_UP = 5.0


@dataclass(frozen=True)
class Reply:
    """One HTTP response; `records` is how many records a client can read in it."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    records: int = 0

    def head(self) -> bytes:
        """Return the status line and the headers, up to the body."""
        headers = {"Content-Type": self.content_type, **self.headers}
        if "Transfer-Encoding" not in headers:
            headers["Content-Length"] = str(len(self.body))
        lines = [f"HTTP/1.1 {self.status} {responses.get(self.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass
class ResponseWriter:
    """The connection one request came in on.

    The request is logged before the last bytes leave: a client that has read a response finds it in the log.

    Attributes:
        connection: The socket.
        request: The entry of the request in the log.
        stopping: Set when the fake API stops, which ends every pause.
        open: Whether the connection stays open.
    """

    connection: socket.socket
    request: LoggedRequest
    stopping: Event
    open: bool = True

    def send(self, reply: Reply) -> None:
        """Send the whole response at once."""
        self.request.answered(reply.status, reply.records)
        head = reply.head()
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.sendall(head + reply.body)
            return
        sent = self.connection.sendmsg((head, reply.body))
        self.connection.sendall(head[sent:])
        self.connection.sendall(memoryview(reply.body)[max(0, sent - len(head)) :])

    def close(self, *, reset: bool) -> None:
        """End the connection, in the orderly way or not."""
        self.open = False
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


class Handler(BaseHTTPRequestHandler):
    """Reads requests off one connection and has the fake API answer them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        """Answer one request."""
        parts, api = urlsplit(self.path), self.server.api
        params = dict(parse_qsl(parts.query, keep_blank_values=True))
        request = api.receive(
            parts.path, params, self.headers.get("User-Agent", ""), self.headers.get("Authorization", "")
        )
        writer = ResponseWriter(self.connection, request, api.stopping)
        try:
            api.answer(request, writer)
        finally:
            request.done()
        if not writer.open:
            # At once: an orderly end by the base class would forestall a reset.
            self.close_connection = True
            self.rfile.close()
            self.connection.close()

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the log of requests is an object."""


class Server(ThreadingHTTPServer):
    """Listens on loopback, at a port or with 0 at any free one, for one fake API."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, api: FakeAPI) -> None:
        self.api = api
        self._connections: set[socket.socket] = set()
        self._lock = Lock()
        super().__init__(("127.0.0.1", port), Handler)
        if api.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*api.certificate)
            # The handshake comes with the first byte that is read, in the thread of the connection.
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @override
    def server_bind(self) -> None:
        """Bind without the base class's look-up of a host name, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection and start a thread for it."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    @override
    def shutdown_request(self, request: Any) -> None:
        """Close the connection and forget it."""
        super().shutdown_request(request)
        with self._lock:
            self._connections.discard(request)

    @override
    def server_close(self) -> None:
        """Close the port and hang up on every client."""
        super().server_close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with suppress(OSError):  # the client may have been faster
                connection.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + SECONDS_TO_HANG_UP
        while self._connections and time.monotonic() < deadline:
            time.sleep(0.001)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over a client that hung up; any other error is the fake API's own and is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
