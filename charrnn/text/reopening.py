"""Find and read again the text that a checkpoint was trained on."""

import hashlib
import ntpath
import os
import re
import stat
from collections.abc import Iterator, Sequence
from os.path import commonpath, normpath, realpath
from pathlib import Path, PurePath, PureWindowsPath

from charrnn.config import TextConfig
from charrnn.errors import TextError
from charrnn.text.cache import absolute, stamps_of
from charrnn.text.corpus import Corpus
from charrnn.text.corpus_info import CorpusInfo
from charrnn.text.reading import Progress, read_corpus
from charrnn.text.streams import STDIN, listed, open_stream, printable

# Bytes per character: more than any codec needs, CRLF line ends included.
_MOST_BYTES = 16
_CHUNK = 1 << 22  # bytes read at a time
_SHOWN = 200  # characters of a stranger's path in a message
# Devices of Windows, with any ending; and a colon, which names a stream of a file.
_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(\.|$)|.*:",
    re.IGNORECASE,
)


class MissingTextError(TextError):
    """The text of a checkpoint is not where the checkpoint says."""


class ChangedTextError(TextError):
    """The text of a checkpoint has changed since, or this is another text."""


def reopen_corpus(
    info: CorpusInfo,
    text: Sequence[str | Path] | None = None,
    *,
    beside: Path | None = None,
    trusted: bool = False,
    progress: Progress | None = None,
) -> Corpus:
    """Return the text that a checkpoint was trained on.

    `text` lists the files or folders that hold it now; by default, it is read from the
    files that the checkpoint names: where they were, or where they now are relative to
    `beside`, the checkpoint's folder. Unless the checkpoint is this user's own, or
    `trusted`, they must be in `beside` or below it. Of all these files, only regular
    ones of a plausible size are opened. Raises TextError if the text cannot be read,
    or is not the one that `info` describes.
    """
    sources = [*text] if text else _recorded_files(info, beside, trusted)
    _check_growth(info, sources, regular=not text)
    corpus = read_corpus(
        sources,
        info.config,
        name=info.name or None,
        seed=info.seed,
        progress=progress,
        regular=not text,
    )
    check_digest(corpus, info, listed([*map(str, sources)]))
    return corpus


def check_digest(corpus: Corpus, info: CorpusInfo, where: str = "") -> None:
    """Raise TextError if a corpus is not the one that a checkpoint was trained on.

    `where` names the corpus in the message.
    """
    if info.sha256 and corpus.info.sha256 != info.sha256:
        raise ChangedTextError(
            f"{where or printable(corpus.name)}: SHA-256 "
            f"{corpus.info.sha256[:12]}… is not that of the text that this model was "
            f"trained on ({printable(info.sha256[:12])}…)"
        )


def _check_growth(
    info: CorpusInfo, sources: Sequence[str | Path], *, regular: bool
) -> None:
    """Raise TextError if a text has grown, before all of it is read."""
    path = str(sources[0])
    stamps = [] if path == STDIN or len(sources) > 1 else stamps_of([path])
    if not info.bytes or not stamps or stamps[0][1] <= info.bytes:
        return
    digest, left = hashlib.sha256(), info.bytes
    with open_stream(path, unpack=False, regular=regular) as stream:
        while left and (data := stream.read(min(left, _CHUNK))):
            digest.update(data)
            left -= len(data)
    if digest.hexdigest() == info.sha256:
        raise ChangedTextError(
            f"{printable(path)}: has grown by {stamps[0][1] - info.bytes:,} bytes "
            "since this model was trained on it"
        )


def text_arguments(
    info: CorpusInfo,
    text: Sequence[str | Path] | None = None,
    *,
    beside: Path | None = None,
    at_most: int = 5,
) -> list[str]:
    """Return the files of a text, or the folder of all if there are more than at_most.

    The parameters are those of `reopen_corpus`. Raises MissingTextError.
    """
    files = [*map(str, text or _recorded_files(info, beside))]
    return files if len(files) <= at_most else [commonpath(files)]


def reading_options(info: CorpusInfo) -> list[str]:
    """Return the options with which `charrnn train` reads a text in the same way."""
    if info.reads_bytes:
        return ["--bytes"]
    options = []
    if info.encoding not in ("", "utf-8"):
        options += ["--encoding", info.encoding]
    if info.normalize != TextConfig().normalize:
        options += ["--normalize", info.normalize]
    if info.documents:  # escaped, as the option expects it
        escaped = info.documents.encode("unicode_escape").decode("ascii")
        options += ["--documents", escaped]
    if info.max_vocab:
        options += ["--max-vocab", str(info.max_vocab)]
    return options


def _recorded_files(
    info: CorpusInfo, beside: Path | None, trusted: bool = False
) -> list[str | Path]:
    """Return the files that a checkpoint names, if they can hold its text."""
    if STDIN in info.files:
        raise MissingTextError(
            "its text came from standard input or a pipe, which cannot be read again"
        )
    if not info.files or not info.sha256:
        raise MissingTextError("no file is recorded as its text")
    places = [*_own_places(info, beside)] if trusted or info.is_own else []
    places += _places_beside(info, beside)
    found: list[tuple[int, tuple[str, ...]]] = []  # bytes, and files
    missing: MissingTextError | None = None
    for files in places:
        try:
            found.append((sum(map(_regular_size, files)), files))
        except MissingTextError as error:
            missing = missing or error
    if not found:
        raise missing or _somebody_elses(info)
    # A file of the same name may have taken the place of the text.
    found.sort(key=lambda place: place[0] != info.bytes)
    size, files = found[0]
    if size > _MOST_BYTES * (info.characters + len(files)):
        raise TextError(
            f"{listed(files)}: {size:,} bytes are too many for the "
            f"{info.characters:,} characters that this model was trained on"
        )
    return [*files]


def _own_places(info: CorpusInfo, beside: Path | None) -> Iterator[tuple[str, ...]]:
    """Yield where files may be: where they were, and as seen from the checkpoint."""
    yield info.files
    if beside and len(info.relative) == len(info.files):
        yield tuple(normpath(beside / file) for file in info.relative)


def _places_beside(info: CorpusInfo, beside: Path | None) -> Iterator[tuple[str, ...]]:
    """Yield where files may be in the folder of a checkpoint that anybody has made."""
    if not beside:
        return
    for names in (info.relative, [*map(ntpath.basename, info.files)]):
        places = [_below(beside, name) for name in names]
        if places and len(places) == len(info.files) and all(places):
            yield tuple(places)


def _below(folder: Path, name: str) -> str:
    """Return the path of a file in a folder or below it, or "" if it is not there.

    Links are followed first.
    """
    try:
        root, path = realpath(folder), absolute(normpath(folder / name))
        # The name is looked at before the disk is: a path may be on the network.
        if _is_within(path, absolute(folder)) and not _names_a_device(path):
            path = realpath(path, strict=True)
            return path if _is_within(path, root) else ""
    except (OSError, ValueError):  # there is none, or it is no name
        pass
    return ""


def _is_within(path: str, folder: str) -> bool:
    return PurePath(path).is_relative_to(folder)


def _names_a_device(path: str, windows: bool = os.name == "nt") -> bool:
    """Return whether Windows takes a name in a path for a device or a stream."""
    names = PureWindowsPath(path).parts[1:] if windows else ()
    return any(_DEVICE.match(name) for name in names)


def _somebody_elses(info: CorpusInfo) -> MissingTextError:
    files = [
        file if len(file) <= _SHOWN else f"…{file[-_SHOWN:]}" for file in info.files
    ]
    return MissingTextError(
        f"{listed(files)}: not opened, because somebody else (or an older "
        "charrnn) recorded it; there is no such file beside the checkpoint"
    )


def _regular_size(file: str) -> int:
    """Return the size of a file in bytes. Raises TextError if it is not regular."""
    try:
        found = Path(file).stat()
    except FileNotFoundError:
        raise MissingTextError(f"{printable(file)}: no such file") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise MissingTextError(f"{file[:40]!r}: no such file ({why})") from None
    if not stat.S_ISREG(found.st_mode):
        raise MissingTextError(
            f"{printable(file)}: not a regular file; it is not opened"
        )
    return found.st_size
