"""The text of a checkpoint that somebody else has made: which paths are opened."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from charrnn.errors import TextError
from charrnn.text.corpus_info import CorpusInfo
from charrnn.text.reading import read_corpus
from charrnn.text.reopening import MissingTextError, _names_a_device, reopen_corpus
from charrnn.text.streams import open_regular, open_stream

TEXT = "some text\n" * 9
needs_links = pytest.mark.skipif(sys.platform == "win32", reason="needs links")


@pytest.fixture
def downloads(tmp_path):
    """Return the folder of a checkpoint from a stranger."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


def of_stranger(*files, relative=(), text=TEXT):
    """Return what a stranger's checkpoint records: a text, and any paths."""
    info = read_corpus([write_temporary(text)]).info
    return replace(info, files=files, relative=tuple(relative), signature="0" * 64)


def write_temporary(text):
    path = Path(os.environ["CHARRNN_CACHE"]) / "temporary.txt"
    path.write_text(text)
    return path


def write(path, text=TEXT):
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)
    return path


def why_not(info, beside):
    with pytest.raises(MissingTextError) as error:
        reopen_corpus(info, beside=beside)
    return str(error.value)


REFUSED = "not opened, because somebody else (or an older charrnn) recorded it"


def test_an_absolute_path_is_not_opened(downloads, tmp_path):
    secret = write(tmp_path / "secret.txt")
    assert f"{secret}: {REFUSED}" in why_not(of_stranger(str(secret)), downloads)
    assert REFUSED in why_not(of_stranger(str(secret)), None)
    assert reopen_corpus(of_stranger(str(secret)), [secret]).text == TEXT


def test_the_same_path_is_opened_if_it_is_signed(downloads, tmp_path):
    info = read_corpus([write(tmp_path / "mine.txt")]).info.relative_to(downloads)
    assert reopen_corpus(info, beside=downloads).text == TEXT
    assert reopen_corpus(CorpusInfo.from_json(info.to_json())).text == TEXT
    for change in (
        {"files": (str(tmp_path / "other.txt"),)},
        {"relative": ("../other.txt",)},
        {"sha256": "0" * 64},
        {"encoding": "latin-1"},
        {"signature": ""},
    ):
        assert REFUSED in why_not(replace(info, **change), downloads)


@pytest.mark.parametrize(
    ("files", "relative", "there"),
    [
        (["/home/bob/texts/a.txt"], [], "a.txt"),
        (["C:\\texts\\a.txt"], ["..\\texts\\a.txt"], "a.txt"),
        (["/home/bob/texts/a.txt"], ["texts/a.txt"], "texts/a.txt"),
        (["/home/bob/texts/a.txt"], ["../texts/a.txt"], "a.txt"),
        (["/home/bob/texts/a.txt"], ["one/../a.txt"], "a.txt"),
    ],
)
def test_a_file_beside_the_checkpoint_is_found(downloads, files, relative, there):
    path = write(downloads / there)
    info = of_stranger(*files, relative=relative)
    corpus = reopen_corpus(info, beside=downloads)
    assert (corpus.text, corpus.info.files) == (TEXT, (str(path),))


def test_all_files_must_be_beside_the_checkpoint(downloads):
    info = of_stranger("/home/bob/a.txt", "/home/bob/b.txt", text=TEXT + TEXT)
    write(downloads / "a.txt")
    assert REFUSED in why_not(info, downloads)
    write(downloads / "b.txt")
    assert reopen_corpus(info, beside=downloads).text == TEXT + TEXT


@pytest.mark.parametrize(
    "relative", ["../secret.txt", "{parent}/secret.txt", "one/../../secret.txt"]
)
def test_no_path_leads_out_of_the_folder(downloads, relative, tmp_path):
    write(tmp_path / "secret.txt")
    info = of_stranger("x.txt", relative=[relative.format(parent=tmp_path)])
    assert REFUSED in why_not(info, downloads)


@needs_links
@pytest.mark.parametrize("link", ["a.txt", "folder"])
def test_no_link_leads_out_of_the_folder(downloads, link, tmp_path):
    secret = write(tmp_path / "secrets" / "a.txt")
    (downloads / link).symlink_to(secret if link == "a.txt" else secret.parent)
    info = of_stranger("/x/a.txt", relative=["folder/a.txt"])
    assert REFUSED in why_not(info, downloads)
    (downloads / link).unlink()
    inside = write(downloads / "texts" / "a.txt")
    (downloads / link).symlink_to(inside if link == "a.txt" else inside.parent)
    assert reopen_corpus(info, beside=downloads).text == TEXT


@needs_links
def test_a_folder_that_is_a_link_itself_holds_its_files(downloads, tmp_path):
    write(downloads / "a.txt")
    (tmp_path / "link").symlink_to(downloads)
    info = of_stranger("/home/bob/a.txt")
    assert reopen_corpus(info, beside=tmp_path / "link").text == TEXT


@needs_links
def test_no_named_pipe_is_opened(downloads):
    os.mkfifo(downloads / "a.txt")
    message = why_not(of_stranger("/home/bob/a.txt"), downloads)
    assert message == f"{downloads / 'a.txt'}: not a regular file; it is not opened"


@pytest.mark.parametrize("name", ["//host/share/x.txt", "\\\\host\\share\\x.txt"])
@pytest.mark.parametrize("name_is", ["absolute", "relative"])
def test_no_other_computer_is_asked(downloads, name, name_is, monkeypatch):
    asked = []
    for function in ("stat", "lstat", "open"):
        real = getattr(os, function)

        def spy(path, *args, real=real, **options):
            asked.append(str(path))
            return real(path, *args, **options)

        monkeypatch.setattr(os, function, spy)
    files = (name,) if name_is == "absolute" else ("y.txt",)
    info = of_stranger(*files, relative=(name,) if name_is == "relative" else ())
    assert REFUSED in why_not(info, downloads)
    assert not [path for path in asked if "host" in path and str(downloads) not in path]


@pytest.mark.parametrize(
    ("path", "device"),
    [
        ("C:\\downloads\\nul", True),
        ("C:\\downloads\\CON.txt", True),
        ("C:\\downloads\\com1 .txt", True),
        ("C:\\downloads\\aux\\a.txt", True),
        ("C:\\downloads\\a.txt:stream", True),
        ("C:\\downloads\\console.txt", False),
        ("C:\\downloads\\com.txt", False),
    ],
)
def test_windows_devices_are_recognised_by_name(path, device):
    assert _names_a_device(path, windows=True) is device
    assert not _names_a_device(path, windows=False)


@pytest.mark.parametrize(
    "name", ["\x1b]0;mine\x07", "a\nb", "x\0y", "\udc80", "\u202e", "x" * 5000]
)
def test_names_are_escaped(downloads, name):
    for info in (of_stranger(name), of_stranger("a.txt", relative=[name])):
        assert why_not(info, downloads).isprintable()


@needs_links
def test_what_took_the_place_of_a_regular_file_is_not_waited_for(tmp_path):
    # `reopen_corpus` looks at a file before it opens it; this is what happens between.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (str(fifo), "/dev/null", str(tmp_path)):
        with pytest.raises((TextError, IsADirectoryError)):
            open_regular(path)
        with pytest.raises(TextError), open_stream(path, regular=True):
            pass
        with pytest.raises(TextError):
            read_corpus([path], regular=True)


def test_a_compressed_text_is_found_where_it_was(tmp_path):
    # Its size is not that of the text, and the run has moved away from it.
    import gzip

    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))
    info = read_corpus([path]).info.relative_to(tmp_path / "run")
    assert reopen_corpus(info, beside=tmp_path / "far" / "away").text == TEXT


def test_what_is_published_names_no_folder(tmp_path):
    info = read_corpus([write(tmp_path / "mine.txt")]).info.relative_to(tmp_path)
    shared = info.without_places()
    assert (shared.files, shared.relative, shared.signature) == (("mine.txt",), (), "")
    assert reopen_corpus(shared, beside=tmp_path).text == TEXT
