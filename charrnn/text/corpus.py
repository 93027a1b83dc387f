"""Texts to learn from: reading, checking, joining and splitting them."""

import hashlib
import stat
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PureWindowsPath
from typing import Any

from charrnn.errors import TextError
from charrnn.nn.parameters import Array
from charrnn.option import is_count, is_number
from charrnn.text.encodings import BYTES, decode
from charrnn.text.vocab import Vocabulary

STDIN = "-"
# Bytes per character: more than any codec needs, CRLF line ends included.
_MOST_BYTES = 16


@dataclass(frozen=True)
class CorpusInfo:
    """What a checkpoint records about the text that its model was trained on."""

    name: str = ""
    sha256: str = ""  # of the files' bytes, one after another; "" if unknown
    characters: int = 0
    encoding: str = "utf-8"  # a Python codec, or BYTES
    files: tuple[str, ...] = ()

    @property
    def reads_bytes(self) -> bool:
        """Whether the characters stand for bytes, byte b as `chr(b)`."""
        return self.encoding == BYTES

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them."""
        return asdict(self) | {"files": list(self.files)}

    @classmethod
    def from_json(cls, value: object) -> "CorpusInfo":
        """Read what `to_json` returned; missing fields get their defaults.

        Raises TextError for values of another type.
        """
        known = _known(cls, "corpus", value)
        files = known.pop("files", [])
        if not isinstance(files, list) or not all(isinstance(f, str) for f in files):
            raise TextError(f"corpus: files is {files!r:.40}; expected a list of names")
        for name, text in known.items():
            if name == "characters":
                _check_count("corpus", name, text)
            elif not isinstance(text, str):
                raise TextError(f"corpus: {name} is {text!r:.40}; expected a string")
        info = cls(**known, files=tuple(files))
        if not info.encoding.isprintable():
            raise TextError(
                f"corpus: encoding is {info.encoding!r:.40}; expected a codec's name"
            )
        return info


@dataclass(frozen=True)
class SplitInfo:
    """How a checkpoint's text was split into training and validation characters."""

    val_fraction: float = 0.1
    train: int = 0  # characters; 0 if unknown
    val: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> "SplitInfo":
        """Read what `to_json` returned; missing fields get their defaults.

        Raises TextError for values of another type or size.
        """
        info = cls(**_known(cls, "split", value))
        _check_count("split", "train", info.train)
        _check_count("split", "val", info.val)
        number = info.val_fraction
        if not is_number(number):
            raise TextError(f"split: val_fraction is {number!r:.40}; expected a number")
        if not 0 < number < 1:
            raise TextError(f"split: val_fraction is {number}; expected 0 to 1")
        return info


def _known(kind: type[Any], what: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TextError(f"{what} is {value!r:.40}; expected a JSON object")
    names = {field.name for field in fields(kind)}
    return {name: entry for name, entry in value.items() if name in names}


def _check_count(what: str, name: str, value: object) -> None:
    if not is_count(value):
        raise TextError(f"{what}: {name} is {value!r:.40}; expected a whole number")


@dataclass
class Corpus:
    """A text and where it came from."""

    name: str
    text: str
    sha256: str  # of the files' bytes, one after another
    encoding: str = "utf-8"
    files: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # changes made on reading

    def vocabulary(self) -> Vocabulary:
        """Return the distinct characters, or all 256 symbols of a binary corpus."""
        if self.encoding == BYTES:
            return Vocabulary.of_bytes()
        return Vocabulary.of(self.text)

    def info(self) -> CorpusInfo:
        """Return what a checkpoint records about the corpus."""
        return CorpusInfo(
            self.name, self.sha256, len(self.text), self.encoding, tuple(self.files)
        )


def from_text(text: str, name: str = "text") -> Corpus:
    """Return a string as a corpus."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return Corpus(name, text, digest)


def read_corpus(
    sources: list[str | Path], *, encoding: str = "utf-8", name: str | None = None
) -> Corpus:
    """Read and join files, folders (their files, sorted by path) or `-` (stdin).

    encoding is a Python codec, or "bytes". A byte-order mark is dropped and CRLF line
    ends become LF; `notes` lists these changes. Raises TextError, naming the file and
    the offset, if something cannot be read or decoded.
    """
    paths = [path for source in sources for path in _files(source)]
    digest = hashlib.sha256()
    parts, notes = [], []
    for path in paths:
        data = _read(path)
        digest.update(data)
        part, changes = decode(data, encoding, printable(path))
        parts.append(part)
        notes += [f"{printable(path)}: {note}" for note in changes]
    if len(paths) > 1:
        notes.append(f"joined {len(paths)} files, in this order: {_listed(paths)}")
    text = "".join(parts) if encoding == BYTES else join_texts(parts)
    if not text:
        raise TextError(f"{_listed(paths)}: empty; expected a text to learn from")
    return Corpus(
        name or _name(sources), text, digest.hexdigest(), encoding, paths, notes
    )


def reopen_corpus(info: CorpusInfo, text: Sequence[str | Path] | None = None) -> Corpus:
    """Return the text that a checkpoint was trained on.

    `text` lists the files or folders that hold it now; by default, it is read from the
    files that the checkpoint names. A checkpoint is not trusted: of the files that it
    names, only regular ones of a plausible size are opened. Raises TextError if the
    text cannot be read, or is not the one that `info` describes.
    """
    sources = [*text] if text else _recorded_files(info)
    corpus = read_corpus(sources, encoding=info.encoding, name=info.name or None)
    check_digest(corpus, info)
    return corpus


def check_digest(corpus: Corpus, info: CorpusInfo) -> None:
    """Raise TextError if a corpus is not the one that a checkpoint was trained on."""
    if info.sha256 and corpus.sha256 != info.sha256:
        where = _listed(corpus.files) or printable(corpus.name)
        raise TextError(
            f"{where}: SHA-256 {corpus.sha256[:12]}… is not that of the text that this "
            f"model was trained on ({printable(info.sha256[:12])}…)"
        )


def _recorded_files(info: CorpusInfo) -> list[str | Path]:
    """Return the files that a checkpoint names, if they can hold its text."""
    if STDIN in info.files:
        raise TextError("its text came from standard input, which cannot be read again")
    if not info.files or not info.sha256:
        raise TextError("no file is recorded as its text")
    size = sum(map(_regular_size, info.files))
    if size > _MOST_BYTES * (info.characters + len(info.files)):
        raise TextError(
            f"{_listed(info.files)}: {size:,} bytes are too many for the "
            f"{info.characters:,} characters that this model was trained on"
        )
    return [*info.files]


def _regular_size(file: str) -> int:
    """Return the size of a file in bytes. Raises TextError if it is not regular."""
    if PureWindowsPath(file).drive.startswith("\\\\"):  # opening it would log in there
        raise TextError(f"{printable(file)}: on another computer; it is not opened")
    try:
        found = Path(file).stat()
    except FileNotFoundError:
        raise TextError(f"{printable(file)}: no such file") from None
    except (OSError, ValueError) as error:
        raise _no_file(file, error) from None
    if not stat.S_ISREG(found.st_mode):
        raise TextError(f"{printable(file)}: not a regular file; it is not opened")
    return found.st_size


def printable(name: str) -> str:
    """Return a name that is safe to print: quoted and escaped if necessary."""
    return name if name.isprintable() else repr(name)


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
    """Return the error for a string that no file can have as its name."""
    why = getattr(error, "strerror", None) or error
    return TextError(f"{str(source)[:40]!r}: no such file ({why})")


def _read(path: str) -> bytes:
    if path == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise TextError(
            f"{printable(path)}: no such file; expected a text, a folder of texts, or "
            "- for standard input"
        ) from None
    except ValueError as error:
        raise _no_file(path, error) from None
    except OSError as error:
        raise TextError(
            f"{printable(path)}: cannot be read: {error.strerror}"
        ) from error


def join_texts(parts: list[str]) -> str:
    """Join texts, each starting on a new line."""
    return "".join(
        part if last or not part or part.endswith("\n") else part + "\n"
        for part, last in zip(parts, [False] * (len(parts) - 1) + [True], strict=True)
    )


def _name(sources: list[str | Path]) -> str:
    if str(sources[0]) == STDIN:
        return "stdin"
    return Path(sources[0]).resolve().stem


def _listed(paths: Sequence[str], at_most: int = 5) -> str:
    more = len(paths) - at_most
    listed = ", ".join(map(printable, paths[:at_most]))
    return listed + (f" and {more} more" if more > 0 else "")


def split(ids: Array, val_fraction: float) -> tuple[Array, Array]:
    """Return views of the training part (the start) and of the validation part."""
    cut = int(len(ids) * (1 - val_fraction))
    return ids[:cut], ids[cut:]
