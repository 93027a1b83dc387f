"""Servers that mean harm, or are broken: bounded time and memory, nothing left."""

import re
from functools import partial

import pytest
from loopback import (
    CHANGED,
    NO_DRIPS,
    NO_SILENCE,
    PART,
    PATIENT,
    TEXT,
    left_in,
    serving,
    sha256,
)
from texts import charrnn

from charrnn.errors import ConfigError, DownloadError
from charrnn.text.download.registry import download_url

get = partial(download_url, policy=PATIENT)


def refused(url, folder, policy=PATIENT, **options):
    """Return why an address does not have the text. Nothing is left in the folder."""
    with pytest.raises(DownloadError) as caught:
        download_url(url, folder / "data" / "my.txt", policy=policy, **options)
    message = str(caught.value)
    assert message.isprintable()
    assert left_in(folder) in ([], ["data"])
    found = re.search(r"; tried http.*?://.*?: (.*); check the address and", message)
    assert found, message
    return found[1]


SLOW = "less than 16,384 bytes in 0.4 s"
ENDS = {
    "silent": r"interrupted: Read timed out.*",
    "half_head": r"Read timed out.*",
    "drip_status": SLOW,
    "drip_headers": SLOW,
    "drip_header": SLOW,
    "many_headers": "got more than 100 headers",
    "long_header": "got more than 65536 bytes when reading header line",
    "continues": rf"{SLOW}|got more than.*",
    "garbage": r".*\\x00\\x01.*",
    "evil_reason": r"HTTP 404 '\\x1b\[31mRun me!+…'",
    "loop": "more than 10 redirects",
    "further": "more than 10 redirects",
    "drip": SLOW,
    "late_drip": SLOW,
    "length?-5": "Content-Length is -5; expected one number",
    "length?many": "Content-Length is many; expected one number",
    "length?" + "9" * 30: "Content-Length is 9+; expected one number",
    "length?5&7": ".*Content-Length.*5, ?7.*",
    "chunks_cut": "interrupted: .*",
    "chunk_garbage": "interrupted: .*",
    "chunk_negative": "interrupted: .*",
    "chunk_huge": "got more than 1,000,000 bytes",
    "chunk_line": "interrupted: .*",
    "trailers": f"{SLOW}|interrupted: .*",
    "compressed?br": r"compressed \(br\), although it was asked not to be; .*",
    "compressed?deflate": r"compressed \(deflate\), although it was asked not .*",
    "partial": "HTTP 206 Partial Content",
    "patience": "HTTP 429 Too Many Requests",
    "resets": "interrupted.*",
}


@pytest.mark.parametrize("path", ENDS)
def test_it_ends(server, tmp_path, path, monkeypatch):
    monkeypatch.setattr("charrnn.text.download.http.LIMIT", 1_000_000)
    policy = PATIENT
    if SLOW in ENDS[path]:
        policy = NO_DRIPS
    elif "timed out" in ENDS[path]:
        policy = NO_SILENCE
    reason = refused(f"{server.url}/{path}", tmp_path, policy=policy)
    assert re.fullmatch(ENDS[path], reason)
    assert server.sent < 20_000_000


def test_a_body_in_chunks(server, tmp_path):
    target = get(f"{server.url}/chunks", tmp_path / "my.txt")
    assert target.read_bytes() == TEXT


def test_what_comes_after_the_declared_length_is_not_read(server, tmp_path):
    target = get(f"{server.url}/more", tmp_path / "my.txt")
    assert target.read_bytes() == TEXT[:13]
    assert "got 13 bytes" in refused(
        f"{server.url}/more", tmp_path / "b", sha256=sha256(TEXT)
    )


def test_a_compressed_text_is_kept_as_it_is_under_a_name_that_tells(server, tmp_path):
    url = f"{server.url}/compressed?gzip"
    reason = refused(url, tmp_path)
    assert reason.endswith("save it as it is with --out my.txt.gz")
    path = get(url, tmp_path / "my.txt.gz")
    assert path.read_bytes()[:2] == b"\x1f\x8b"


# ---- redirects ----


def test_the_body_of_a_redirect_is_not_read(server, tmp_path):
    target = get(f"{server.url}/moved_endless", tmp_path / "my.txt")
    assert target.read_bytes() == TEXT
    assert server.sent < 20_000_000


NOWHERE = [
    "file:///etc/passwd",
    "ftp://127.0.0.1/a",
    "http://a:99999/x",
    "http://[abc/x",
    "http://a%7fb/x",
    "http://me:secret@[abc/x",
    "data:,x",
    "%ff",
]


@pytest.mark.parametrize("place", NOWHERE)
def test_a_redirect_that_leads_nowhere(server, tmp_path, place):
    reason = refused(f"{server.url}/to?{place}", tmp_path)
    assert re.fullmatch("redirected to .*, which is no address of the web", reason)
    assert "secret" not in reason
    assert len(server.paths) == 1


def test_the_login_goes_to_its_server_only(server, tmp_path, other_server):
    mine = server.url.replace("//", "//me:secret@")
    there = f"{mine}/to?{other_server.url}/text"
    assert get(there, tmp_path / "a.txt").read_bytes() == TEXT
    assert server.logins[-1].startswith("Basic ")
    assert other_server.logins == [None]
    for place in ("/text", f"{server.url}/text"):
        get(f"{mine}/to?{place}", tmp_path / "b.txt", force=True)
        assert server.logins[-1] == server.logins[0]


@pytest.fixture
def other_server():
    with serving() as server:
        yield server


def test_no_redirect_from_https_to_http(server, secure_server, tmp_path):
    url = f"{secure_server.url}/to?{server.url}/text"
    reason = refused(url, tmp_path)
    assert reason.startswith(f"redirected from https to {server.url}/text; if you")
    assert server.paths == []
    up = f"{server.url}/to?{secure_server.url}/text"
    assert get(up, tmp_path / "my.txt").read_bytes() == TEXT


def test_a_certificate_that_nobody_vouches_for(secure_server, tmp_path, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    reason = refused(f"{secure_server.url}/text", tmp_path)
    assert "certificate verify failed" in reason
    assert secure_server.paths == []


def test_a_dead_proxy(server, dead, tmp_path, monkeypatch):
    proxy = dead.replace("//", "//me:secret@").removesuffix("/text")
    monkeypatch.setenv("http_proxy", proxy)
    reason = refused("http://corpus.invalid/text", tmp_path)
    assert "Connection refused" in reason
    assert "secret" not in reason


def test_a_proxy_that_drips(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    assert refused("http://corpus.invalid/drip_headers", tmp_path, NO_DRIPS) == SLOW


# ---- resuming ----


@pytest.mark.parametrize(
    ("path", "text", "ranges"),
    [
        ("resumed", TEXT, [None, "70000"]),
        ("busy_between", TEXT, [None, "70000", "70000"]),
        ("changed", CHANGED, [None, "70000"]),
        ("changed_part", CHANGED, [None, "70000", None]),
        ("other_part", TEXT, [None, "70000", None]),
        ("no_part", TEXT, [None, "70000", None]),
        ("nameless", TEXT, [None, None]),
    ],
)
def test_an_interrupted_download_goes_on(server, tmp_path, path, text, ranges):
    target = get(f"{server.url}/{path}", tmp_path / "my.txt")
    assert target.read_bytes() == text
    assert server.ranges == ranges
    assert left_in(tmp_path) == ["my.txt"]


def test_versions_that_cannot_be_told_apart_fail_the_digest(server, tmp_path):
    url = f"{server.url}/changed_secretly"
    glued = TEXT[:PART] + CHANGED[PART:]
    reason = refused(url, tmp_path, sha256=sha256(TEXT))
    assert reason == f"got 110,000 bytes with SHA-256 {sha256(glued)}"


# ---- addresses ----

MALFORMED = [
    "http://[abc/x.txt",
    "http://a:99999/x.txt",
    "http://a:b/x.txt",
    "http:///x.txt",
    "http://:80/x.txt",
    "http://a b/x.txt",
    "http://a/x\n.txt",
    "http://a/\x1b[31m.txt",
    "http://*.a/x.txt",
    f"http://{'a' * 70}ü/x.txt",
    "https:/a/x.txt",
    "my.txt",
    "file:///etc/passwd",
    "http://me:secret@[abc/x.txt",
    "http://me:se/secret@a/x.txt",
    "me:secret@a/x.txt",
    "ftp://me:secret@a/x.txt",
]


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_address_is_one_line(tmp_path, url):
    with pytest.raises(ConfigError) as caught:
        get(url, tmp_path / "my.txt")
    message = str(caught.value)
    assert message.isprintable()
    assert message.endswith(
        "is not a URL; expected one like https://example.org/text.txt"
    )
    assert "secret" not in message


@pytest.mark.parametrize("out", [(), ("--out", "y.txt")])
def test_the_command_with_malformed_addresses(tmp_path, out):
    for url in ("http://me:secret@[abc/x.txt", "http://a/x\n.txt"):
        done = charrnn("download", "--url", url, *out, cwd=tmp_path)
        assert done.returncode == 1
        assert re.fullmatch(r"Error: .* is not a URL; expected .*\n", done.stderr)
        assert "secret" not in done.stderr
    assert left_in(tmp_path) == []


def test_an_address_that_no_host_can_have(tmp_path):
    reason = refused(f"http://{'a' * 70}.invalid/x.txt", tmp_path)
    assert reason


@pytest.mark.parametrize("path", ["text.txt?a=b@c", "a@1.0/text.txt"])
def test_an_at_sign_behind_the_host_is_no_login(server, tmp_path, path):
    url = f"{server.url}/{path}"
    get(url, tmp_path / "my.txt")
    bad = f"{server.url}/a@1.0/missing"
    with pytest.raises(DownloadError, match=re.escape(f"tried {bad}: HTTP 404")):
        get(bad, tmp_path / "other.txt")
