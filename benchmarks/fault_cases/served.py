"""`charrnn serve` under load and malice: it answers or refuses, and stays up.

Each case has a real server of its own. Its clients do one thing, or all of them at
once; at the end the server must answer, hold no more memory than at the start, and end
at Ctrl-C within seconds.
"""

import json
import random
import re
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fault_cases.case import Case, Tally, command, environment

HEADING = "The served page"
_AT_ONCE = 200  # clients
_GROWTH = 64  # megabytes that a server may grow by, after it is warm
_PATIENCE = 60  # seconds after which a server counts as hung
_EXPECTED = {200, 303, 400, 401, 403, 404, 405, 408, 413, 415, 421, 422, 431, 503}
_CLOSED = 0  # instead of a status: the server has closed the connection


@dataclass
class Server:
    """A running server, and what its clients saw."""

    process: "subprocess.Popen[str]"
    port: int
    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def megabytes(self) -> float:
        """Return how much memory it holds."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+)", text)
        return int(found[1]) / 1024 if found else 0.0

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), _PATIENCE)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        return client

    def note(self, what: str, status: int) -> None:
        """Count an answer."""
        with self.lock:
            self.statuses[status] += 1
            if status != _CLOSED and status not in _EXPECTED:
                self.faults.append(f"{what}: status {status}")

    def head(self, method: str, path: str, *lines: str, host: str = "") -> bytes:
        own = host or f"127.0.0.1:{self.port}"
        start = f"{method} {path} HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\n"
        return "".join([start, *(f"{line}\r\n" for line in lines), "\r\n"]).encode()

    def post(self, path: str, body: bytes) -> bytes:
        kind = "Content-Type: application/json"
        return self.head("POST", path, kind, f"Content-Length: {len(body)}") + body

    def write(self, length: int) -> bytes:
        asked = {"length": length, "temperatures": [0.5, 0.8, 1, 1.2, 1.5]}
        return self.post("/api/generate", json.dumps(asked).encode())


def answer(server: Server, what: str, sent: bytes) -> int:
    """Send some bytes, read all that comes back, and return the status."""
    start = time.monotonic()
    head = b""
    try:
        with server.connect() as client:
            with suppress(OSError):  # it may refuse before all is sent
                client.sendall(sent)
            while part := client.recv(1 << 16):
                head = head or part
    except TimeoutError:
        server.faults.append(f"{what}: no answer in {time.monotonic() - start:.0f} s")
    except OSError:  # cut
        pass
    found = re.match(rb"HTTP/1\.1 (\d{3})", head)
    status = int(found[1]) if found else _CLOSED
    server.note(what, status)
    return status


# ---- what clients do; each is called again and again ----


def ask(server: Server, rng: random.Random) -> None:
    """Ask for what the page asks for."""
    answer(server, "a text", server.write(rng.choice([20, 200])))
    path = rng.choice(["/", "/api/models", "/assets/main.js", "/api/openapi.json"])
    answer(server, path, server.head("GET", path))
    asked = json.dumps({"prefix": "ROMEO:" * rng.randint(0, 50)}).encode()
    answer(server, "next", server.post("/api/next", asked))


def be_slow(server: Server, rng: random.Random) -> None:
    """Send a part of a request, or do not read the answer, and wait."""
    whole = server.write(2000)
    sent = rng.choice([b"", b"GET", whole[:40], whole[:-5], whole])
    with suppress(OSError), server.connect() as client:
        client.sendall(sent)
        client.settimeout(rng.uniform(1, 5))
        time.sleep(rng.uniform(0, 2))
        client.recv(100)
    server.note("slow", _CLOSED)


def be_strange(server: Server, rng: random.Random) -> None:
    """Send what no program should, or too much of it."""
    bodies = [
        *(b"", b"nonsense", b"\xff\xfe", b"null", b'{"length": NaN}'),
        *(b"[" * 100_000, b'{"a":' * 50_000, b'{"length": ' + b"9" * 9999 + b"}"),
        *(b'{"length": 1e9}', b'{"temperatures": []}', b'{"model": "../../x"}'),
        *(b'{"prime": "' + b"a" * 60_000 + b'"}', b" " * (2 << 20)),
        rng.randbytes(rng.randint(1, 5000)),
    ]
    path = rng.choice(["/api/generate", "/api/next", "/api/surprise"])
    answer(server, "a strange body", server.post(path, rng.choice(bodies)))
    heads = [
        *(b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" * 99),
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000,
        server.head("POST", path, "Content-Length: -5"),
        server.head("POST", path, "Content-Length: 999999999999"),
        server.head("GET", "/assets/..%2f..%2fapp.py"),
        server.head("GET", f"/api/runs/{'%2e' * 20}/history"),
        rng.randbytes(rng.randint(1, 5000)),
    ]
    answer(server, "a strange head", rng.choice(heads))


def be_foreign(server: Server, rng: random.Random) -> None:
    """Ask as another site's page would."""
    for sent in (
        server.head("GET", "/api/models", host="evil.example"),
        server.head("GET", "/api/models", "Origin: http://evil.example"),
        server.head("GET", "/api/models", "Sec-Fetch-Site: cross-site"),
        server.head("POST", "/api/next", "Content-Type: text/plain"),
    ):
        status = answer(server, "a foreign page", sent)
        if status not in (403, 415, 421, 503, _CLOSED):
            server.faults.append(f"a foreign page was answered: {status}")


def leave(server: Server, rng: random.Random) -> None:
    """Go away in the middle of a text."""
    with suppress(OSError), server.connect() as client:
        client.sendall(server.write(20_000))
        for _ in range(rng.randint(0, 3)):
            client.recv(1000)
    server.note("left", _CLOSED)


# ---- cases ----

Deed = Callable[[Server, random.Random], None]


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Run a server, and interrupt it at the end, which must be quick."""
    with subprocess.Popen(
        command("serve", "--port", "0"),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        address = process.stdout.readline()
        server = Server(process, int(address.rpartition(":")[2].strip("/\n")))
        try:
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            try:
                _, errors = process.communicate(timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                errors = "it did not end at Ctrl-C"
            if process.returncode != 130 or "Traceback" in errors or "bug" in errors:
                server.faults.append(f"exit status {process.returncode}: {errors}")


def warm(server: Server) -> None:
    """Let a server load what it needs, and fill its buffers."""
    for _ in range(5):
        answer(server, "warming up", server.write(50))
        time.sleep(1)


def together(
    server: Server, clients: int, deeds: list[Deed], until: Callable[[], bool]
) -> None:
    """Let clients do their deeds, each again and again, until it is enough."""

    def work(number: int) -> None:
        rng = random.Random(number)
        while not until():
            deeds[number % len(deeds)](server, rng)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def case(done: str, times: int, *deeds: Deed, clients: int = 20) -> Case:
    """Return a case of deeds done so many times, or for so many seconds.

    If there are several, they are done at the same time, and times is seconds.
    """

    def run(folder: Path, times: int) -> Tally:
        left = iter(range(times))
        with serving(folder) as server:
            warm(server)
            before, end = server.megabytes(), time.monotonic() + times

            def enough() -> bool:
                if len(deeds) > 1:
                    return time.monotonic() > end
                return next(left, None) is None

            together(server, clients, [*deeds], enough)
            if answer(server, "afterwards", server.write(50)) != 200:
                server.faults.append("no text afterwards")
            after = server.megabytes()
        return tally(server, times, before, after)

    return Case(done, times, run)


def tally(server: Server, times: int, before: float, after: float) -> Tally:
    if after > before + _GROWTH:
        server.faults.append(f"memory grew from {before:.0f} to {after:.0f} MB")
    answered = sum(server.statuses[status] for status in (200, 303))
    cut = server.statuses[_CLOSED]
    refused = server.statuses.total() - answered - cut
    return Tally(
        times=times,
        crashed=server.faults,
        seen=f"{answered:,} answered, {refused:,} refused, {cut:,} cut or left; "
        f"{before:.0f} MB at the start, {after:.0f} at the end",
    )


CASES = [
    case("200 clients at once ask for texts", 2000, ask, clients=_AT_ONCE),
    case("slow clients: half a request, or nothing read", 400, be_slow, clients=100),
    case("strange and oversized heads and bodies", 1000, be_strange),
    case("pages of other sites: Host, Origin, Sec-Fetch-Site", 1000, be_foreign),
    case("clients that leave in the middle of a text", 1000, leave),
    case(
        "all of these at once, for so many seconds",
        600,
        *(ask, be_slow, be_strange, be_foreign, leave),
        clients=_AT_ONCE,
    ),
]
