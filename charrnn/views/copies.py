"""Stretches that texts copy from the corpus, and where they are in it, in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.evaluation.shared_stretches import (
    Stretch,
    line_numbers,
    shared_stretches,
)
from charrnn.text.characters import escaped
from charrnn.text.corpus import Corpus

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
    has_lines = "\n" in corpus.vocab and not corpus.documents
    lines = line_numbers(corpus.pieces(), places) if has_lines else places
    where = zip(places, lines, strict=True)
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


def _source(corpus: Corpus, text: str, stretch: Stretch, place: int, line: int) -> str:
    """Return where a stretch is in the corpus; line is that of its first character."""
    if corpus.documents:
        return f"the document that begins {_beginning(corpus, place)!r}"
    several = len(corpus.info.files) > 1
    name = "the training text" if several else escaped(corpus.name)
    if "\n" not in corpus.vocab:
        return f"character {place + 1:,} of {name}"
    last = line + text.count("\n", stretch.start, stretch.end - 1)
    lines = f"line {line:,}" if last == line else f"lines {line:,} to {last:,}"
    return f"{lines} of {name}"


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
