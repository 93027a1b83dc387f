"""The routes: the page with its files, and the API."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from charrnn import strict_json
from charrnn.errors import CharRNNError
from charrnn.markup.page import asset
from charrnn.views.playground import openapi
from charrnn.views.playground.guard import App
from charrnn.views.playground.json_text import answer, refuse
from charrnn.views.playground.limits import LONGEST, MOST_COLUMNS, Limits
from charrnn.views.playground.pool import Busy, Pool
from charrnn.views.playground.schema import checked
from charrnn.views.playground.stream import EventStream

if TYPE_CHECKING:
    from charrnn.views.playground.models import Models

_RETRY = 2  # seconds until a client that was refused is to try again
_SCRIPTS = tuple(
    f"{name}.js" for name in ("main", "column", "api", "link", "bars", "training")
)
_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".html": "text/html",
}


class Playground:
    """What answers requests; NumPy is loaded by the first that needs it.

    Parameters
    ----------
    others : iterable of Path
        Checkpoints and runs, besides those in checkpoints/.
    limits : Limits
        What is accepted.
    """

    def __init__(self, others: tuple[Path, ...] = (), limits: Limits | None = None):
        self._others, self._limits = others, limits or Limits()
        self.pool = Pool(self._limits)

    @cached_property
    def _models(self) -> "Models":
        from charrnn.views.playground.models import Models

        return Models(self._limits, self._others)

    @cached_property
    def _kernels(self) -> Any:
        from charrnn.views.playground.writing import Kernels

        return Kernels(self.pool.start)

    @cached_property
    def _files(self) -> dict[str, Response]:
        """The page and its files, by name."""
        folder = files("charrnn.views.playground")
        texts = {
            name: (folder / name).read_text(encoding="utf-8")
            for name in ("serve.html", "serve.css", *_SCRIPTS)
        }
        texts["page.css"] = asset("page.css")
        return {
            name: Response(text, media_type=_TYPES[Path(name).suffix])
            for name, text in texts.items()
        }

    def warm_up(self) -> None:
        """Load what the first request is likely to need."""
        _, entry = self._models.load("")
        self._kernels.resolve("auto", entry.model)

    def app(self) -> App:
        """Return the application, without its guard."""
        paths: dict[str, tuple[str, Callable[[Request], Awaitable[Any]]]] = {
            "/": ("GET", self._page),
            "/assets/{name}": ("GET", self._asset),
            "/api/models": ("GET", self._list),
            "/api/generate": ("POST", self._generate),
            "/api/next": ("POST", self._next),
            "/api/surprise": ("POST", self._surprise),
            "/api/runs/{name}/history": ("GET", self._history),
            "/api/runs/{name}/curve.svg": ("GET", self._curve),
            "/api/openapi.json": ("GET", self._describe),
        }
        return Starlette(
            routes=[
                Route(path, endpoint, methods=[method])
                for path, (method, endpoint) in paths.items()
            ],
            exception_handlers={
                HTTPException: _http_error,
                CharRNNError: _expected_error,
                Busy: _busy,
                ClientDisconnect: _gone,
                MemoryError: _no_memory,
            },
        )

    async def _page(self, request: Request) -> Response:
        return self._files["serve.html"]

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._files:
            raise HTTPException(404)
        return self._files[name]

    async def _list(self, request: Request) -> Response:
        def work() -> Any:
            return self._models.list()

        limits = {"longest": LONGEST, "most_columns": MOST_COLUMNS}
        return answer({"models": await self.pool.run(work), **limits})

    async def _generate(self, request: Request) -> EventStream:
        asked = await self._asked(request, openapi.GENERATE)
        self.pool.enter_stream()
        try:
            events = await self.pool.run(self._write, asked)
            first = await self.pool.run(next, events, promised=True)
        except BaseException:
            self.pool.leave_stream()
            raise
        return EventStream(first, events, self.pool, self.pool.leave_stream)

    def _write(self, asked: Mapping[str, Any]) -> Any:
        from charrnn.views.playground.writing import write

        return write(self._models, self._kernels, asked)

    async def _next(self, request: Request) -> Response:
        def work() -> Any:
            from charrnn.views.playground.writing import next_characters

            return next_characters(self._models, asked)

        asked = await self._asked(request, openapi.NEXT)
        return answer(await self.pool.run(work))

    async def _surprise(self, request: Request) -> Response:
        def work() -> Any:
            from charrnn.views.playground.writing import surprise

            return surprise(self._models, asked)

        asked = await self._asked(request, openapi.SURPRISE)
        return answer(await self.pool.run(work))

    async def _history(self, request: Request) -> Response:
        def work() -> Any:
            return self._models.history(request.path_params["name"])

        return answer(await self.pool.run(work))

    async def _curve(self, request: Request) -> Response:
        def work() -> str:
            from charrnn.views.playground.writing import curve

            return curve(self._models, request.path_params["name"])

        return Response(await self.pool.run(work), media_type="image/svg+xml")

    async def _describe(self, request: Request) -> Response:
        return answer(openapi.DESCRIPTION)

    async def _asked(self, request: Request, schema: Any) -> Any:
        """Return the body of a request, checked."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind.lower() != "application/json":
            raise HTTPException(415, "send Content-Type: application/json")
        try:
            body = await asyncio.wait_for(
                _body(request, self._limits.body), self._limits.body_seconds
            )
        except asyncio.TimeoutError:
            raise HTTPException(
                408, "the body took too long", {"Connection": "close"}
            ) from None
        try:
            value = strict_json.parse(body)
        except ValueError as error:
            raise HTTPException(400, f"the body is not JSON: {error}") from None
        return checked(value, schema)


async def _body(request: Request, most: int) -> bytes:
    """Return the body of a request; refuse a larger one without reading it all."""
    given = request.headers.get("content-length", "0")
    body = bytearray()
    if len(given) < 20 and int(given) <= most:
        async for part in request.stream():
            body += part
            if len(body) > most:
                break
        else:
            return bytes(body)
    raise HTTPException(
        413, f"the body has more than {most:,} bytes", {"Connection": "close"}
    )


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refusal = refuse(error.status_code, error.detail)
    refusal.headers.update(error.headers or {})
    return refusal


def _expected_error(request: Request, error: Exception) -> Response:
    from charrnn.views.playground.models import NoModelError

    return refuse(404 if isinstance(error, NoModelError) else 422, str(error))


def _busy(request: Request, error: Exception) -> Response:
    return refuse(503, "too many requests at once; try again later", _RETRY)


def _no_memory(request: Request, error: Exception) -> Response:
    return refuse(503, "not enough memory; try again later", _RETRY)


def _gone(request: Request, error: Exception) -> Response:
    return refuse(400, "the client has gone")
