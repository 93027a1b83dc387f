"""A local web server that behaves well or badly, depending on the path."""

import contextlib
import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from charrnn.text.download.registry import CORPORA

TEXT = b"First Kettle:\nI boil.\n" * 5000
HTML = b"<!doctype html><title>Please log in</title>"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers according to the last part of the path."""

    def do_GET(self):
        self.server.paths.append(self.path)
        name = self.path.rpartition("/")[2].partition(".")[0]
        getattr(self, f"on_{name}", self.on_missing)()

    def reply(self, data, status=200, length=None, kind="text/plain", **headers):
        self.send_response(status)
        headers |= {"Content-Type": kind, "Content-Length": length or len(data)}
        for key, value in headers.items():
            self.send_header(key, str(value))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may have closed the connection
            self.wfile.write(data)

    def on_text(self):
        self.reply(TEXT)

    def on_moved(self):
        self.reply(b"", 302, Location="/text")

    def on_missing(self):
        self.reply(b"gone", 404)

    def on_busy(self):  # the first two times
        self.reply(TEXT, 200 if self.server.paths.count(self.path) > 2 else 503)

    def on_down(self):
        self.reply(b"", 500)

    def on_short(self):
        self.reply(TEXT[:1000], length=len(TEXT))

    def on_page(self):
        self.reply(HTML, kind="text/html; charset=utf-8")

    def on_other(self):
        self.reply(b"Another text.")

    def on_empty(self):
        self.reply(b"")

    def on_large(self):
        self.reply(TEXT, length=10**15)

    def on_endless(self):  # has no Content-Length, and never ends
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.server.closing.is_set():
                self.wfile.write(TEXT)
                self.server.sent += len(TEXT)

    def on_reset(self):
        self.connection.shutdown(socket.SHUT_RDWR)

    def on_slow(self):
        self.server.closing.wait(5)

    def on_drip(self):  # a first part, and then nothing for a long time
        self.send_response(200)
        self.send_header("Content-Length", str(len(TEXT)))
        self.end_headers()
        self.wfile.write(TEXT[:70_000])
        self.server.closing.wait(20)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    """Records the paths of requests, and how much of the endless reply was sent."""

    daemon_threads = False  # so that no thread outlives its test

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths, self.sent, self.closing = [], 0, threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


def dead_address():
    """Return an address on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/text"


def source(*urls):
    """Return tiny Shakespeare's entry with other addresses, for TEXT."""
    tiny = CORPORA["tinyshakespeare"]
    return replace(tiny, urls=urls, size=len(TEXT), sha256=sha256(TEXT))


def left_in(folder):
    return sorted(path.name for path in folder.rglob("*"))
