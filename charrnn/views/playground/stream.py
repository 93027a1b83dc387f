"""Server-sent events, written no faster than the client reads them.

The events come from an iterator that works in the pool, a step whenever the last event
has been sent. So a slow client holds no thread and no memory, and the work stops with
the client.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from charrnn.errors import CharRNNError
from charrnn.views.playground.guard import Message, Receive, Scope, Send
from charrnn.views.playground.json_text import to_json
from charrnn.views.playground.pool import Busy, Pool

Event = tuple[str, dict[str, Any]]  # its name and its data

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),  # for a proxy in front
]


class EventStream:
    """An answer of which each part is sent when it is there.

    Parameters
    ----------
    first : Event
        The first event, which is there already.
    rest : iterator of Event
        The others. A CharRNNError in it becomes the event "error".
    pool : Pool
        Where the iterator works.
    on_end : callable
        Called once, whatever the end is.
    """

    def __init__(
        self,
        first: Event,
        rest: Iterator[Event],
        pool: Pool,
        on_end: Callable[[], object],
    ) -> None:
        self._event: Event | None = first
        self._rest, self._pool, self._on_end = rest, pool, on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until they end or the client has gone."""
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await send(
                {"type": "http.response.start", "status": 200, "headers": _HEADERS}
            )
            while self._event and not gone.done():
                await send(_part(_line(*self._event), more=True))
                self._event = await self._next()
            if not gone.done():
                await send(_part(b"", more=False))
        finally:
            gone.cancel()
            self._on_end()

    async def _next(self) -> Event | None:
        try:
            return await self._pool.run(next, self._rest, None, promised=True)
        except CharRNNError as error:
            return "error", {"error": str(error)}
        except Busy:
            return "error", {"error": "the server is too busy; try again later"}


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _line(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {to_json(data)}\n\n".encode("ascii")


def _part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}
