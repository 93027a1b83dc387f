"""Reading texts: encodings, folders, standard input, and errors that name the place."""

import hashlib
import io
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import charset_normalizer
import numpy as np
import pytest
from runner import CliRunner

from charrnn.cli import main
from charrnn.config import TextConfig
from charrnn.errors import TextError
from charrnn.text.corpus_info import CorpusInfo, SplitInfo
from charrnn.text.guessing import likely_encodings
from charrnn.text.reading import from_text, read_corpus
from charrnn.text.reopening import reopen_corpus
from charrnn.text.vocab import Vocabulary


@pytest.fixture
def write(tmp_path):
    """Return a function that writes bytes or text to a file and returns its path."""

    def write_file(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def stdin_of(data):
    return io.TextIOWrapper(io.BytesIO(data), encoding="ascii")


@pytest.mark.parametrize("as_type", [str, lambda path: path], ids=["str", "Path"])
def test_utf8_file_is_read_as_it_is(write, as_type):
    path = write("poem.txt", "naïve 😀\nend")
    corpus = read_corpus([as_type(path)])
    assert corpus.text == "naïve 😀\nend"
    assert corpus.name == "poem"
    assert corpus.info.files == (str(path),)
    assert corpus.notes == []
    assert corpus.info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert corpus.vocab == Vocabulary.of(corpus.text)


def test_chosen_name_is_kept(write):
    assert read_corpus([write("a.txt", "a")], name="mine").name == "mine"


def test_byte_order_mark_is_dropped_and_noted(write):
    path = write("a.txt", b"\xef\xbb\xbfabc")
    corpus = read_corpus([path])
    assert corpus.text == "abc"
    assert corpus.notes == [f"{path}: dropped the byte-order mark"]
    assert corpus.info.sha256 == hashlib.sha256(b"\xef\xbb\xbfabc").hexdigest()


def test_mark_within_the_text_is_a_character_like_any_other(write):
    assert read_corpus([write("a.txt", "ab\ufeffc")]).text == "ab\ufeffc"


def test_crlf_line_ends_become_lf_and_are_counted(write):
    path = write("a.txt", b"one\r\n" * 1234 + b"two\nthree\r\n")
    corpus = read_corpus([path])
    assert corpus.text == "one\n" * 1234 + "two\nthree\n"
    assert corpus.notes == [f"{path}: turned 1,235 CRLF line ends into LF"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-be"])
def test_other_encodings_are_read_when_named(write, encoding):
    path = write("a.txt", "Größe\n".encode(encoding))
    corpus = read_corpus([path], TextConfig(encoding))
    assert corpus.text == "Größe\n"
    assert corpus.info.encoding == encoding


@pytest.mark.parametrize(
    ("data", "encoding", "said"),
    [
        (b"abc\xff", "utf-8", "byte 0xff at offset 3 is not utf-8"),
        (b"caf\xc3\xa9 \xe9t\xe9", "utf-8", "byte 0xe9 at offset 6 is not utf-8"),
        (b"ab\xc3", "utf-8", "byte 0xc3 at offset 2 is not utf-8"),
        (b"a\x81", "cp1252", "byte 0x81 at offset 1 is not cp1252"),
        (b"caf\xc3\xa9", "ascii", "byte 0xc3 at offset 3 is not ascii"),
        (b"\xef\xbb\xbfab\xff", "utf-8", "byte 0xff at offset 5 is not utf-8"),
        (b"\xef\xbb\xbfab\xff", "utf-8-sig", "byte 0xff at offset 5 is not utf-8-sig"),
    ],
)
def test_bad_byte_is_named_with_its_offset_and_the_way_out(write, data, encoding, said):
    path = write("a.txt", data)
    with pytest.raises(TextError) as error:
        read_corpus([path], TextConfig(encoding))
    assert str(error.value) == (
        f"{path}: {said}; expected a text in that encoding; name the right one with "
        '--encoding (latin-1, cp1252, utf-16 …; in Python: encoding="latin-1"), or '
        'read bytes instead of characters with --bytes (encoding="bytes")'
    )


@pytest.mark.parametrize("encoding", ["klingon", "a\0b"])
def test_unknown_encoding_is_named(write, encoding):
    with pytest.raises(TextError, match=r"is not .*; expected a name such") as error:
        read_corpus([write("a.txt", "abc")], TextConfig(encoding))
    assert str(error.value).startswith(f"encoding {encoding!r}")


FRENCH = (
    "Parfois, à peine ma bougie éteinte, mes yeux se fermaient si vite que je n'avais "
    "pas le temps de me dire : « Je m'endors. » Et, une demi-heure après, la pensée "
    "qu'il était temps de chercher le sommeil m'éveillait.\n"
)
POLISH = (
    "Litwo! Ojczyzno moja! ty jesteś jak zdrowie: Ile cię trzeba cenić, ten tylko się "
    "dowie, Kto cię stracił. Dziś piękność twą w całej ozdobie Widzę i opisuję.\n"
)
SWEDISH = (
    "Det var en gång en katt som hette Måns. Flickan gick över ån för att få äpplen på "
    "ön, och så småningom började det mörkna över skogen. Då kom hennes bror.\n"
)
CZECH = (
    "Byl pozdní večer – první máj – večerní máj – byl lásky čas. Hrdliččin zval ku "
    "lásce hlas, kde borový zaváněl háj. O lásce šeptal tichý mech.\n"
)
RUSSIAN = (
    "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива "
    "по-своему. Всё смешалось в доме Облонских.\n"
)
GREEK = "Τη γλώσσα μου έδωσαν ελληνική· το σπίτι φτωχικό στις αμμουδιές του Ομήρου.\n"
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n"
CHINESE = "关关雎鸠，在河之洲。窈窕淑女，君子好逑。参差荇菜，左右流之。\n"


def advised_for(path, encoding="utf-8"):
    """Return the encoding to try, and all that a text may be in."""
    with pytest.raises(TextError) as error:
        read_corpus([path], TextConfig(encoding))
    message = str(error.value)
    assert "\n" not in message
    (first,) = re.findall(r"try --encoding (\S+) ", message)
    assert f'(in Python: encoding="{first}")' in message
    named = re.search(r"; it (?:looks like|may be) ([^:(]*?)(?: \(|:)", message)[
        1
    ].split(" or ")
    assert named[0] == first
    return first, named


@pytest.mark.parametrize("before", ["", "A page of plain words.\n" * 10_000])
@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "cp1252"),
        (FRENCH, "utf-16"),
        (FRENCH, "utf-32"),
        (SWEDISH, "cp1252"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (GREEK, "cp1253"),
        (JAPANESE, "cp932"),
        (JAPANESE, "euc-jp"),
        (CHINESE, "gb18030"),
        (CHINESE, "big5"),
    ],
)
def test_the_encoding_advised_for_a_text_reads_it(write, text, encoding, before):
    data = (before + text * 5).encode(encoding, "ignore")
    path = write("a.txt", data)
    advised, _ = advised_for(path)
    assert read_corpus([path], TextConfig(advised)).text == data.decode(encoding)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [(POLISH, "cp1250"), (POLISH, "iso8859-2"), (CZECH, "cp1250")],
)
def test_of_encodings_that_are_alike_the_right_one_is_named(write, text, encoding):
    path = write("a.txt", text.encode(encoding))
    _, named = advised_for(path)
    assert text in [read_corpus([path], TextConfig(name)).text for name in named]


@pytest.mark.parametrize("shift", range(4))
def test_a_large_text_is_looked_at_in_whole_characters(write, shift):
    data = b"x" * shift + (JAPANESE * 3000).encode("euc-jp")
    (found,) = likely_encodings(data, 100_000)
    assert found == "euc-jp"
    assert likely_encodings(data, shift) == ["euc-jp"]


def test_the_advice_on_the_command_line_can_be_followed(write):
    path = str(write("a.txt", (FRENCH * 50).encode("cp1252")))
    train = ["train", path, "--steps", "1", "--hidden", "4", "--quiet", "--out"]
    run = str(Path(path).with_name("run"))
    failed = CliRunner().invoke(main, [*train, run])
    assert failed.exit_code == 1
    advice = re.search(r"try (--encoding \S+) ", failed.stderr)[1].split()
    done = CliRunner().invoke(main, [*train, run, *advice])
    assert done.exit_code == 0, done.output


def test_a_text_in_utf8_that_was_taken_for_ascii(write):
    path = write("a.txt", FRENCH)
    assert advised_for(path, "ascii") == ("utf-8", ["utf-8"])


@pytest.mark.parametrize(
    "data",
    [
        np.random.default_rng(1).bytes(300_000),
        bytes(range(256)) * 50,
        FRENCH.encode() * 300 + b"\xe9",  # damaged in one place
        b"1234 \xe9 5678\n" * 20,
        b"x = 5; // \xa7\n" * 20,  # one byte of Japanese
        FRENCH.encode("cp1252") * 3 + b"\x81\x8d\n",  # undefined there
        (FRENCH * 3 + "\n" * 100_000).encode("cp1252") + b"\x81\x83\x88\x8f\x98\x90",
    ],
)
def test_what_no_encoding_is_sure_to_fit_gets_the_general_advice(write, data):
    path = write("a.txt", data)
    with pytest.raises(TextError) as error:
        read_corpus([path])
    assert re.search(
        "expected a text in that|no text encoding|ends within a character",
        str(error.value),
    )


def test_advice_on_a_large_text_looks_at_a_part_of_it(monkeypatch):
    seen = []

    def spy(sample, **settings):
        seen.append(len(sample))
        return from_bytes(sample, **settings)

    from_bytes = charset_normalizer.from_bytes
    monkeypatch.setattr(charset_normalizer, "from_bytes", spy)
    data = FRENCH.encode("cp1252") * 20_000
    assert likely_encodings(data, 1_000_000)[0] == "cp1252"
    assert 0 < seen[0] <= 1 << 16


def test_bytes_are_taken_as_they_are(write):
    data = bytes(range(256)) + b"\r\n\xef\xbb\xbf"
    corpus = read_corpus([write("a.bin", data)], TextConfig("bytes"))
    assert corpus.text.encode("latin-1") == data
    assert corpus.vocab == Vocabulary.of_bytes()
    assert corpus.notes == []


def test_bytes_of_several_files_are_joined_with_nothing_between(write):
    paths = [write("a.bin", b"\x00\x01"), write("b.bin", b"\xff")]
    corpus = read_corpus(paths, TextConfig("bytes"))
    assert corpus.text == "\x00\x01\xff"


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"])
def test_empty_text_is_refused(write, data):
    path = write("a.txt", data)
    with pytest.raises(TextError, match=f"^{path}: empty; expected a text to learn"):
        read_corpus([path])


def test_several_files_are_joined_each_on_a_line_of_its_own(write):
    parts = {
        "c.txt": "no line end",
        "a.txt": "with one\n",
        "d.txt": "",
        "b.txt": "last",
    }
    paths = [write(name, text) for name, text in parts.items()]
    corpus = read_corpus(paths)
    assert corpus.text == "no line end\nwith one\nlast"
    assert corpus.name == "c"
    assert corpus.info.files == tuple(map(str, paths))
    (note,) = corpus.notes
    assert note == f"joined 4 files, in this order: {', '.join(map(str, paths))}"
    together = b"".join(path.read_bytes() for path in paths)
    assert corpus.info.sha256 == hashlib.sha256(together).hexdigest()


def test_each_file_loses_its_own_mark_and_line_ends(write):
    paths = [write("a.txt", b"\xef\xbb\xbfone\r\n"), write("b.txt", b"\xef\xbb\xbftwo")]
    corpus = read_corpus(paths)
    assert corpus.text == "one\ntwo"
    assert corpus.notes[:3] == [
        f"{paths[0]}: dropped the byte-order mark",
        f"{paths[0]}: turned 1 CRLF line end into LF",
        f"{paths[1]}: dropped the byte-order mark",
    ]


def test_note_of_many_files_lists_the_first_five(write):
    paths = [write(f"{i}.txt", "x") for i in range(7)]
    (note,) = read_corpus(paths).notes
    assert note.endswith(f"{paths[4]} and 2 more")
    assert str(paths[5]) not in note


def test_folder_is_read_in_the_order_of_its_paths_without_hidden_files(write, tmp_path):
    for name in (
        "works/b.txt",
        "works/a/2.txt",
        "works/a/1.md",
        "works/c.txt",
        "works/.hidden",
        "works/.git/config",
        "works/a/.cache/x.txt",
    ):
        write(name, f"{name}\n")
    corpus = read_corpus([tmp_path / "works"])
    assert corpus.text == "works/a/1.md\nworks/a/2.txt\nworks/b.txt\nworks/c.txt\n"
    assert corpus.name == "works"


def test_hidden_folder_is_read_when_it_is_named_itself(write, tmp_path):
    write(".texts/a.txt", "seen")
    assert read_corpus([tmp_path / ".texts"]).text == "seen"


def test_folder_without_texts_is_refused(tmp_path):
    (tmp_path / ".hidden").write_text("x")
    with pytest.raises(TextError, match=f"^{tmp_path}: no texts in this folder"):
        read_corpus([tmp_path])


def test_dash_reads_standard_input_as_bytes_of_the_encoding(monkeypatch):
    monkeypatch.setattr(sys, "stdin", stdin_of("Größe\r\n".encode()))
    corpus = read_corpus(["-"])
    assert corpus.text == "Größe\n"
    assert corpus.name == "stdin"
    assert corpus.info.files == ("-",)


def test_standard_input_joins_files_in_its_place(write, monkeypatch):
    monkeypatch.setattr(sys, "stdin", stdin_of(b"middle"))
    first, last = write("a.txt", "first"), write("b.txt", "last")
    assert read_corpus([first, "-", last]).text == "first\nmiddle\nlast"


def test_bad_byte_of_standard_input_is_named_too(monkeypatch):
    monkeypatch.setattr(sys, "stdin", stdin_of(b"ab\xff"))
    with pytest.raises(TextError, match=r"^-: byte 0xff at offset 2 is"):
        read_corpus(["-"])


def test_missing_file_is_named_with_what_would_do(tmp_path):
    path = tmp_path / "nothing.txt"
    with pytest.raises(TextError) as error:
        read_corpus([path])
    assert str(error.value) == (
        f"{path}: no such file; expected a text, a folder of texts, or - for standard "
        "input"
    )


def test_file_that_cannot_be_read_is_named_with_the_reason(write):
    path = write("a.txt", "x") / "below-a-file.txt"
    with pytest.raises(TextError, match=f"^{path}: cannot be read: Not a directory$"):
        read_corpus([path])


@pytest.mark.parametrize("text", ["To be, or not to be. " * 500, "a\x00b"])
def test_text_given_in_place_of_a_path_is_a_text_error(text):
    with pytest.raises(TextError):
        read_corpus([text])


def test_from_text_keeps_the_text_and_its_digest():
    corpus = from_text("Größe\r\n", name="mine")
    assert (corpus.text, corpus.name) == ("Größe\r\n", "mine")
    assert corpus.info.sha256 == hashlib.sha256("Größe\r\n".encode()).hexdigest()


def test_info_is_what_a_checkpoint_records(write):
    path = write("a.txt", "Größe")
    info = read_corpus([path]).info
    digest = hashlib.sha256("Größe".encode()).hexdigest()
    assert info.to_json() == {
        "name": "a",
        "sha256": digest,
        "characters": 5,
        "bytes": 7,
        "encoding": "",
        "normalize": "nfc",
        "documents": "",
        "max_vocab": 0,
        "seed": 0,
        "start": "G",
        "files": [str(path)],
        "relative": [],
        "signature": "",
    }
    assert CorpusInfo.from_json(info.to_json()) == info
    assert info.config == TextConfig(max_vocab=0)
    assert not info.reads_bytes
    assert read_corpus([path], TextConfig("bytes")).info.reads_bytes


def test_files_are_recorded_as_seen_from_the_checkpoint(write, tmp_path):
    info = read_corpus([write("texts/a.txt", "Größe")]).info
    seen = info.relative_to(tmp_path / "runs" / "one")
    assert seen.relative == (str(Path("..", "..", "texts", "a.txt")),)
    assert info.relative_to(None).relative == ()


@pytest.mark.parametrize(
    ("text", "start"),
    [("ab\n\ncd\n\nef", "\n\n"), ("one\ntwo", "\n"), ("ACGT", "A")],
)
def test_a_likely_start_is_recorded(text, start):
    assert from_text(text).info.start == start


def test_split_survives_json():
    info = SplitInfo(0.25, 75, 25, CorpusInfo("other", files=("a.txt",)))
    assert SplitInfo.from_json(info.to_json()) == info
    plain = SplitInfo(0.25, 75, 25)
    assert SplitInfo.from_json({"val_fraction": 0.25, "train": 75, "val": 25}) == plain


# ---- the text behind a checkpoint of one's own


def why_not(info, text=None):
    with pytest.raises(TextError) as error:
        reopen_corpus(info.relative_to(None), text)
    message = str(error.value)
    assert message.isprintable(), "no control character reaches a terminal"
    return message


def test_a_recorded_text_is_reopened(write):
    paths = [write("a.txt", "one\r\n" * 9), write("b.txt", "Größe".encode("latin-1"))]
    corpus = read_corpus(paths, TextConfig("latin-1"), name="mine")
    again = reopen_corpus(corpus.info.relative_to(None))
    assert (again.text, again.name) == (corpus.text, "mine")
    assert again.info == corpus.info


def test_a_recorded_text_that_moved_is_named(write):
    path = write("a.txt", "some text")
    info = read_corpus([path]).info
    path.rename(path.with_name("b.txt"))
    assert why_not(info) == f"{path}: no such file"
    assert reopen_corpus(info, [path.with_name("b.txt")]).text == "some text"


@pytest.mark.parametrize("named", [False, True])
def test_a_recorded_text_that_changed_is_refused(write, named):
    path = write("a.txt", "some text")
    info = read_corpus([path]).info
    path.write_text("same text")
    message = why_not(info, [path] if named else None)
    assert message.startswith(f"{path}: SHA-256 ")
    assert "is not that of the text that this model was trained on" in message


def test_a_text_without_a_file_has_to_be_named(write):
    path = write("a.txt", "some text")
    corpus = read_corpus([path])
    assert "came from standard input" in why_not(replace(corpus.info, files=("-",)))
    assert "no file is recorded" in why_not(replace(corpus.info, files=()))
    assert "no file is recorded" in why_not(replace(corpus.info, sha256=""))
    assert reopen_corpus(CorpusInfo(), [path]).text == "some text"


@pytest.mark.skipif(sys.platform == "win32", reason="needs special files")
def test_only_regular_files_are_opened(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for file in ("/dev/null", str(tmp_path), str(fifo)):
        info = CorpusInfo(sha256="0" * 64, characters=9, files=(file,))
        assert why_not(info) == f"{file}: not a regular file; it is not opened"


def test_a_file_that_is_far_too_large_is_not_read(write):
    path = write("a.txt", "x" * 1000)
    info = CorpusInfo(sha256="0" * 64, characters=10, files=(str(path),))
    assert "1,000 bytes are too many for the 10 characters" in why_not(info)


@pytest.mark.parametrize(
    "name", ["\x1b]0;mine\x07", "a\nb", "x\0y", "\udc80", "\u202e"]
)
def test_names_from_a_checkpoint_are_escaped(write, name):
    why_not(CorpusInfo(sha256="0" * 64, files=(name,)))
    info = read_corpus([write("a.txt", "some text")]).info
    message = why_not(replace(info, sha256=name))
    assert repr(name)[1:-1] in message


def test_a_name_with_control_characters_is_escaped_when_the_file_exists(tmp_path):
    path = tmp_path / "a\x1bb"
    path.write_text("some text")
    info = read_corpus([path]).info
    path.write_text("same text")
    assert repr(str(path)) in why_not(info)
    path.write_bytes(b"\xff")
    assert repr(str(path)) in why_not(info)


@pytest.mark.parametrize(
    ("characters", "val_fraction", "sizes"),
    [
        (1000, 0.1, (900, 100)),
        (10, 0.5, (5, 5)),
        (1_115_394, 0.1, (1_003_854, 111_540)),  # nanoGPT's counts of tiny Shakespeare
    ],
)
def test_split_is_contiguous_and_shares_memory(characters, val_fraction, sizes):
    corpus = from_text("ab")
    ids = np.arange(characters, dtype=np.uint32)
    train, val = corpus.split(ids, val_fraction)
    assert (len(train), len(val)) == sizes
    np.testing.assert_array_equal(np.concatenate([train, val]), ids)
    assert np.shares_memory(train, ids)
    assert np.shares_memory(val, ids)


def test_tiny_shakespeare_is_the_published_file(tinyshakespeare):
    corpus = read_corpus([tinyshakespeare])
    assert len(corpus.text) == 1_115_394
    assert corpus.notes == []
    assert corpus.info.sha256 == (
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    )


@pytest.mark.parametrize("documents", ["", "lines"])
@pytest.mark.parametrize("wide", ["", "".join(map(chr, range(0x4E00, 0x4E00 + 300)))])
def test_a_text_contains_its_lines_and_no_parts_of_them(documents, wide):
    lines = ["first", "one", "two words", "一丁", *filter(None, [wide]), "last"]
    corpus = from_text("\n".join(lines), TextConfig(documents=documents, max_vocab=0))
    assert all(map(corpus.contains, lines))
    for part in ("ne", "two", "on", "fir", "ast", "丁", "zzz", ""):
        assert not corpus.contains(part), part
    assert corpus.contains("one\ntwo words") == (not documents)
