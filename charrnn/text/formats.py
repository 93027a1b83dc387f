"""Formats that are no plain text, recognised by the first bytes of a file.

The numbers are those of the formats' own documents and of the database of file(1).
"""

import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from charrnn.errors import TextError
from charrnn.shell import quote
from charrnn.text.guessing import is_utf8, marked_encoding, wide_encoding
from charrnn.text.streams import STDIN, ByteStream, printable

_ZIP_END = (1 << 16) + 22 + 20  # bytes: the longest comment, and what precedes it
_LARGEST_DIRECTORY = 1 << 20  # bytes of a ZIP archive's directory, some 10,000 names
_FILE = "FILE"  # stands for the file's name in advice
Opener = Callable[[], BinaryIO]


@dataclass(frozen=True)
class Format:
    """A kind of file that holds no plain text, and what to do about it.

    name is a noun, such as "JPEG image"; its plural ends in s.
    """

    name: str
    advice: str

    def error(self, path: str) -> TextError:
        """Return the error that names a file of this format."""
        name = _FILE if path == STDIN else quote(path)
        advice = self.advice.replace(_FILE, printable(name))
        return TextError(f"{printable(path)}: {self.name}, not plain text; {advice}")


_OTHER = "give a plain text file"
_PANDOC = "convert it first, for example: pandoc -t plain -o text.txt FILE"
_SHEET = "open it in a spreadsheet program and save it as CSV"
_SLIDES = "open it in its program and save or export it as plain text"
_UNZIP = "unpack it and give the folder: unzip FILE -d folder"
_WEIGHTS = "give the text that the model is to learn"

_PDF = Format("PDF document", "extract its text first: pdftotext FILE text.txt")
_RTF = Format("RTF document", "open it in a word processor and save it as plain text")
_POSTSCRIPT = Format(
    "PostScript document", "extract its text first: ps2ascii FILE text.txt"
)
_TAR = Format(
    "tar archive",
    "unpack it and give the folder: mkdir folder && tar xf FILE -C folder",
)
_ZIP = Format("ZIP archive", _UNZIP)
_EPUB = Format("EPUB book", _PANDOC)
_KINDLE = Format(
    "Kindle book", "convert it first with Calibre: ebook-convert FILE text.txt"
)
_OPENDOCUMENT = Format("OpenDocument text", _PANDOC)
_CHECKPOINT = Format("charrnn checkpoint", f"it holds a model; {_WEIGHTS}")
_NUMPY = Format("NumPy file", _OTHER)
_PYTORCH = Format("PyTorch file", f"it holds a model; {_WEIGHTS}")
_PICKLE = Format("pickle file", _OTHER)
_SAFETENSORS = Format("safetensors file", f"it holds a model; {_WEIGHTS}")
_BITMAP = Format("BMP image", _OTHER)
_PROGRAM = Format("Windows program", _OTHER)
_JAVA = Format("Java class file", _OTHER)
_MACH_O = Format("macOS program", _OTHER)
_BINARY = Format(
    "binary file",
    "no text encoding explains its bytes; give a plain text file",
)


def _unpack_with(name: str, command: str) -> Format:
    return Format(name, f"unpack it first: {command} FILE")


# The first bytes of files, the more special ones first; "?" stands for any byte.
_MAGIC: tuple[tuple[bytes, Format], ...] = (
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        Format(
            "old Office document",
            "open it in its program and save it as plain text (for Word: antiword FILE "
            "> text.txt)",
        ),
    ),
    (b"7z\xbc\xaf\x27\x1c", _unpack_with("7z archive", "7z x")),
    (b"Rar!\x1a\x07", _unpack_with("RAR archive", "unrar x")),
    (b"\x1f\x9d", _unpack_with("compress archive", "uncompress")),
    (b"\x04\x22\x4d\x18", _unpack_with("LZ4 archive", "lz4 -d")),
    (b"\x89LZO\0\r\n\x1a\n", _unpack_with("LZO archive", "lzop -d")),
    (b"LZIP\1", _unpack_with("lzip archive", "lzip -d")),
    (b"\xff\xd8\xff", Format("JPEG image", _OTHER)),
    (b"\x89PNG\r\n\x1a\n", Format("PNG image", _OTHER)),
    (b"GIF87a", Format("GIF image", _OTHER)),
    (b"GIF89a", Format("GIF image", _OTHER)),
    (b"RIFF????WEBP", Format("WebP image", _OTHER)),
    (b"II*\0", Format("TIFF image", _OTHER)),
    (b"MM\0*", Format("TIFF image", _OTHER)),
    (b"\0\0\1\0", Format("icon image", _OTHER)),
    (b"????ftyphei", Format("HEIC image", _OTHER)),
    (b"????ftyphev", Format("HEIC image", _OTHER)),
    (b"????ftypmif1", Format("HEIC image", _OTHER)),
    (b"????ftypavif", Format("AVIF image", _OTHER)),
    (b"AT&TFORM", Format("DjVu document", "extract its text: djvutxt FILE text.txt")),
    (b"ID3", Format("MP3 file", _OTHER)),
    (b"\xff\xfb", Format("MP3 file", _OTHER)),
    (b"\xff\xf3", Format("MP3 file", _OTHER)),
    (b"RIFF????WAVE", Format("WAV file", _OTHER)),
    (b"FORM????AIF", Format("AIFF file", _OTHER)),
    (b"OggS\0", Format("Ogg file", _OTHER)),
    (b"fLaC", Format("FLAC file", _OTHER)),
    (
        b"MThd\0\0\0\6",
        Format("MIDI file", "convert it to text first, for example: midi2abc FILE"),
    ),
    (b"RIFF????AVI ", Format("AVI video", _OTHER)),
    (b"\x1a\x45\xdf\xa3", Format("Matroska video", _OTHER)),
    (b"????ftyp", Format("MP4 file", _OTHER)),
    (b"SQLite format 3\0", Format("SQLite database", "export its text as a file")),
    (b"\x7fELF", Format("ELF program", _OTHER)),
    (b"\xfe\xed\xfa\xce", _MACH_O),
    (b"\xfe\xed\xfa\xcf", _MACH_O),
    (b"\xce\xfa\xed\xfe", _MACH_O),
    (b"\xcf\xfa\xed\xfe", _MACH_O),
    (b"\0asm", Format("WebAssembly program", _OTHER)),
    (b"\x93NUMPY", _NUMPY),
    (b"\x89HDF\r\n\x1a\n", Format("HDF5 file", _OTHER)),
    (b"PAR1", Format("Parquet file", "export its text column as a file")),
    (b"ARROW1\0\0", Format("Arrow file", "export its text column as a file")),
    (b"GGUF", Format("GGUF file", f"it holds a model; {_WEIGHTS}")),
    (b"\0\1\0\0\0", Format("font", _OTHER)),
    (b"OTTO\0", Format("font", _OTHER)),
    (b"ttcf\0", Format("font", _OTHER)),
    (b"wOFF", Format("font", _OTHER)),
    (b"wOF2", Format("font", _OTHER)),
)


def identify(first_bytes: bytes, open_file: Opener | None = None) -> Format | None:
    """Return the format of a file that is no plain text, or None for a text.

    first_bytes are some thousand bytes; open_file opens the whole file, to look into
    ZIP archives, and is None if that is not possible. Text with markup (HTML, LaTeX) is
    text, except RTF and PostScript, which hardly show it.
    """
    head = first_bytes
    if re.match(rb"\s{0,9}%PDF-\d", head):
        return _PDF
    if head.startswith(b"{\\rtf"):
        return _RTF
    if head.startswith(b"%!PS"):
        return _POSTSCRIPT
    if not _CONTROLS.search(head):
        return None
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return _zip_format(_member_names(head, open_file))
    return _by_magic(head) or _by_structure(head) or _by_bytes(head)


def check_plain_text(stream: ByteStream, open_file: Opener | None = None) -> None:
    """Raise TextError, naming the format, if a stream holds no plain text."""
    if found := identify(stream.head, None if stream.compression else open_file):
        raise found.error(stream.path)


# Control characters that texts do not have. Texts may have tabs, line ends, form feeds,
# backspaces, bells, Ctrl-Z (the end of a DOS text) and escapes (colours in a log, and
# Japanese).
_CONTROLS = re.compile(rb"[\x00-\x06\x0e-\x19\x1c-\x1f\x7f]")


def _by_magic(head: bytes) -> Format | None:
    return next((kind for magic, kind in _MAGIC if _begins(head, magic)), None)


def _begins(head: bytes, magic: bytes) -> bool:
    start = head[: len(magic)]
    return len(start) == len(magic) and all(
        wanted in (byte, ord("?")) for byte, wanted in zip(start, magic, strict=True)
    )


def _by_structure(head: bytes) -> Format | None:
    """Recognise formats by several fields, because their magic numbers are short."""
    if head[257:262] == b"ustar":
        return _TAR
    if head[60:68] in (b"BOOKMOBI", b"TEXtREAd"):
        return _KINDLE
    if head.startswith(b"BM") and head[6:10] == bytes(4) and head[15:18] == bytes(3):
        return _BITMAP
    if head.startswith(b"MZ") and b"\0" in head[:64]:
        return _PROGRAM
    if head.startswith(b"\xca\xfe\xba\xbe"):
        # Here a class file has its version, and a program its number of parts.
        return _MACH_O if int.from_bytes(head[4:8], "big") < 30 else _JAVA
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return _PYTORCH if head[2:4] == b"\x8a\x0a" else _PICKLE
    if head[8:10] == b'{"' and head[4:8] == bytes(4):
        return _SAFETENSORS
    return None


def _member_names(head: bytes, open_file: Opener | None) -> list[str]:
    """Return the names in a ZIP archive: all of them, or those at its start."""
    if open_file:
        try:
            with open_file() as file:
                if _has_small_directory(file):
                    return zipfile.ZipFile(file).namelist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            pass
    names = [
        head[header.end() :][: int.from_bytes(header[1], "little")]
        for header in re.finditer(rb"PK\x03\x04.{22}(..)..", head, re.DOTALL)
    ]
    return [name.decode("latin-1") for name in names] + _mimetype(head)


def _has_small_directory(file: BinaryIO) -> bool:
    """Return whether the directory of a ZIP archive fits into memory easily."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _ZIP_END))
    end = file.read()
    at = end.rfind(b"PK\5\6")
    # ZIP64, which has another end before this one, is for archives of gigabytes.
    is_zip64 = end[max(0, at - 20) : at].startswith(b"PK\6\7")
    declared = int.from_bytes(end[at + 12 : at + 16], "little")
    return at >= 0 and not is_zip64 and declared <= _LARGEST_DIRECTORY


def _mimetype(head: bytes) -> list[str]:
    """Return the type that EPUB and OpenDocument files give at their start."""
    found = re.match(rb"PK\x03\x04.{26}mimetype([a-z./+-]+)", head, re.DOTALL)
    return [found[1].decode()] if found else []


# Names of members, or the start of names, that tell what an archive is.
_TELLING: tuple[tuple[str, Format], ...] = (
    ("word/", Format("Word document", _PANDOC)),
    ("xl/", Format("Excel document", _SHEET)),
    ("ppt/", Format("PowerPoint document", _SLIDES)),
    ("META-INF/container.xml", _EPUB),
    ("application/epub+zip", _EPUB),
    ("META-INF/manifest.xml", _OPENDOCUMENT),
    ("application/vnd.oasis.opendocument", _OPENDOCUMENT),
    ("header.npy", _CHECKPOINT),
)


def _zip_format(names: list[str]) -> Format:
    for start, kind in _TELLING:
        if any(name.startswith(start) for name in names):
            return kind
    if any(name.endswith("/data.pkl") for name in names):
        return _PYTORCH
    if names and all(name.endswith(".npy") for name in names):
        return _NUMPY
    return _ZIP


_MOST_CONTROLS = 0.05  # of random bytes, a tenth are control characters
_MOST_CONTROLS_UTF8 = 0.3  # they may separate the fields of a text


def _by_bytes(head: bytes) -> Format | None:
    """Recognise data by their control characters, unless an encoding explains them."""
    share = len(_CONTROLS.findall(head)) / len(head)
    if share <= (_MOST_CONTROLS_UTF8 if is_utf8(head) else _MOST_CONTROLS):
        return None
    return None if marked_encoding(head) or wide_encoding(head) else _BINARY
