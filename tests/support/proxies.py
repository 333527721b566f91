"""A forward proxy between the tap and an API, and a certificate for loopback."""

from __future__ import annotations

import socket
import subprocess
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from shutil import which
from threading import Thread
from typing import TYPE_CHECKING, Any

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
    """Tunnels connections, refuses anything else, and logs the URL."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_error(502)

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
