"""Connections that are cut if a server makes too little progress.

The timeouts of sockets limit the time without a byte. A server that sends a byte per
second, in the body or in endless headers, never exceeds them. So a thread watches over
a download, and shuts down its connections if nobody reports progress for a while.
"""

import http.client
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any

from requests.adapters import HTTPAdapter


class Watchdog:
    """Shuts down connections if `feed` is not called every so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.was_fed = self.has_bitten = False
        self._seconds = seconds
        self._sockets: list[socket.socket] = []
        self._fed = threading.Event()
        self._leaving = False
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leaving = True
        self._fed.set()
        self._thread.join()
        for connection in self._sockets:
            connection.close()

    def feed(self) -> None:
        """Report progress."""
        self.was_fed = True
        self._fed.set()

    def guard(self, connection: socket.socket) -> socket.socket:
        """Return a connection, which is shut down with the others."""
        # A duplicate stays valid when TLS takes over the original.
        self._sockets.append(connection.dup())
        if self.has_bitten:
            self._shut_down()
        return connection

    def _watch(self) -> None:
        while self._fed.wait(self._seconds) and not self._leaving:
            self._fed.clear()
        if not self._leaving:
            self.has_bitten = True
            self._shut_down()

    def _shut_down(self) -> None:
        for connection in self._sockets:
            with suppress(OSError):  # it may be closed
                connection.shutdown(socket.SHUT_RDWR)


class GuardedAdapter(HTTPAdapter):
    """Opens connections that a watchdog guards, through proxies as well."""

    def __init__(self, dog: Watchdog) -> None:
        self._dog = dog
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools of connections."""
        super().init_poolmanager(*args, **options)
        _guard(self.poolmanager, self._dog)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the pools of connections through a proxy."""
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if is_new:
            _guard(manager, self._dog)
        return manager


def _guard(manager: Any, dog: Watchdog) -> None:
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {
        scheme: _guarded(pool, dog) for scheme, pool in pools.items()
    }


def _guarded(pool: Any, dog: Watchdog) -> Any:
    """Return a subclass of a pool, whose connections are guarded."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        response_class = _Response

        def _new_conn(self) -> socket.socket:
            return dog.guard(super()._new_conn())

    return type(pool.__name__, (pool,), {"ConnectionCls": Connection})


class _Response(http.client.HTTPResponse):
    """Refuses a chunk of -1 bytes, for which Python reads all that ever comes."""

    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]
        if size < 0:
            raise ValueError("a chunk of negative size")
        return size
