"""Files that hold no plain text are named, and texts are never taken for such files."""

import gzip
import io
import pickle
import random
import shlex
import sqlite3
import struct
import subprocess
import sys
import tarfile
import wave
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from charrnn.errors import TextError
from charrnn.storage.run_folder import PRETRAINED
from charrnn.text.formats import check_plain_text, identify
from charrnn.text.streams import HEAD, open_stream


def zipped(*names, first=None):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        if first:
            archive.writestr("mimetype", first, zipfile.ZIP_STORED)
        for name in names:
            archive.writestr(name, "<xml/>" * 100)
    return buffer.getvalue()


def png():
    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0\0"))
        + chunk(b"IEND", b"")
    )


def bmp():
    return b"BM" + struct.pack(
        "<IHHIIiiHHIIiiII", 58, 0, 0, 54, 40, 1, 1, 1, 24, *[0] * 6
    )


def wav():
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(100))
    return buffer.getvalue()


def tar(format=tarfile.GNU_FORMAT):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        info = tarfile.TarInfo("book/chapter1.txt")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"text"))
    return buffer.getvalue()


def npy():
    buffer = io.BytesIO()
    np.save(buffer, np.arange(10))
    return buffer.getvalue()


def npz():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.arange(10))
    return buffer.getvalue()


def sqlite(tmp_path):
    connection = sqlite3.connect(tmp_path / "base.db")
    connection.execute("CREATE TABLE t (text)")
    connection.commit()
    connection.close()
    return (tmp_path / "base.db").read_bytes()


def movie(brand):
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + brand + b"isom"


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)
OFFICE = ("[Content_Types].xml", "_rels/.rels", "docProps/thumbnail.jpeg")
KINDS = {
    "PDF document": [b"%PDF-1.7\n1 0 obj", b"\n%PDF-1.4\n\xe2\xe3\xcf\xd3"],
    "RTF document": [b"{\\rtf1\\ansi Hello}"],
    "PostScript document": [b"%!PS-Adobe-3.0\n"],
    "Word document": [zipped(*OFFICE, "word/document.xml")],
    "Excel document": [zipped(*OFFICE, "xl/workbook.xml")],
    "PowerPoint document": [zipped(*OFFICE, "ppt/presentation.xml")],
    "OpenDocument text": [
        zipped(
            "content.xml",
            "META-INF/manifest.xml",
            first="application/vnd.oasis.opendocument.text",
        )
    ],
    "EPUB book": [
        zipped("META-INF/container.xml", "a.html", first="application/epub+zip")
    ],
    "Kindle book": [b"Title".ljust(60, b"\0") + b"BOOKMOBI" + bytes(9)],
    "old Office document": [OLE],
    "ZIP archive": [zipped("a.txt", "b/c.txt"), zipped()],
    "7z archive": [b"7z\xbc\xaf\x27\x1c\0\4" + bytes(20)],
    "RAR archive": [b"Rar!\x1a\7\0\xcf\x90", b"Rar!\x1a\7\1\0"],
    "tar archive": [tar(tarfile.GNU_FORMAT), tar(tarfile.PAX_FORMAT)],
    "LZ4 archive": [b"\x04\x22\x4d\x18\x64\x40\xa7\0"],
    "PNG image": [png()],
    "JPEG image": [b"\xff\xd8\xff\xe0\0\x10JFIF\0"],
    "GIF image": [b"GIF89a\1\0\1\0\0\0\0;"],
    "WebP image": [b"RIFF\x24\0\0\0WEBPVP8 "],
    "TIFF image": [b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"],
    "BMP image": [bmp()],
    "HEIC image": [movie(b"heic"), movie(b"mif1")],
    "icon image": [b"\0\0\1\0\1\0\x10\x10"],
    "MP3 file": [b"ID3\4\0\0\0\0\0\0", b"\xff\xfb\x90\x64\0\0"],
    "WAV file": [wav()],
    "Ogg file": [b"OggS\0\2" + bytes(20)],
    "FLAC file": [b"fLaC\0\0\0\x22"],
    "MIDI file": [b"MThd\0\0\0\6\0\1\0\1"],
    "MP4 file": [movie(b"mp42"), movie(b"M4A ")],
    "Matroska video": [b"\x1a\x45\xdf\xa3\1\0\0\0"],
    "AVI video": [b"RIFF\x24\0\0\0AVI LIST"],
    "ELF program": [b"\x7fELF\2\1\1\0"],
    "macOS program": [b"\xcf\xfa\xed\xfe\7\0\0\1", b"\xca\xfe\xba\xbe\0\0\0\2"],
    "Windows program": [b"MZ\x90\0\3\0\0\0"],
    "Java class file": [b"\xca\xfe\xba\xbe\0\0\0\x34"],
    "NumPy file": [npy(), npz()],
    "charrnn checkpoint": [PRETRAINED.read_bytes()],
    "pickle file": [pickle.dumps({"a": 1}, 2), pickle.dumps([1], 4)],
    "PyTorch file": [zipped("model/data.pkl", "model/data/0"), b"\x80\2\x8a\x0al\xfc"],
    "safetensors file": [b"\x40\0\0\0\0\0\0\0" + b'{"a":{}}' + bytes(50)],
    "font": [b"\0\1\0\0\0\x0f\0\x80", b"OTTO\0\x0b\0\x80", b"wOF2\0\1\0\0"],
    "binary file": [
        random.Random(1).randbytes(5000),
        np.random.default_rng(1).normal(size=500).tobytes(),
        np.arange(2000, dtype="<i4").tobytes(),
        bytes(100),
        b"\0\0\0",
    ],
}
CASES = [(name, data) for name, examples in KINDS.items() for data in examples]
IDS = [
    f"{name}-{at}" for name, examples in KINDS.items() for at in range(len(examples))
]


@pytest.mark.parametrize(("name", "data"), CASES, ids=IDS)
def test_formats_are_known_by_their_first_bytes(name, data):
    found = identify(data[:HEAD], lambda: io.BytesIO(data))
    assert found
    assert found.name == name
    assert "--bytes" not in found.advice


@pytest.mark.parametrize(
    "name",
    [
        "Word document",
        "Excel document",
        "EPUB book",
        "OpenDocument text",
        "ZIP archive",
    ],
)
def test_archives_in_a_pipe_are_known_by_what_is_at_their_start(name):
    assert identify(KINDS[name][0][:HEAD]).name == name


def test_a_database_is_known(tmp_path):
    assert identify(sqlite(tmp_path)[:HEAD]).name == "SQLite database"


def test_a_program_of_this_machine_is_known():
    with Path(sys.executable).open("rb") as file:
        assert "program" in identify(file.read(HEAD)).name


def test_a_directory_of_millions_of_names_is_not_read():
    # Of a file that has this many, the names at the start tell what it is.
    archive = io.BytesIO(zipped("a.txt") + bytes(1 << 16))

    def directory(size, zip64):
        end = b"PK\5\6" + bytes(8) + size.to_bytes(4, "little") + bytes(6)
        return archive.getvalue() + (b"PK\6\7" + bytes(16) if zip64 else b"") + end

    for size, zip64 in ((1 << 21, False), (100, True)):
        opened = HungryFile(directory(size, zip64))
        assert identify(opened.getvalue(), lambda file=opened: file).name == (
            "ZIP archive"
        )
        assert opened.most <= 1 << 17


class HungryFile(io.BytesIO):
    """A file that counts the bytes of its largest reading."""

    most = 0

    def read(self, *size):
        data = super().read(*size)
        self.most = max(self.most, len(data))
        return data


def test_a_damaged_archive_is_still_an_archive():
    data = zipped("a.txt")[:50]
    assert identify(data, lambda: io.BytesIO(data)).name == "ZIP archive"


TEXTS = [
    "",
    "x",
    "To be, or not to be.\r\n" * 20,
    "<!DOCTYPE html><html><p>HTML is text</p></html>",
    "\\documentclass{article}",
    "BM is a company, MZ a word, and PK\n",
    "GIF89a is the name of a format, RIFF is one, too.",
    "ID3 tags, OggS, fLaC, wOFF and OTTO are magic; so are GGUF and PAR1.",
    "%PDF is how a PDF begins",
    "\x1b[31mred\x1b[0m and a bell\x07\n",
    "page one\fpage two\x1a",
    "NAME\n  b\bbo\bol\bld\n",
    "one\x00two\x00three\x00four, as find -print0 writes it\x00",
    "a\x1fb\x1fc\x1erecords with separators\x1e",
    "Größe, naïveté, тест, 日本語, ไทย, 😀\n",
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_no_other_format(text):
    assert identify(text.encode()) is None


RUSSIAN = "Все счастливые семьи похожи друг на друга.\n" * 9
GREEK = "Τη γλώσσα μου έδωσαν ελληνική· το σπίτι φτωχικό.\n" * 9
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたか。\n" * 30
CHINESE = "关关雎鸠，在河之洲。窈窕淑女，君子好逑。参差荇菜，左右流之。" * 30
KOREAN = "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.\n" * 9
ENGLISH = "To be, or not to be, that is the question.\n" * 9


@pytest.mark.parametrize("text", [RUSSIAN, GREEK, JAPANESE, CHINESE, KOREAN, ENGLISH])
@pytest.mark.parametrize(
    "codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("cut", [0, 1])
def test_wide_encodings_are_no_binary_data(text, codec, cut):
    data = text.encode(codec)
    assert identify(data[: len(data) - cut][:HEAD]) is None


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        (RUSSIAN, "koi8-r"),
        (RUSSIAN, "cp866"),
        ("яуза, яыр и другие\n" + RUSSIAN, "cp1251"),  # begins as an MP3 file does
        (GREEK, "cp1253"),
        (JAPANESE, "cp932"),
        (JAPANESE, "euc-jp"),
        (JAPANESE, "iso2022-jp"),
        (CHINESE, "gb18030"),
        (CHINESE, "big5"),
        (ENGLISH, "cp037"),
    ],
)
def test_other_encodings_are_no_binary_data(text, codec):
    assert identify(text.encode(codec, "ignore")[:HEAD]) is None


def test_tiny_shakespeare_and_this_file_are_texts(tinyshakespeare):
    for path in (tinyshakespeare, __file__):
        with Path(path).open("rb") as file:
            assert identify(file.read(HEAD)) is None


def error_of(path):
    with open_stream(str(path)) as stream, pytest.raises(TextError) as error:
        check_plain_text(stream, path.open)
    return str(error.value)


def test_the_error_names_file_format_and_what_to_do(tmp_path):
    path = tmp_path / "my book.pdf"
    path.write_bytes(b"%PDF-1.4\n")
    assert error_of(path) == (
        f"{path}: PDF document, not plain text; extract its text first: pdftotext "
        f"'{path}' text.txt"
    )


def test_a_compressed_archive_is_named_and_can_be_unpacked_as_advised(tmp_path):
    path = tmp_path / "books.tgz"
    path.write_bytes(gzip.compress(tar()))
    message = error_of(path)
    assert message.startswith(
        f"{path}: tar archive, not plain text; unpack it and give"
    )
    command = message.partition("folder: ")[2]
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    assert (tmp_path / "folder/book/chapter1.txt").read_text() == "text"


def test_a_format_in_a_pipe_is_an_error_too(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(zipped(*OFFICE, "word/document.xml"))
    with path.open("rb") as file:
        code = (
            "from charrnn.text.streams import open_stream\n"
            "from charrnn.text.formats import check_plain_text\n"
            "with open_stream('-') as stream: check_plain_text(stream)"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], stdin=file, capture_output=True, text=True
        )
    assert result.stderr.splitlines()[-1] == (
        "charrnn.errors.TextError: -: Word document, not plain text; convert it first, "
        "for example: pandoc -t plain -o text.txt FILE"
    )


def test_names_in_an_error_are_safe_to_print_and_to_type(tmp_path):
    path = tmp_path / "a'b\x1b.pdf"
    path.write_bytes(b"%PDF-1.4\n")
    assert error_of(path).isprintable()
    path = tmp_path / "it's.pdf"
    path.write_bytes(b"%PDF-1.4\n")
    assert shlex.quote(str(path)) in error_of(path)
