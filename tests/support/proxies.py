"""A forward proxy and a TLS endpoint between the tap and an API."""

from __future__ import annotations

import socket
import ssl
import subprocess
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from shutil import which
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support.waiting import SOON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what one end says, and that it says no more."""
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class _Forwarder(BaseHTTPRequestHandler):
    """Passes on what is asked of a proxy, and notes the URL."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        onward = HTTPConnection(parts.hostname or "", parts.port, timeout=SOON)
        onward.request("GET", f"{parts.path}?{parts.query}", headers=dict(self.headers))
        answer = onward.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        onward.close()

    def do_CONNECT(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        host, port = self.path.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=SOON) as onward:
            self.send_response(200)
            self.end_headers()
            back = Thread(target=_pump, args=(onward, self.connection), daemon=True)
            back.start()
            _pump(self.connection, onward)
            back.join(5)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name is the base class's
        """Log nothing."""


@contextmanager
def forward_proxy() -> Iterator[tuple[str, list[str]]]:
    """Run a proxy on loopback; yield its URL, and the URLs that it was asked for."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Forwarder) as server:
        server.asked = []  # type: ignore[attr-defined]
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", server.asked  # type: ignore[attr-defined]
        server.shutdown()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for loopback that nobody has signed, and its key, with the `openssl` command."""
    if not which("openssl"):
        pytest.skip("there is no openssl to make a certificate with")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@contextmanager
def tls_end(port: int, certificate: Path, key: Path) -> Iterator[tuple[int, list[bool]]]:
    """Take TLS connections and pass on what is in them to a port; yield its own port, and how each handshake went."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    handshakes: list[bool] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def serve(plain: socket.socket) -> None:
        try:
            outer = context.wrap_socket(plain, server_side=True)
            # A client that does not trust the certificate says so after its own side of the handshake.
            inner = socket.create_connection(("127.0.0.1", port))
        except OSError:
            handshakes.append(False)
            plain.close()
            return
        handshakes.append(True)
        Thread(target=pump, args=(inner, outer), daemon=True).start()
        pump(outer, inner)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                Thread(target=serve, args=(plain,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=accept, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1], handshakes
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
