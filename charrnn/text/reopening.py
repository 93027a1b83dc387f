"""Find and read again the text that a checkpoint was trained on."""

import hashlib
import stat
from collections.abc import Sequence
from os.path import normpath
from pathlib import Path, PureWindowsPath

from charrnn.errors import TextError
from charrnn.shell import quote
from charrnn.text.cache import stamps_of
from charrnn.text.corpus import Corpus
from charrnn.text.corpus_info import CorpusInfo
from charrnn.text.reading import Progress, read_corpus
from charrnn.text.streams import STDIN, listed, open_stream, printable

# Bytes per character: more than any codec needs, CRLF line ends included.
_MOST_BYTES = 16
_CHUNK = 1 << 22  # bytes read at a time


class MissingTextError(TextError):
    """The text of a checkpoint is not where the checkpoint says."""


class GrownTextError(TextError):
    """The text of a checkpoint has become longer since."""


def reopen_corpus(
    info: CorpusInfo,
    text: Sequence[str | Path] | None = None,
    *,
    beside: Path | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """Return the text that a checkpoint was trained on.

    `text` lists the files or folders that hold it now; by default, it is read from the
    files that the checkpoint names, where they were or where they now are relative to
    `beside`, the checkpoint's folder. A checkpoint is not trusted: of the files that it
    names, only regular ones of a plausible size are opened. Raises TextError if the
    text cannot be read, or is not the one that `info` describes.
    """
    sources = [*text] if text else _recorded_files(info, beside)
    _check_growth(info, sources, beside)
    corpus = read_corpus(
        sources, info.config, name=info.name or None, seed=info.seed, progress=progress
    )
    check_digest(corpus, info, listed([*map(str, sources)]))
    return corpus


def check_digest(corpus: Corpus, info: CorpusInfo, where: str = "") -> None:
    """Raise TextError if a corpus is not the one that a checkpoint was trained on.

    `where` names the corpus in the message.
    """
    if info.sha256 and corpus.info.sha256 != info.sha256:
        raise TextError(
            f"{where or printable(corpus.name)}: SHA-256 "
            f"{corpus.info.sha256[:12]}… is not that of the text that this model was "
            f"trained on ({printable(info.sha256[:12])}…)"
        )


def _check_growth(
    info: CorpusInfo, sources: Sequence[str | Path], beside: Path | None
) -> None:
    """Raise TextError if a text has grown, before all of it is read."""
    path = str(sources[0])
    stamps = [] if path == STDIN or len(sources) > 1 else stamps_of([path])
    if not info.bytes or not stamps or stamps[0][1] <= info.bytes:
        return
    digest, left = hashlib.sha256(), info.bytes
    with open_stream(path, unpack=False) as stream:
        while left and (data := stream.read(min(left, _CHUNK))):
            digest.update(data)
            left -= len(data)
    if digest.hexdigest() == info.sha256:
        weights = printable(quote(str(beside))) if beside else "CHECKPOINT"
        raise GrownTextError(
            f"{printable(path)}: has grown by {stamps[0][1] - info.bytes:,} bytes "
            "since this model was trained on it; to learn the longer text, start a new "
            "run "
            f"from these weights: charrnn train {printable(quote(path))} --init-from "
            f"{weights}"
        )


def _recorded_files(info: CorpusInfo, beside: Path | None) -> list[str | Path]:
    """Return the files that a checkpoint names, if they can hold its text."""
    if STDIN in info.files:
        raise MissingTextError(
            "its text came from standard input or a pipe, which cannot be read again"
        )
    if not info.files or not info.sha256:
        raise MissingTextError("no file is recorded as its text")
    places = [info.files]
    if beside and len(info.relative) == len(info.files):
        places.append(tuple(normpath(beside / file) for file in info.relative))
    missing: MissingTextError | None = None
    for files in places:
        try:
            sizes = [*map(_regular_size, files)]
        except MissingTextError as error:
            missing = missing or error
            continue
        # A file of the same name may have taken the place of the text.
        if info.bytes and sum(sizes) != info.bytes and files != places[-1]:
            continue
        if sum(sizes) > _MOST_BYTES * (info.characters + len(files)):
            raise TextError(
                f"{listed(files)}: {sum(sizes):,} bytes are too many for the "
                f"{info.characters:,} characters that this model was trained on"
            )
        return [*files]
    raise missing or MissingTextError("no file is recorded as its text")


def _regular_size(file: str) -> int:
    """Return the size of a file in bytes. Raises TextError if it is not regular."""
    if PureWindowsPath(file).drive.startswith("\\\\"):  # opening it would log in there
        raise MissingTextError(
            f"{printable(file)}: on another computer; it is not opened"
        )
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
