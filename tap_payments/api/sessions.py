"""HTTP sessions whose answers have a deadline: a server that sends a byte now and then holds no run for ever."""

from __future__ import annotations

import http.client
import io
import threading
import time
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    import socket

# How much longer a whole answer may take, headers included, than one wait for a part of it.
TIMEOUTS_PER_ANSWER = 10


class _TimedReader(io.RawIOBase):
    """Reads from a socket until a deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._socket = sock
        self._timeout = sock.gettimeout() or float("inf")
        self._deadline = time.monotonic() + self._timeout * TIMEOUTS_PER_ANSWER

    @override
    def readable(self) -> bool:
        return True

    @override
    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: Any) -> int | None:
        """Read what has come.

        Raises:
            TimeoutError: If nothing comes, or the deadline has passed.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if left < self._timeout:
            # The connection sets it anew for its next request.
            self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """A response with a deadline of ten times the socket's timeout, counted from when the request is out."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _TimedResponse


class _SecureConnection(HTTPSConnection):
    response_class = _TimedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    """Makes connections whose answers have a deadline, also through a proxy."""

    @override
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    @override
    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            # SOCKS has connections of its own; there each part has a deadline, the whole has none.
            manager.pool_classes_by_scheme = _POOLS
        return manager


class ThreadSessions(threading.local):
    """A session for each thread that asks for one: sessions are not made to be shared.

    Attributes:
        session: The thread's own; its answers have a deadline of ten times the timeout that a request is sent with.
    """

    def __init__(self) -> None:
        self.session = requests.Session()
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, _Adapter())
