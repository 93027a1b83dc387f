"""A corpus from what a caller gives: one or several paths or strings."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from charrnn.errors import ConfigError, TextError
from charrnn.text.corpus import Corpus, from_text, join_texts, read_corpus
from charrnn.text.encodings import BYTES

PathLike: TypeAlias = str | os.PathLike[str]
Paths: TypeAlias = PathLike | Sequence[PathLike]
Texts: TypeAlias = str | Sequence[str]

_LONGEST_NAME = 255  # of a file, on every usual file system


def new_corpus(
    paths: Paths | None, text: Texts | None, *, encoding: str = "utf-8"
) -> Corpus:
    """Return the corpus to train on: some files, or a text itself.

    Raises ConfigError unless exactly one of the two is given, and TextError if there is
    nothing to read.
    """
    found = text_or_paths(paths, text)
    if found is None:
        raise ConfigError(
            "no text; give the path of a file or folder, or the text itself as text=…"
        )
    if not isinstance(found, Corpus):
        return read_corpus(found, encoding=encoding)
    if encoding == BYTES:
        raise ConfigError(
            "encoding is 'bytes' but text is a string; expected the path of a file"
        )
    return found


def text_or_paths(
    paths: Paths | None, text: Texts | None
) -> Corpus | list[str | Path] | None:
    """Return the corpus of a text, or the list of paths, or None if neither is given.

    Several texts are joined as files are, each starting on a new line.
    """
    if paths is not None and text is not None:
        raise ConfigError("paths and text exclude each other; give one of them")
    if text is not None:
        return from_text(_join(text))
    return None if paths is None else _path_list(paths)


def _join(text: Texts) -> str:
    parts = [text] if isinstance(text, str) else [*text]
    for part in parts:
        if not isinstance(part, str):
            raise TextError(
                f"text holds a {type(part).__name__}; expected a str, or several"
            )
    joined = join_texts(parts) if parts else ""
    if not joined:
        raise TextError("text is empty; expected a text to learn from")
    if "\n" not in joined and len(joined) <= _LONGEST_NAME and _is_file(joined):
        raise TextError(
            f"text is {joined!r}, the name of a file; give the file as paths instead"
        )
    return joined


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def _path_list(paths: Paths) -> list[str | Path]:
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
