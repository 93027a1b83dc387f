"""A real playground server in a thread, and what its clients send."""

import asyncio
import http.client
import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec

import pytest
from texts import save_trained

from charrnn.storage.run_folder import BEST
from charrnn.views.playground.limits import Limits
from charrnn.views.playground.server import listen, serve

if not (find_spec("starlette") and find_spec("uvicorn")):
    pytest.skip(
        'Starlette and uvicorn are not installed (pip install "charrnn[web]")',
        allow_module_level=True,
    )

SMALL = 8192  # bytes that a socket keeps, so that a client that does not read is felt


class Client:
    """Sends requests to a server."""

    def __init__(self, listening):
        self.port, self.token = listening.port, listening.token
        self.url = f"http://127.0.0.1:{self.port}"

    def ask(self, method, path, body=None, **headers):
        """Return the status, the headers and the body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def get(self, path, **headers):
        """Return the status and the JSON value of an answer."""
        status, _, body = self.ask("GET", path, **headers)
        return status, json.loads(body)

    def post(self, path, value, **headers):
        """Send a value, or bytes, as JSON; return as `get` does."""
        body = value if isinstance(value, bytes) else json.dumps(value)
        kind = {"Content_Type": "application/json"}
        status, _, body = self.ask("POST", path, body, **kind | headers)
        return status, json.loads(body)

    def post_status(self, path, value):
        """Send a value as JSON; return the status."""
        kind = {"Content_Type": "application/json"}
        return self.ask("POST", path, json.dumps(value), **kind)[0]

    def generate(self, **asked):
        """Return the events of a stream: pairs of a name and data."""
        kind = {"Content_Type": "application/json"}
        status, headers, body = self.ask(
            "POST", "/api/generate", json.dumps(asked), **kind
        )
        assert status == 200, body
        assert headers["Content-Type"].startswith("text/event-stream")
        return events(body)

    def open(self, sent=b""):
        """Return a socket with a small buffer, after sending some bytes."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        client.settimeout(60)
        client.connect(("127.0.0.1", self.port))
        client.sendall(sent)
        return client

    def request(self, value):
        """Return the bytes of a request to write texts."""
        body = json.dumps(value)
        return (
            f"POST /api/generate HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            f"{body}"
        ).encode()


def events(body):
    """Return the events in the bytes of a stream."""
    blocks = body.decode().split("\n\n")[:-1]
    lines = [block.split("\n") for block in blocks]
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for name, data in lines
    ]


def texts_of(found):
    """Return the texts in the events of a stream."""
    parts = [data["pieces"] for name, data in found if name == "text"]
    return ["".join(column) for column in zip(*parts, strict=True)]


def read_until(reader, end):
    """Read until some bytes came; return what was read."""
    found = b""
    while end not in found:
        part = reader.recv(4096)
        assert part
        found += part
    return found


def until(is_so):
    """Wait until a function returns something true, and return it."""
    for _ in range(600):
        if found := is_so():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def awaited(coroutine):
    """Return the result of a coroutine, also while Playwright's loop is running."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


@contextmanager
def working_with(folder, *runs):
    """Work in a folder with trained runs of these names; the last is the newest."""
    for i, name in enumerate(runs):
        run = save_trained(folder / "checkpoints" / name)
        os.utime(run / BEST, (i + 1, i + 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@contextmanager
def playing(*others, host="127.0.0.1", token="", **limits):
    """Serve the runs in ./checkpoints; yield a client."""
    listening = listen(host, 0, token)
    listening.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    started, faults, stops = threading.Event(), [], []

    def on_start(stop):
        stops.append(stop)
        started.set()

    server = threading.Thread(
        target=serve,
        args=(listening, others),
        kwargs={
            "limits": Limits(**limits),
            "on_fault": faults.append,
            "on_start": on_start,
        },
    )
    server.start()
    assert started.wait(60)
    try:
        yield Client(listening)
    finally:
        stops[0]()
        server.join(60)
        assert not server.is_alive()
        assert faults == []
