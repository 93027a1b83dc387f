"""A corpus from what a caller gives: one or several paths or strings."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from charrnn.config import BYTES, TextConfig
from charrnn.errors import ConfigError, TextError
from charrnn.text.corpus_info import CorpusInfo

# What reads texts is imported when one is read: sampling starts faster without it.
if TYPE_CHECKING:
    from charrnn.text.corpus import Corpus
    from charrnn.text.reading import Progress

PathLike: TypeAlias = str | os.PathLike[str]
Paths: TypeAlias = PathLike | Sequence[PathLike]
Texts: TypeAlias = str | Sequence[str]

_LONGEST_NAME = 255  # of a file, on every usual file system


def new_corpus(
    paths: Paths | None,
    text: Texts | None,
    config: TextConfig,
    *,
    glob: Sequence[str] = (),
    seed: int = 0,
) -> "Corpus":
    """Return the corpus to train on: some files, or a text itself.

    Raises ConfigError unless exactly one of the two is given, and TextError if there is
    nothing to read.
    """
    from charrnn.text.reading import from_text, read_corpus

    _check_one(paths, text)
    if paths is not None:
        return read_corpus(path_list(paths), config, glob=glob, seed=seed)
    if text is None:
        raise ConfigError(
            "no text; give the path of a file or folder, or the text itself as text=…"
        )
    if config.encoding == BYTES:
        raise ConfigError(
            "encoding is 'bytes' but text is a string; expected the path of a file"
        )
    return from_text(_strings(text), config, seed=seed)


def same_corpus(
    info: CorpusInfo,
    paths: Paths | None = None,
    text: Texts | None = None,
    *,
    beside: Path | None = None,
    trusted: bool = False,
    progress: "Progress | None" = None,
) -> "Corpus":
    """Return the text that a checkpoint was trained on; see `reopen_corpus`.

    Raises TextError if it is another text, and ConfigError if both are given.
    """
    from charrnn.text.reading import from_text
    from charrnn.text.reopening import check_digest, reopen_corpus

    _check_one(paths, text)
    if text is None:
        given = None if paths is None else path_list(paths)
        return reopen_corpus(
            info, given, beside=beside, trusted=trusted, progress=progress
        )
    corpus = from_text(_strings(text), info.config, seed=info.seed)
    check_digest(corpus, info)
    return corpus


def _check_one(paths: Paths | None, text: Texts | None) -> None:
    if paths is not None and text is not None:
        raise ConfigError("paths and text exclude each other; give one of them")


def _strings(text: Texts) -> list[str]:
    """Return a list of texts. Raises TextError if they are not texts."""
    parts = [text] if isinstance(text, str) else [*text]
    for part in parts:
        if not isinstance(part, str):
            raise TextError(
                f"text holds a {type(part).__name__}; expected a str, or several"
            )
    if not any(parts):
        raise TextError("text is empty; expected a text to learn from")
    only = parts[0] if len(parts) == 1 else "\n"
    if "\n" not in only and len(only) <= _LONGEST_NAME and _is_file(only):
        raise TextError(
            f"text is {only!r}, the name of a file; give the file as paths instead"
        )
    return parts


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def path_list(paths: Paths) -> list[str | Path]:
    """Return a list of paths. Raises TextError if one of them looks like a text."""
    several = [paths] if isinstance(paths, str | os.PathLike) else [*paths]
    found: list[str | Path] = []
    for path in several:
        if not isinstance(path, str | os.PathLike):
            raise TextError(
                f"{type(path).__name__} is not a path; expected a str or a Path"
            )
        name = os.fspath(path)
        if "\n" in name or max(map(len, Path(name).parts), default=0) > _LONGEST_NAME:
            raise TextError(
                f"{name[:40]!r}…: no such file; to give the text itself, write text=…"
            )
        found.append(path if isinstance(path, str) else Path(path))
    if not found:
        raise TextError("an empty list of paths; expected at least one")
    return found
