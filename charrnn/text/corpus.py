"""A text to learn from: read, checked, joined, and split in two."""

import hashlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charrnn.errors import TextError
from charrnn.nn.parameters import Array
from charrnn.text.encodings import likely_encodings
from charrnn.text.vocab import Vocabulary

STDIN = "-"
BYTES = "bytes"  # stands for an encoding where a file is a sequence of 256 symbols
_BOM = "\ufeff"


@dataclass
class Corpus:
    """A text and where it came from."""

    name: str
    text: str
    sha256: str  # of the files' bytes, one after another
    encoding: str = "utf-8"
    files: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what was done to it, to be said

    def vocabulary(self) -> Vocabulary:
        """Return the distinct characters, or all 256 symbols of a binary corpus."""
        if self.encoding == BYTES:
            return Vocabulary.of_bytes()
        return Vocabulary.of(self.text)

    def describe(self) -> dict[str, Any]:
        """Return what a checkpoint records of the corpus."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "characters": len(self.text),
            "encoding": self.encoding,
            "files": self.files,
        }


def from_text(text: str, name: str = "text") -> Corpus:
    """Return a corpus of a string."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return Corpus(name, text, digest)


def read_corpus(
    sources: list[str | Path], *, encoding: str = "utf-8", name: str | None = None
) -> Corpus:
    """Read files, folders (their files, in the order of their paths) or `-`, and join.

    encoding is a Python codec, or "bytes". A byte-order mark is dropped and CRLF line
    ends become LF; `notes` says so. Raises TextError where something cannot be read or
    decoded, naming the file and the offset.
    """
    paths = [path for source in sources for path in _files(source)]
    digest = hashlib.sha256()
    parts, notes = [], []
    for path in paths:
        data = _read(path)
        digest.update(data)
        part, said = _decode(data, encoding, path)
        parts.append(part)
        notes += [f"{path}: {note}" for note in said]
    if len(paths) > 1:
        notes.append(f"joined {len(paths)} files, in this order: {_listed(paths)}")
    text = "".join(parts) if encoding == BYTES else _join(parts)
    if not text:
        raise TextError(f"{_listed(paths)}: empty; expected a text to learn from")
    return Corpus(
        name or _name(sources), text, digest.hexdigest(), encoding, paths, notes
    )


def _files(source: str | Path) -> list[str]:
    path = Path(source)
    try:
        if str(source) == STDIN or not path.is_dir():
            return [str(source)]
    except OSError as error:
        raise _no_file(source, error) from None
    found = sorted(
        file
        for file in path.rglob("*")
        if file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not found:
        raise TextError(
            f"{path}: no files in this folder; expected texts to learn from"
        )
    return [str(file) for file in found]


def _no_file(source: str | Path, error: Exception) -> TextError:
    """Return the error of a name that no file can have, a text itself perhaps."""
    why = getattr(error, "strerror", None) or error
    return TextError(f"{str(source)[:40]!r}: no such file ({why})")


def _read(path: str) -> bytes:
    if path == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise TextError(
            f"{path}: no such file; expected a text, a folder of texts, or - for "
            "standard input"
        ) from None
    except ValueError as error:
        raise _no_file(path, error) from None
    except OSError as error:
        raise TextError(f"{path}: cannot be read: {error.strerror}") from error


def _decode(data: bytes, encoding: str, path: str) -> tuple[str, list[str]]:
    if encoding == BYTES:
        return data.decode("latin-1"), []
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        # Some codecs count from after the byte-order mark.
        offset = error.start + len(data) - len(error.object)
        raise TextError(
            f"{path}: byte 0x{data[offset]:02x} at offset {offset} is not {encoding}; "
            f"{_advice(likely_encodings(data, offset))}"
        ) from None
    except (LookupError, ValueError):
        raise TextError(
            f"encoding {encoding!r} is not known; expected a name such as utf-8, "
            "latin-1 or utf-16"
        ) from None
    notes = []
    if text.startswith(_BOM):
        text = text[1:]
        notes.append("dropped the byte-order mark")
    line_ends = text.count("\r\n")
    if line_ends:
        text = text.replace("\r\n", "\n")
        notes.append(f"turned {line_ends:,} CRLF line ends into LF")
    return text, notes


def _advice(encodings: list[str]) -> str:
    if not encodings:
        return (
            "expected a text in that encoding: give its own with --encoding (latin-1, "
            'cp1252, utf-16 …; in Python: encoding="latin-1"), or learn the bytes '
            'themselves with --bytes (encoding="bytes")'
        )
    first = encodings[0]
    option = f'--encoding {first} (in Python: encoding="{first}")'
    if len(encodings) == 1:
        return f"it looks like {first}: try {option}"
    return f"it may be {' or '.join(encodings)} (check the letters): try {option}"


def _join(parts: list[str]) -> str:
    """Put texts one after another, each starting on a line of its own."""
    return "".join(
        part if last or not part or part.endswith("\n") else part + "\n"
        for part, last in zip(parts, [False] * (len(parts) - 1) + [True], strict=True)
    )


def _name(sources: list[str | Path]) -> str:
    if str(sources[0]) == STDIN:
        return "stdin"
    return Path(sources[0]).resolve().stem


def _listed(paths: list[str], at_most: int = 5) -> str:
    more = len(paths) - at_most
    return ", ".join(paths[:at_most]) + (f" and {more} more" if more > 0 else "")


def split(ids: Array, val_fraction: float) -> tuple[Array, Array]:
    """Return the first part, to train on, and the last, to validate on, as views."""
    cut = int(len(ids) * (1 - val_fraction))
    return ids[:cut], ids[cut:]
