"""The server: its address, and how it starts and ends."""

import asyncio
import ipaddress
import logging
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charrnn.errors import CharRNNError, ConfigError
from charrnn.views.playground.limits import Limits

if TYPE_CHECKING:
    from charrnn.views.playground.app import Playground


@dataclass(frozen=True)
class Listening:
    """A socket that listens, and who may ask there."""

    socket: socket.socket
    is_local: bool  # whether only this machine reaches it
    token: str  # "" if none is needed

    @property
    def port(self) -> int:
        """The port, also if any free one was asked for."""
        port: int = self.socket.getsockname()[1]
        return port

    @property
    def address(self) -> str:
        """What to open in a browser, with the token."""
        host = ipaddress.ip_address(self.socket.getsockname()[0])
        name = socket.gethostname() if host.is_unspecified else str(host)
        name = f"[{name}]" if host.version == 6 and not host.is_unspecified else name
        query = f"?token={self.token}" if self.token else ""
        return f"http://{name}:{self.port}/{query}"


def listen(host: str, port: int, token: str = "") -> Listening:
    """Open the port. Beyond this machine, a token is made unless one is given.

    Raises ConfigError if the port is in use or the host is not this machine's.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"port is {port}; expected 0 to 65535")
    if token and (len(token) < 8 or not token.isascii() or not token.isalnum()):
        raise ConfigError(
            f"the token has {len(token)} characters; expected at least 8, letters and "
            "digits only"
        )
    try:
        family, _, _, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"host {host!r}: {error}; try 127.0.0.1") from None
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        _bind(opened, place)
    except OSError as error:
        opened.close()
        raise ConfigError(
            f"port {port} of {host} cannot be used: {error.strerror}; choose another "
            "with --port, or any free one with --port 0"
        ) from None
    is_local = ipaddress.ip_address(opened.getsockname()[0]).is_loopback
    if not is_local and not token:
        token = secrets.token_hex(16)
    return Listening(opened, is_local, token)


def _bind(opened: socket.socket, place: Any) -> None:
    if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # on Windows, another could listen too
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind(place)
    opened.listen(128)


def serve(
    listening: Listening,
    others: tuple[Path, ...] = (),
    *,
    limits: Limits | None = None,
    on_fault: Callable[[Exception], object],
    on_start: Callable[[Callable[[], None]], object] = lambda stop: None,
) -> None:
    """Answer requests until a signal ends the process.

    others are checkpoints and runs, besides those in checkpoints/. on_fault is called
    with an exception that nobody expected. on_start is called when requests are
    answered, with a function that ends the server.
    """
    import uvicorn

    from charrnn.views.playground.app import Playground
    from charrnn.views.playground.guard import Guard, loopback_hosts
    from charrnn.views.playground.protocol import limited

    limits = limits or Limits()
    playground = Playground(others, limits)
    guard = Guard(
        playground.app(),
        hosts=loopback_hosts(listening.port) if listening.is_local else None,
        token=listening.token,
        port=listening.port,
        on_fault=on_fault,
    )
    # Whatever clients do wrong is theirs to know; faults come by on_fault.
    for name in ("uvicorn.error", "concurrent.futures", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    config = uvicorn.Config(
        guard,
        http=limited(limits),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=16 << 10,
    )

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            on_start(self._stop)
            playground.pool.start(_warm_up, playground)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await super().shutdown(sockets)
            for connection in [*self.server_state.connections]:
                connection.transport.abort()
            await asyncio.sleep(0)  # until they are closed

        def _stop(self) -> None:
            self.should_exit = True

    try:
        Server(config).run(sockets=[listening.socket])
    finally:
        playground.pool.close()


def _warm_up(playground: "Playground") -> None:
    with suppress(CharRNNError, MemoryError):  # a request will tell
        playground.warm_up()
