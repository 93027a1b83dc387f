"""Strangers, the slow, the greedy and the malformed, against a real server."""

import json
import socket
from contextlib import suppress

import pytest
from playground import events, playing, read_until, texts_of, until, working_with

SHORT = {"model": "lines", "length": 5}
# More than sockets and buffers hold, and than is written in no time.
LONG = {"model": "lines", "length": 20_000, "temperatures": [1] * 5}


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    with working_with(tmp_path_factory.mktemp("play"), "lines") as place:
        yield place


@pytest.fixture(scope="module")
def client():
    with playing() as client:
        yield client


def rest(client):
    """Read until the server closes; return all of it."""
    found = b""
    while part := client.recv(1 << 16):
        found += part
    return found


# ---- who may ask ----


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_this_machine_is_answered(client, name):
    assert client.get("/api/models", Host=f"{name}:{client.port}")[0] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example", "", "evil"],
)
@pytest.mark.parametrize("path", ["/", "/api/models", "/assets/main.js"])
def test_a_foreign_host_is_refused(client, host, path):
    status, _, body = client.ask("GET", path, Host=host)
    assert status == 421
    assert "expected" in json.loads(body)["error"]


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://[", "file:"]
)
def test_a_page_of_another_origin_is_refused(client, origin):
    assert client.get("/api/models", Origin=origin)[0] == 403
    assert client.post("/api/next", SHORT, Origin=origin)[0] == 403


def test_a_page_of_this_origin_is_answered(client):
    host = f"localhost:{client.port}"
    own = {"Host": host, "Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
    assert client.post("/api/next", {"model": "lines"}, **own)[0] == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_the_browser_tells_of_another_site(client, site):
    assert client.get("/api/models", Sec_Fetch_Site=site)[0] == 403
    assert client.ask("GET", "/", Sec_Fetch_Site=site)[0] == 200  # a link may lead here


def test_every_answer_forbids_other_sites_and_inline_scripts(client):
    for path in ("/", "/api/models", "/assets/main.js", "/nothing"):
        _, headers, _ = client.ask("GET", path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self';" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers
        assert "Server" not in headers


def test_beyond_this_machine_a_token_is_needed():
    with playing(host="0.0.0.0") as client:
        token = client.token
        assert len(token) == 32
        for path in ("/", "/api/models", "/assets/main.js"):
            assert client.ask("GET", path)[0] == 401
            assert client.ask("GET", path, Authorization="Bearer nonsense")[0] == 401
            assert client.ask("GET", path, Authorization=f"Basic {token}")[0] == 401
            assert client.ask("GET", path, Cookie=f"other={token}; [")[0] == 401
            assert client.ask("GET", path, Authorization=f"Bearer {token}")[0] == 200
        assert client.ask("GET", f"/api/models?token={token}")[0] == 401
        assert client.ask("GET", "/?token=wrong")[0] == 401
        assert client.ask("GET", "/?token=%ff%c3%a9")[0] == 401
        status, headers, _ = client.ask("GET", f"/?token={token}")
        assert (status, headers["Location"]) == (303, "/")
        cookie = headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        own = cookie.partition(";")[0]
        assert client.ask("GET", "/", Cookie=own)[0] == 200
        own = {"Cookie": own, "Host": "a.name:1", "Origin": "http://another.name"}
        assert client.get("/api/models", **own)[0] == 403


def test_a_token_may_be_asked_for_on_this_machine():
    with playing(token="a1b2c3d4") as client:
        assert client.get("/api/models")[0] == 401
        assert client.get("/api/models", Authorization="Bearer a1b2c3d4")[0] == 200
        known = {"Authorization": "Bearer a1b2c3d4", "Host": "evil.example"}
        assert client.get("/api/models", **known)[0] == 421


# ---- what may be asked ----


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"nonsense", 400),
        (b'{"length": NaN}', 400),
        (b'{"length": -Infinity}', 400),
        (b'{"length": 1e999}', 400),
        (b'{"length": 5, "length": 6}', 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 50_000, 400),
        (b'{"length": ' + b"9" * 5000 + b"}", 400),
        (b'{"length": Infinity}', 422),
        (b'{"length": 999999999999999999999}', 422),
        (b'"a"', 422),
        (b"null", 422),
        (b'{"model": {}}', 422),
        (b'{"prime": "' + b"a" * 60_000 + b'"}', 422),
    ],
)
def test_a_malformed_body_is_a_line(client, body, status):
    for path in ("/api/generate", "/api/next", "/api/surprise"):
        found, answer = client.post(path, body)
        assert found == status
        assert answer["error"]
        assert "\n" not in answer["error"]
        assert len(answer["error"]) < 300


def test_a_body_that_is_not_json_is_refused_by_its_type(client):
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert client.post("/api/next", SHORT, Content_Type=kind)[0] == 415


def test_a_large_body_is_refused_before_it_is_read(client):
    head = (
        f"POST /api/next HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n"
        "Content-Type: application/json\r\n"
    )
    with client.open(f"{head}Content-Length: {10**12}\r\n\r\n".encode()) as sender:
        assert b" 413 " in rest(sender)
    with client.open(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()) as sender:
        try:
            for _ in range(200):
                sender.sendall(b"10000\r\n" + b" " * (1 << 16) + b"\r\n")
        except OSError:  # the server has closed
            return
        assert b" 413 " in rest(sender)


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000,
        b"\x16\x03\x01\x00\x00\xff" * 10,
    ],
)
def test_a_malformed_head_is_refused(client, request_):
    sender = client.open()
    try:
        sender.sendall(request_)
        assert rest(sender).startswith(b"HTTP/1.1 4")
    except OSError:  # closed while it was still being sent
        pass
    finally:
        sender.close()
    assert client.get("/api/models")[0] == 200


def test_unknown_paths_and_methods_are_json(client):
    assert client.get("/nothing") == (404, {"error": "Not Found"})
    assert client.get("/assets/..%2fapp.py")[0] == 404
    assert client.get("/assets/app.py")[0] == 404
    status, _, body = client.ask("DELETE", "/api/models")
    assert (status, json.loads(body)) == (405, {"error": "Method Not Allowed"})


# ---- how much and how fast ----


def test_only_so_many_streams_at_once_and_those_who_leave_make_room():
    with playing(streams=1) as client:
        with client.open(client.request(LONG)) as reader:
            read_until(reader, b"event: text")
            body, kind = json.dumps(SHORT), {"Content_Type": "application/json"}
            status, headers, answer = client.ask("POST", "/api/generate", body, **kind)
            assert status == 503
            assert int(headers["Retry-After"]) > 0
            assert "too many requests" in json.loads(answer)["error"]
            assert client.get("/api/models")[0] == 200
        # The reader has left in the middle of the text, and would still be written for.
        until(lambda: client.post_status("/api/generate", SHORT) == 200)


def test_who_does_not_read_is_cut():
    with (
        playing(streams=1, stalled_seconds=0.3) as client,
        client.open(client.request(LONG)) as reader,
    ):
        read_until(reader, b"event: text")
        until(lambda: client.post_status("/api/generate", SHORT) == 200)
        assert b"event: end" not in rest(reader)


def test_who_reads_slowly_gets_everything():
    with playing(streams=1) as client:
        with client.open(client.request(LONG)) as reader:
            found = read_until(reader, b"event: text")
            assert client.post_status("/api/generate", SHORT) == 503
            found += read_until(reader, b"event: end")
        assert sum(map(len, texts_of(events(body_of(found))))) == 100_000


def body_of(answer):
    """Return the body of an answer, which came in chunks."""
    rest, body = answer.partition(b"\r\n\r\n")[2], b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return body


@pytest.mark.parametrize(
    "start", [b"", b"GET", b"GET / HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\nA: b\r\n"]
)
def test_who_is_slow_to_ask_is_cut(start):
    with (
        playing(head_seconds=0.3) as client,
        client.open(start) as sender,
        suppress(ConnectionResetError),
    ):
        assert rest(sender) == b""


def test_a_second_request_may_not_be_slower_than_the_first():
    with playing(head_seconds=0.3) as client:
        host = f"Host: 127.0.0.1:{client.port}\r\n"
        first = f"GET /assets/main.js HTTP/1.1\r\n{host}\r\n".encode()
        with client.open(first) as sender:
            assert b"200 OK" in sender.recv(4096)
            sender.sendall(b"GET / HT")
            with suppress(ConnectionResetError):
                rest(sender)


def test_a_slow_body_is_given_up():
    with playing(body_seconds=0.3) as client:
        whole = client.request(SHORT)
        with client.open(whole[:-3]) as sender:
            assert b" 408 " in rest(sender)


def test_only_so_many_connections():
    with playing(connections=3) as client:
        held = [client.open() for _ in range(3)]
        with client.open() as other:
            answer = rest(other)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After" in answer
        for each in held:
            each.close()
        until(lambda: is_answered(client))


def is_answered(client):
    try:
        return client.get("/api/models")[0] == 200
    except (OSError, ValueError):
        return False


def test_only_so_many_jobs_wait():
    with playing(jobs=1, streams=1) as client:
        ask = (
            f"GET /api/models HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n"
            "Connection: close\r\n\r\n"
        ).encode()
        senders = [client.open(ask) for _ in range(40)]
        found = [rest(sender).split()[1] for sender in senders]
        for sender in senders:
            sender.close()
        assert b"200" in found
        assert {*found} <= {b"200", b"503"}
        assert client.get("/api/models")[0] == 200


def test_the_server_ends_while_texts_are_read():
    with playing() as client:
        reader = client.open(client.request(LONG))
        read_until(reader, b"event: text")
    assert b"event: end" not in rest(reader)
    reader.close()
    with pytest.raises(OSError, match="refused"), socket.socket() as other:
        other.connect(("127.0.0.1", client.port))
