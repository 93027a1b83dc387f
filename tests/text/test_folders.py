"""Which files of a folder are read, in which order, and what is reported."""

import gzip
import os
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from users import without_privileges

from charrnn.errors import TextError
from charrnn.storage.run_folder import BEST, HISTORY, LAST, PRETRAINED
from charrnn.text.folders import RUN_FILES, find_files, natural_key
from charrnn.text.streams import open_stream

JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1" + bytes(range(256))
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs links and FIFOs")


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes files into a folder, and returns the folder."""

    def write(**files):
        for name, content in files.items():
            put(tmp_path / "book", name, content)
        return tmp_path / "book"

    return write


def put(folder, name, content="text"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def found_in(folder, *arguments, **options):
    found = find_files([folder], *arguments, **options)
    return [os.path.relpath(path, folder).replace(os.sep, "/") for path in found.paths]


# A space and a dot come before digits, digits before letters.
IN_ORDER = [
    "a/2.txt",
    "a/10.txt",
    "a.txt",
    "B.txt",
    "b.txt",
    "Chapter 10.txt",
    "chapter.txt",
    "chapter02.txt",
    "chapter2.txt",
    "chapter10.txt",
    "chapter10a.txt",
    "chapter99999999999999999999999.txt",
    "chapterX.txt",
    "zebra.txt",
    "Äpfel.txt",
]


@pytest.mark.parametrize("seed", range(3))
def test_files_come_in_natural_order(seed):
    names = [*IN_ORDER]
    random.Random(seed).shuffle(names)
    assert sorted(names, key=natural_key) == IN_ORDER


def test_files_of_a_folder_are_found_in_natural_order(tmp_path):
    for name in ("10.txt", "b/1.txt", "2.txt", "1.txt"):
        put(tmp_path, name)
    assert found_in(tmp_path) == ["1.txt", "2.txt", "10.txt", "b/1.txt"]


def test_composed_and_decomposed_names_are_sorted_alike():
    assert natural_key("\u00e4b")[0] == natural_key("a\u0308b")[0]


def test_hidden_empty_and_binary_files_are_left_out_with_one_note(tmp_path):
    book = tmp_path / "book"
    for name, content in {
        "1.txt": "text",
        "2.txt.gz": gzip.compress(b"packed"),
        "cover.jpg": JPEG,
        "back.jpg": JPEG,
        "scan.pdf": b"%PDF-1.4\n",
        "empty.txt": "",
        "empty.gz": gzip.compress(b""),
        ".DS_Store": "x",
        ".git/config": "x",
    }.items():
        put(book, name, content)
    found = find_files([book])
    assert found.paths == [str(book / "1.txt"), str(book / "2.txt.gz")]
    assert found.notes == [
        "left out 2 JPEG images (back.jpg, …), 2 empty files, 1 hidden file, "
        "1 hidden folder, 1 PDF document (scan.pdf)"
    ]


def test_nothing_left_out_gives_no_note(folder):
    assert find_files([folder(a="x", b="y")]).notes == []


def test_a_run_leaves_out_its_own_files_and_no_texts(tmp_path):
    # As after `charrnn train . --out .`, and with runs in folders below.
    book = tmp_path / "book"
    for name in ("chapter1.txt", "history.jsonl", "sub/history.jsonl"):
        put(book, name)
    for name in ("best.npz", "history.jsonl"):
        put(book, f"checkpoints/run/{name}")
    assert found_in(book) == ["chapter1.txt", "history.jsonl", "sub/history.jsonl"]
    put(book, "last.npz")
    found = find_files([book])
    assert found.paths == [str(book / "chapter1.txt"), str(book / "sub/history.jsonl")]
    assert found.notes == ["left out 4 files of a training run"]
    assert "chapter1.txt" not in found_in(book, own=("chapter1.txt",))


def test_a_second_training_on_the_current_folder_reads_the_same(tmp_path):
    put(tmp_path, "a.txt")
    put(tmp_path, "mine.npz", PRETRAINED.read_bytes())
    found = find_files([tmp_path])
    assert found.paths == [str(tmp_path / "a.txt")]
    assert found.notes == ["left out 1 charrnn checkpoint (mine.npz)"]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.txt", ["a.txt", "part1/b.TXT", "part1/deep/c.txt"]),
        (["*.md", "a*"], ["a.txt", "part1/d.md"]),
        ("part1/*", ["part1/b.TXT", "part1/d.md"]),
        ("part1/**/*.txt", ["part1/b.TXT", "part1/deep/c.txt"]),
        ("book/a.txt", ["a.txt"]),
        ("[bc].txt", ["part1/b.TXT", "part1/deep/c.txt"]),
        ("", ["a.txt", "part1/b.TXT", "part1/d.md", "part1/deep/c.txt"]),
    ],
)
def test_patterns_select_by_the_end_of_the_path(tmp_path, glob, expected):
    book = tmp_path / "book"
    for name in ("a.txt", "part1/b.TXT", "part1/d.md", "part1/deep/c.txt"):
        put(book, name)
    assert found_in(book, glob) == expected
    assert find_files([book], glob).notes == []


def test_named_files_and_standard_input_are_always_taken(tmp_path):
    image, hidden = put(tmp_path, "a.jpg", JPEG), put(tmp_path, ".hidden")
    book = put(tmp_path / "book", "b.txt").parent
    sources = [image, "-", str(hidden), book]
    assert find_files(sources, "*.txt").paths == [
        str(image),
        "-",
        str(hidden),
        str(book / "b.txt"),
    ]


def test_bytes_are_read_from_files_in_any_format(tmp_path):
    for name, content in {"a.jpg": JPEG, "b.gz": b"\x1f\x8b\x08", "c": ""}.items():
        put(tmp_path, name, content)
    assert found_in(tmp_path, raw=True) == ["a.jpg", "b.gz"]


@pytest.mark.parametrize(
    ("files", "glob", "why"),
    [
        ({}, "", "no files in this folder; expected texts to learn from"),
        (
            {".a": "x", "b.jpg": JPEG},
            "",
            "no texts in this folder (left out 1 hidden file, 1 JPEG image (b.jpg)); "
            "expected at least one",
        ),
        (
            {"a.md": "x", "b.md": "x"},
            "*.txt",
            "no texts in this folder (left out 2 files that match no --glob); "
            "expected at least one",
        ),
    ],
)
def test_a_folder_without_texts_is_an_error_that_tells_why(tmp_path, files, glob, why):
    for name, content in files.items():
        put(tmp_path, name, content)
    with pytest.raises(TextError) as error:
        find_files([tmp_path], glob)
    assert str(error.value) == f"{tmp_path}: {why}"


def test_a_pattern_without_a_folder_is_an_error(tmp_path):
    path = put(tmp_path, "a.txt")
    with pytest.raises(TextError, match="--glob selects files in folders"):
        find_files([path], "*.txt")


@posix
def test_links_to_folders_are_followed_once(tmp_path):
    put(tmp_path / "book", "a/1.txt")
    put(tmp_path / "elsewhere", "2.txt")
    book = tmp_path / "book"
    (book / "b").symlink_to(tmp_path / "elsewhere")
    (book / "a" / "up").symlink_to(book)
    (book / "c").symlink_to(tmp_path / "elsewhere")
    found = find_files([book])
    assert found.paths == [str(book / "a/1.txt"), str(book / "b/2.txt")]
    assert found.notes == ["left out 2 links to a folder that was read already (up, …)"]


@pytest.fixture
def nested(tmp_path, monkeypatch):
    """Work in a folder with 1,100 folders in each other, and a text in the last."""
    monkeypatch.chdir(tmp_path)
    for _ in range(1100):
        Path("d").mkdir()
        os.chdir("d")
    Path("b.txt").write_text("text")
    Path("a").mkdir()
    Path("a/x.txt").write_text("text")
    bottom = Path.cwd()
    os.chdir(tmp_path)
    yield
    # pytest cannot delete folders so deep.
    os.chdir(bottom)
    for name in ("b.txt", "a/x.txt"):
        Path(name).unlink()
    Path("a").rmdir()
    for _ in range(1100):
        os.chdir("..")
        Path("d").rmdir()


@pytest.mark.skipif(sys.platform == "win32", reason="paths there are short")
@pytest.mark.usefixtures("nested")
def test_folders_may_be_nested_deeper_than_calls():
    found = find_files(["."]).paths
    assert [Path(path).name for path in found] == ["x.txt", "b.txt"]
    # A pattern that could match in very many ways.
    found = find_files(["."], ("**/x*/**/x*/**/*/**/*.txt", "b.txt")).paths
    assert [Path(path).name for path in found] == ["b.txt"]


@posix
def test_broken_links_and_special_files_are_left_out_unopened(tmp_path):
    put(tmp_path, "a.txt")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link.txt").symlink_to("a.txt")
    os.mkfifo(tmp_path / "pipe")
    found = find_files([tmp_path])
    assert found.paths == [str(tmp_path / "a.txt"), str(tmp_path / "link.txt")]
    assert found.notes == [
        "left out 2 broken links (gone, …), 1 file that is no regular one (pipe)"
    ]


@posix
@pytest.mark.parametrize("what", ["secret.txt", "sub"])
def test_what_cannot_be_read_is_an_error_that_names_it(what):
    with TemporaryDirectory() as name:  # those of pytest are for their owner only
        folder = Path(name)
        folder.chmod(0o755)
        put(folder, "secret.txt")
        put(folder, "sub/a.txt")
        (folder / what).chmod(0)
        with without_privileges(), pytest.raises(TextError) as error:
            find_files([folder])
        (folder / what).chmod(0o700)
    assert str(error.value) == f"{folder / what}: cannot be read: Permission denied"


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_names_that_no_file_can_have_are_text_errors(name):
    with pytest.raises(TextError), open_stream(*find_files([name]).paths):
        pass


def test_the_names_of_a_run_are_known():
    assert {*RUN_FILES} == {BEST, LAST, HISTORY}


def test_an_empty_name_is_not_the_current_folder():
    assert find_files([""]).paths == [""]  # which opening it then refuses
