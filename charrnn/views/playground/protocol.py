"""HTTP with time limits, which uvicorn leaves to a proxy in front of it."""

from asyncio import TimerHandle, Transport
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from charrnn.views.playground.limits import Limits

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nRetry-After: 2\r\n\r\n"
    b'{"error":"too many connections; try again later"}'
)


def limited(limits: Limits) -> Any:
    """Return the class of connections with these limits."""

    class Limited(H11Protocol):
        """A connection that is cut if its client is too slow."""

        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._until_head = self._until_read = None
            if len(self.connections) > limits.connections:
                transport.write(_FULL)
                transport.close()
            else:
                self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._until_head = _stop(self._until_head)
            self._until_read = _stop(self._until_read)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._await_head()
            else:
                self._until_head = _stop(self._until_head)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._until_read = _stop(self._until_read) or self._in(
                limits.stalled_seconds, self.transport.abort
            )

        def resume_writing(self) -> None:
            super().resume_writing()
            self._until_read = _stop(self._until_read)

        def _await_head(self) -> None:
            self._until_head = self._until_head or self._in(
                limits.head_seconds, self.transport.abort
            )

        def _in(self, seconds: float, act: Callable[[], object]) -> TimerHandle:
            return self.loop.call_later(seconds, act)

        _until_head: TimerHandle | None
        _until_read: TimerHandle | None

    return Limited


def _stop(timer: TimerHandle | None) -> None:
    if timer:
        timer.cancel()
