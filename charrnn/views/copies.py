"""Stretches that texts copy from the corpus, and where they are in it, in words."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from charrnn.errors import TextError
from charrnn.evaluation.shared_stretches import Stretch, shared_stretches
from charrnn.text.characters import escaped
from charrnn.text.corpus import Corpus
from charrnn.views.corpus_lines import find_lines

LEAST = 30  # characters; shorter stretches are common phrases
_BEGINNING = 40  # characters of a document that name it
_BACK = 1 << 12  # ids that are searched at a time for the start of a document


@dataclass(frozen=True)
class Copy:
    """A stretch text[start:end] that is also in the corpus."""

    start: int
    end: int
    source: str  # where it is there, such as "lines 12 to 13 of plays.txt"


def find_copies(
    texts: Sequence[str], corpus: Corpus, characters: int
) -> list[list[Copy]]:
    """Return all stretches of each text, of 30 characters or more, that are copied.

    Of the corpus, only about so many characters are searched, spread over it.
    """
    pieces = corpus.spread(characters)
    gaps = characters < corpus.characters
    found = shared_stretches(texts, pieces, LEAST, gaps=gaps)
    places = [
        corpus.place_of(stretch.place, characters)
        for stretches in found
        for stretch in stretches
    ]
    where = zip(places, _lines(corpus, places), strict=True)
    return [
        [
            Copy(stretch.start, stretch.end, _source(corpus, text, stretch, *spot))
            for stretch, spot in zip(stretches, where, strict=False)
        ]
        for text, stretches in zip(texts, found, strict=True)
    ]


def sources(copies: Sequence[Copy], characters: int) -> list[str]:
    """Return where each character of a text is copied from, or "" if it is not.

    If it belongs to several stretches, the longest one counts.
    """
    found = [""] * characters
    for copy in sorted(copies, key=lambda copy: copy.end - copy.start):
        size = copy.end - copy.start
        found[copy.start : copy.end] = [f"copied from {copy.source}"] * size
    return found


def _lines(corpus: Corpus, places: Sequence[int]) -> list[tuple[int | None, str]]:
    """Return the line of each place and its file, or (None, "") if it has none."""
    if "\n" in corpus.vocab and not corpus.documents:
        with suppress(TextError):  # one of several files is gone
            return [*find_lines(corpus, places)]
    return [(None, "")] * len(places)


def _source(
    corpus: Corpus,
    text: str,
    stretch: Stretch,
    place: int,
    where: tuple[int | None, str],
) -> str:
    """Return where a stretch is in the corpus; where is that of its first character."""
    if corpus.documents:
        return f"the document that begins {_beginning(corpus, place)!r}"
    line, file = where
    name = escaped(_short(file, corpus.info.files) if file else corpus.name)
    if line is None:
        return f"character {place + 1:,} of {name}"
    last = line + text.count("\n", stretch.start, stretch.end - 1)
    lines = f"line {line:,}" if last == line else f"lines {line:,} to {last:,}"
    return f"{lines} of {name}"


def _short(file: str, files: Sequence[str]) -> str:
    """Return the path of one of several files from the folder that holds them all."""
    folders = {os.path.dirname(each) for each in files}  # noqa: PTH120
    try:
        return os.path.relpath(file, os.path.commonpath(folders))
    except ValueError:  # they are on several drives of Windows
        return file


def _beginning(corpus: Corpus, place: int) -> str:
    """Return the first characters of the document that a place is in."""
    end_id, start = corpus.vocab.end_id, place
    while start > 0:
        before = np.asarray(corpus.ids[max(0, start - _BACK) : start])
        ends = np.flatnonzero(before == end_id)
        if ends.size:
            start += int(ends[-1]) + 1 - before.size
            break
        start -= before.size
    if corpus.ids[start] == end_id:
        start += 1
    text = "".join(corpus.pieces(start, start + _BEGINNING))
    return text.partition("\n")[0]
