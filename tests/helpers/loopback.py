"""A local web server that behaves well or badly, depending on the path."""

import contextlib
import gzip
import hashlib
import itertools
import re
import socket
import ssl
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from charrnn.text.download.http import RetryPolicy
from charrnn.text.download.registry import CORPORA

TEXT = b"First Kettle:\nI boil.\n" * 5000
CHANGED = TEXT.replace(b"boil", b"sing")  # another version, of the same length
PART = 70_000  # bytes that arrive before an interruption
CERTIFICATE = Path(__file__).parent / "loopback.pem"  # of 127.0.0.1, with its key
# A busy machine can stop a test for a second at any place. So tests wait as long as
# users do, except for what a server does not send.
PATIENT = RetryPolicy(backoff=0.01)
NO_SILENCE = replace(PATIENT, read_timeout=1.0)
NO_DRIPS = replace(PATIENT, progress_timeout=0.4)
HTML = b"<!doctype html><title>Please log in</title>"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


STATUS = b"HTTP/1.1 200 OK\r\n"


class Handler(BaseHTTPRequestHandler):
    """Answers according to the last part of the path."""

    def do_GET(self):
        self.server.connections.append(self.connection)
        self.server.paths.append(self.path)
        self.server.logins.append(self.headers.get("Authorization"))
        name = self.path.partition("?")[0].rpartition("/")[2].partition(".")[0]
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

    def on_silent(self):  # a first part, and then nothing for a long time
        self.send_response(200)
        self.send_header("Content-Length", str(len(TEXT)))
        self.end_headers()
        self.wfile.write(TEXT[:PART])
        self.server.closing.wait(60)

    def on_pause(self):  # between a first part and the rest
        self.send_response(200)
        self.send_header("Content-Length", str(len(TEXT)))
        self.end_headers()
        self.wfile.write(TEXT[:PART])
        self.server.going_on.wait(60)
        self.wfile.write(TEXT[PART:])

    # ---- heads that never end ----

    def send(self, *parts, pause=0.0):
        """Send the bytes of an answer, and count them, until the client has gone."""
        with contextlib.suppress(OSError):
            for part in parts if isinstance(parts[0], bytes) else parts[0]:
                self.connection.sendall(part)
                self.server.sent += len(part)
                if self.server.closing.wait(pause) or self.server.closing.is_set():
                    return

    def drip(self, parts):  # for minutes
        self.send(itertools.islice(parts, 4000), pause=0.05)

    def on_half_head(self):
        self.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        self.server.closing.wait(60)

    def on_drip_status(self):
        self.drip(itertools.chain([b"HTTP/1.1 200 "], itertools.repeat(b"O")))

    def on_drip_headers(self):
        self.drip(itertools.chain([STATUS], itertools.repeat(b"A: b\r\n")))

    def on_drip_header(self):
        self.drip(itertools.chain([STATUS, b"A: "], itertools.repeat(b"b")))

    def on_many_headers(self):
        self.send(itertools.chain([STATUS], itertools.repeat(b"A: b\r\n" * 1000)))

    def on_long_header(self):
        self.send(itertools.chain([STATUS, b"A: "], itertools.repeat(b"b" * 1000)))

    def on_continues(self):
        self.send(itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000))

    def on_garbage(self):
        self.send(bytes(range(256)) * 100)

    def on_evil_reason(self):
        self.send(b"HTTP/1.1 404 \x1b[31mRun me" + b"!" * 5000 + b"\r\n\r\n")

    # ---- redirects ----

    def on_loop(self):
        self.reply(b"", 302, Location="/loop")

    def on_further(self):  # always to another address
        self.reply(b"", 302, Location=f"/{len(self.server.paths)}/further")

    def on_to(self):  # to an address in the query
        self.reply(b"", 302, Location=unquote(self.path.partition("?")[2], "latin-1"))

    def on_moved_endless(self):
        head = STATUS.replace(b"200 OK", b"302 Found") + b"Location: /text\r\n\r\n"
        self.send(itertools.chain([head], itertools.repeat(TEXT)))

    # ---- bodies ----

    def on_drip(self):
        head = STATUS + b"Content-Length: 110000\r\n\r\n"
        self.drip(itertools.chain([head], itertools.repeat(b"x")))

    def on_late_drip(self):
        head = STATUS + b"Content-Length: 110000\r\n\r\n" + TEXT[:PART]
        self.drip(itertools.chain([head], itertools.repeat(b"x")))

    def on_more(self):  # than declared
        self.reply(TEXT, length=13)

    def on_length(self):  # in the query
        length = self.path.partition("?")[2].encode()
        fields = b"".join(b"Content-Length: %b\r\n" % n for n in length.split(b"&"))
        self.send(STATUS + fields + b"\r\n" + TEXT)

    def chunked(self, *parts):
        head = STATUS + b"Transfer-Encoding: chunked\r\n\r\n"
        self.send(itertools.chain([head], *parts))

    def on_chunks(self):
        pieces = [TEXT[:60_000], TEXT[60_000:], b""]
        self.chunked([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces])

    def on_chunks_cut(self):
        self.chunked([b"%x\r\n%b\r\n" % (PART, TEXT[:PART])])

    def on_chunk_garbage(self):
        self.chunked([b"zz\r\n", TEXT])

    def on_chunk_negative(self):
        self.chunked([b"-1\r\n"], itertools.repeat(TEXT))

    def on_chunk_huge(self):
        self.chunked([b"f" * 15 + b"\r\n"], itertools.repeat(TEXT))

    def on_chunk_line(self):  # whose size never ends
        self.chunked(itertools.repeat(b"0" * 1000))

    def on_trailers(self):
        self.chunked([b"1\r\nx\r\n0\r\n"], itertools.repeat(b"A: b\r\n"))

    def on_compressed(self):  # by the method in the query
        method = self.path.partition("?")[2]
        data = {"gzip": gzip.compress, "deflate": zlib.compress}.get(method, bytes)
        self.reply(data(TEXT), **{"Content-Encoding": method})

    def on_partial(self):  # unasked
        self.reply(TEXT, 206, **{"Content-Range": f"bytes 0-{len(TEXT) - 1}/110000"})

    def on_patience(self):
        self.reply(b"", 429, **{"Retry-After": 36_000})

    # ---- answers to a request for the rest ----

    def part(self, data, status, tag, cut=False, first=None):
        """Send a file from where it is asked for; cut it short, and reset."""
        start = int(self.server.ranges[-1] or 0)
        head = f"HTTP/1.1 {status} OK\r\nETag: {tag}\r\n"
        if status == 206:
            first = start if first is None else first
            head += f"Content-Range: bytes {first}-{len(data) - 1}/{len(data)}\r\n"
            data = data[start:]
        head += f"Content-Length: {len(data)}\r\n\r\n"
        self.send(head.encode(), data[:PART] if cut else data)

    def asked(self):
        """Return whether this request asks for the rest of a file."""
        field = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        self.server.ranges.append(field and field[1])
        return field is not None

    def on_resumed(self):
        rest = self.asked() and self.headers["If-Range"] == '"a"'
        self.part(TEXT, 206 if rest else 200, '"a"', cut=not rest)

    def on_busy_between(self):
        rest = self.asked()
        if len(self.server.ranges) == 2:
            self.reply(b"", 503)
        else:
            self.part(TEXT, 206 if rest else 200, '"a"', cut=not rest)

    def on_changed(self):  # and says so
        rest = self.asked()
        self.part(CHANGED if rest else TEXT, 200, '"b"' if rest else '"a"', not rest)

    def on_changed_part(self):  # ignores If-Range
        rest = self.asked()
        if len(self.server.ranges) == 3:
            self.part(CHANGED, 200, '"b"')
        else:
            self.part(
                CHANGED if rest else TEXT, 206 if rest else 200, f'"{rest}"', not rest
            )

    def on_changed_secretly(self):
        rest = self.asked()
        self.part(CHANGED if rest else TEXT, 206 if rest else 200, '"a"', not rest)

    def on_other_part(self):
        rest = self.asked()
        if len(self.server.ranges) == 3:
            self.part(TEXT, 200, '"a"')
        else:
            self.part(TEXT, 206 if rest else 200, '"a"', cut=not rest, first=5)

    def on_no_part(self):  # 416, then the whole
        rest = self.asked()
        self.part(TEXT, 416 if rest else 200, '"a"', len(self.server.ranges) == 1)

    def on_nameless(self):  # a version that cannot be recognised
        cut = self.asked() or len(self.server.ranges) == 1
        self.part(TEXT, 200, 'W/"a"', cut=cut)

    def on_resets(self):  # every time
        self.asked()
        self.part(TEXT, 200, '"a"', cut=True)
        at_once = struct.pack("ii", 1, 0)  # closing sends a reset
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    """Records the requests, and how much of endless replies was sent."""

    daemon_threads = False  # so that no thread outlives its test

    def __init__(self, secure=False):
        super().__init__(("127.0.0.1", 0), Handler)
        self.connections, self.paths, self.logins, self.ranges = [], [], [], []
        self.sent, self.closing = 0, threading.Event()
        self.going_on = threading.Event()
        self.url = f"http{'s' * secure}://127.0.0.1:{self.server_port}"
        if secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request, client_address):
        """Be silent about clients that go away in the middle."""


@contextlib.contextmanager
def serving(secure=False) -> Iterator[Server]:
    with Server(secure) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.closing.set()
        for connection in server.connections:  # one may wait for its client to read
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
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
