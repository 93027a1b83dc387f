"""One file off the web, over real sockets on this machine."""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from loopback import HTML, NO_SILENCE, PATIENT, TEXT, left_in, sha256, source
from places import ROOT
from texts import environment_of_a_full_disk

from charrnn.errors import DownloadError
from charrnn.text.download.registry import download, download_url

get = partial(download, policy=PATIENT)


@pytest.mark.parametrize("path", ["text", "moved", "busy"])
def test_a_good_download(server, tmp_path, path):
    target = get(source(f"{server.url}/{path}"), tmp_path / "new" / "data")
    assert target == tmp_path / "new" / "data" / "tinyshakespeare.txt"
    assert target.read_bytes() == TEXT
    assert left_in(target.parent) == ["tinyshakespeare.txt"]


def test_the_file_is_as_readable_as_any(server, tmp_path):
    (tmp_path / "any").touch()
    target = get(source(f"{server.url}/text"), tmp_path)
    assert target.stat().st_mode == (tmp_path / "any").stat().st_mode


REASONS = {
    "missing": r"HTTP 404 Not Found",
    "down": r"HTTP 500 Internal Server Error",
    "short": r"interrupted.*(1000 bytes read|1,000 of 110,000 bytes)",
    "page": rf"got 43 bytes with SHA-256 {sha256(HTML)}, a page of HTML",
    "other": rf"got 13 bytes with SHA-256 {sha256(b'Another text.')};",
    "empty": r"got 0 bytes",
    "large": r"got more than 110,000 bytes",
    "endless": r"got more than 110,000 bytes",
    "reset": r"Remote end closed connection without response",
    "slow": r"Read timed out",
    "silent": r"interrupted: .*Read timed out",
}


@pytest.mark.parametrize("path", REASONS)
def test_a_bad_answer(server, tmp_path, path):
    url = f"{server.url}/{path}"
    policy = NO_SILENCE if "timed out" in REASONS[path] else PATIENT
    with pytest.raises(DownloadError) as caught:
        get(source(url), tmp_path, policy=policy)
    assert caught.match(
        r"tinyshakespeare\.txt: cannot be downloaded; expected 110,000 bytes with "
        rf"SHA-256 {sha256(TEXT)}; tried {url}: .*{REASONS[path]}"
    )
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path) == []
    assert server.sent < 50_000_000


def test_what_is_worth_another_try(server, tmp_path):
    for path in ("missing", "down", "reset", "slow"):
        with pytest.raises(DownloadError):
            get(source(f"{server.url}/{path}"), tmp_path, policy=NO_SILENCE)
    assert server.paths == ["/missing"] + ["/down"] * 3 + ["/reset"] * 3 + ["/slow"]


def test_a_refused_connection_is_not_tried_again(tmp_path, dead, monkeypatch):
    monkeypatch.setattr(time, "sleep", None)  # cannot be called
    with pytest.raises(DownloadError, match="Connection refused"):
        download(source(dead, dead, dead), tmp_path)


def test_the_next_address_helps(server, tmp_path, dead):
    urls = [dead, f"{server.url}/short", f"{server.url}/page", f"{server.url}/text"]
    assert get(source(*urls), tmp_path).read_bytes() == TEXT
    assert server.paths == ["/short"] * 3 + ["/page", "/text"]


def test_when_all_addresses_fail_each_is_named(server, tmp_path, dead):
    with pytest.raises(DownloadError) as caught:
        get(source(dead, f"{server.url}/a", f"{server.url}/page"), tmp_path)
    assert caught.match(
        rf"{dead}: .*refused; .*/a: HTTP 404 Not Found; .*/page: got 43"
    )
    assert caught.match("behind a proxy: set HTTPS_PROXY, and REQUESTS_CA_BUNDLE for")


def test_a_right_file_is_not_fetched_again(server, tmp_path):
    corpus = source(f"{server.url}/text")
    (tmp_path / "tinyshakespeare.txt").write_bytes(TEXT)
    for force in (False, True):
        assert get(corpus, tmp_path, force=force).read_bytes() == TEXT
    assert server.paths == []


def test_a_wrong_file_is_left_alone_unless_forced(server, tmp_path):
    corpus, target = source(f"{server.url}/text"), tmp_path / "tinyshakespeare.txt"
    target.write_text("mine")
    message = (
        rf"expected a file with SHA-256 {sha256(TEXT)}, got one with SHA-256 "
        rf"{sha256(b'mine')}; move it away, or replace it with --force$"
    )
    with pytest.raises(DownloadError, match=message):
        get(corpus, tmp_path)
    assert target.read_text() == "mine"
    with pytest.raises(DownloadError, match="HTTP 404"):
        get(source(f"{server.url}/missing"), tmp_path, force=True)
    assert target.read_text() == "mine"
    assert get(corpus, tmp_path, force=True).read_bytes() == TEXT


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "tinyshakespeare.txt").mkdir()
    with pytest.raises(DownloadError, match="expected a file or nothing, got a folder"):
        get(source(), tmp_path, force=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_pipe_in_the_way_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "tinyshakespeare.txt")
    with pytest.raises(DownloadError, match="got a folder, pipe or device"):
        get(source(), tmp_path)


def test_a_file_where_the_folder_should_be(server, tmp_path):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(DownloadError, match="cannot be written"):
        get(source(f"{server.url}/text"), tmp_path / "data" / "deeper")
    assert left_in(tmp_path) == ["data"]


# ---- disks, signals, proxies ----

FETCH = (
    "import sys\nfrom pathlib import Path\n"
    "from charrnn.text.download.registry import download_url\n"
    "sha256 = sys.argv[3] if sys.argv[3:] else None\n"
    "download_url(sys.argv[1], Path(sys.argv[2]), sha256=sha256)\n"
)


def start(code, *arguments, env=None):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_part(folder, beside=()):
    deadline = time.monotonic() + 10
    while not {*left_in(folder)} - {*beside} and time.monotonic() < deadline:
        time.sleep(0.01)
    assert any(name.endswith(".part") for name in {*left_in(folder)} - {*beside})


def test_a_write_that_fails(server, tmp_path):
    pytest.importorskip("resource", reason="no RLIMIT_FSIZE on this system")
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
    limited = environment_of_a_full_disk()
    url, path = f"{server.url}/text", tmp_path / "my.txt"
    with start(limit + FETCH, url, path, env=limited) as child:
        said = child.stderr.read()
    assert "my.txt: cannot be written (File too large), and nothing was left" in said
    assert left_in(tmp_path) == []


def test_a_disk_that_is_too_small_is_not_written_to(server, small_disk):
    message = "has 110,000 bytes, and the disk has room for 65,536; make room there"
    with pytest.raises(DownloadError, match=message):
        get(source(f"{server.url}/text"), small_disk / "new")
    assert left_in(small_disk) == []


def test_a_full_disk(server, small_disk):
    with pytest.raises(DownloadError, match="No space left on device"):
        get(source(f"{server.url}/chunks"), small_disk)  # of unknown size
    assert left_in(small_disk) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no folder in use")
def test_a_folder_that_is_deleted_meanwhile(server, tmp_path):
    data = tmp_path / "data"
    with start(FETCH, f"{server.url}/pause", data / "my.txt") as child:
        wait_for_part(data)
        shutil.rmtree(data)
        server.going_on.set()
        assert "my.txt: cannot be written (No such file" in child.stderr.read()
    assert left_in(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one child")
def test_ctrl_c_leaves_nothing(server, tmp_path):
    with start(FETCH, f"{server.url}/silent", tmp_path / "my.txt") as child:
        wait_for_part(tmp_path)
        child.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in child.stderr.read()
    assert left_in(tmp_path) == []


def test_the_next_download_removes_what_a_killed_one_left(server, tmp_path):
    others = [".my.txt.part", ".other.txt.0123abcd.part", ".my.txt.0123abcg.part"]
    for name in others:
        (tmp_path / name).touch()
    with start(FETCH, f"{server.url}/silent", tmp_path / "my.txt") as child:
        wait_for_part(tmp_path, beside=others)
        download_url(f"{server.url}/text", tmp_path / "my.txt")
        assert len(left_in(tmp_path)) == 5  # a download that goes on is left alone
        child.kill()
        child.wait()
    assert len(left_in(tmp_path)) == 5
    download_url(f"{server.url}/text", tmp_path / "my.txt", force=True)
    assert left_in(tmp_path) == sorted([*others, "my.txt"])


def test_two_downloads_of_one_file(server, tmp_path):
    url, target = f"{server.url}/text", tmp_path / "my.txt"
    children = [start(FETCH, url, target, sha256(TEXT)) for _ in range(3)]
    for child in children:
        with child:
            assert child.stderr.read() == ""
    assert target.read_bytes() == TEXT
    assert left_in(tmp_path) == ["my.txt"]


def test_a_file_that_appears_meanwhile_is_not_replaced(server, tmp_path):
    target = tmp_path / "my.txt"
    with start(FETCH, f"{server.url}/pause", target) as child:
        wait_for_part(tmp_path)
        target.write_text("mine")
        server.going_on.set()
        assert "expected a file with SHA-256" in child.stderr.read()
    assert target.read_text() == "mine"
    assert left_in(tmp_path) == ["my.txt"]


def test_the_proxy_of_the_environment(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    target = get(source("http://corpus.invalid/text"), tmp_path)
    assert target.read_bytes() == TEXT
    assert server.paths == ["http://corpus.invalid/text"]
