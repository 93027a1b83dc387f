"""HTTP with time limits, which uvicorn leaves to a proxy in front of it."""

from asyncio import AbstractEventLoop, TimerHandle, Transport
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from charrnn.views.playground.limits import Limits

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nRetry-After: 2\r\n\r\n"
    b'{"error":"too many connections; try again later"}'
)


class Deadline:
    """Acts unless it is stopped in time."""

    def __init__(
        self, loop: AbstractEventLoop, seconds: float, act: Callable[[], object]
    ) -> None:
        self._loop, self._seconds, self._act = loop, seconds, act
        self._timer: TimerHandle | None = None

    def start(self) -> None:
        """Start the time, unless it runs already."""
        self._timer = self._timer or self._loop.call_later(self._seconds, self._act)

    def stop(self) -> None:
        """Forget it until the next start."""
        if self._timer:
            self._timer.cancel()
        self._timer = None


def limited(limits: Limits) -> Any:
    """Return the class of connections that are cut if a client is too slow."""

    class Limited(H11Protocol):
        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            abort = transport.abort
            self._head = Deadline(self.loop, limits.head_seconds, abort)
            self._stalled = Deadline(self.loop, limits.stalled_seconds, abort)
            if len(self.connections) > limits.connections:
                transport.write(_FULL)
                transport.close()
            else:
                self._head.start()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._head.stop()
            self._stalled.stop()

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._head.start()
            else:
                self._head.stop()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stalled.start()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._stalled.stop()

    return Limited
