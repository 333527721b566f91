"""HTTP/1.1 for the fake API: connections that stay open, one thread for each."""

from __future__ import annotations

import ssl
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from socketserver import TCPServer
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from typing_extensions import override

from tests.fake_api.responses import ResponseWriter

if TYPE_CHECKING:
    from tests.fake_api.server import FakeAPI

SECONDS_TO_HANG_UP = 5.0


class Handler(BaseHTTPRequestHandler):
    """Reads requests off one connection and has the fake API answer them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        """Answer one request."""
        parts = urlsplit(self.path)
        params = dict(parse_qsl(parts.query, keep_blank_values=True))
        api = self.server.api
        request = api.receive(
            parts.path, params, self.headers.get("User-Agent", ""), self.headers.get("Authorization", "")
        )
        writer = ResponseWriter(self.connection, request, api.stopping)
        try:
            api.answer(request, writer)
        finally:
            request.done()
        if not writer.open:
            self._hang_up()

    def _hang_up(self) -> None:
        """Close the socket at once: an orderly end by the base class would forestall a reset."""
        self.close_connection = True
        self.rfile.close()
        self.connection.close()

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the log of requests is an object."""


class Server(ThreadingHTTPServer):
    """Listens on loopback for one fake API.

    Args:
        port: The port, or 0 for any free one.
        api: The fake API that responds.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, api: FakeAPI) -> None:
        self.api = api
        self._connections: set[socket] = set()
        self._lock = Lock()
        super().__init__(("127.0.0.1", port), Handler)
        if api.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*api.certificate)
            # The handshake comes with the first byte that is read, in the thread of the connection.
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self.server_port

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
                connection.shutdown(SHUT_RDWR)
        deadline = time.monotonic() + SECONDS_TO_HANG_UP
        while self._connections and time.monotonic() < deadline:
            time.sleep(0.001)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over a client that hung up; any other error is the fake API's own and is shown."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, OSError)):
            super().handle_error(request, client_address)
