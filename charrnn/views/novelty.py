"""Whether a text is copied from the corpus of a model, beside a held-out text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from charrnn.errors import TextError
from charrnn.evaluation.loss import OnProgress
from charrnn.evaluation.novel_ngrams import Mask, Pieces, known_ngrams, novel_shares
from charrnn.evaluation.shared_stretches import (
    Stretch,
    line_numbers,
    shared_stretches,
)
from charrnn.generation.language_model import LanguageModel
from charrnn.text.corpus import Corpus
from charrnn.views.corpus_lines import find_lines

LENGTHS = (20, 30, 50)  # of stretches
NGRAMS = range(1, 11)
PASSES = 2  # over the training part, or some more
_LONG = (50, 200)  # lengths for which the longest copies are searched first


@dataclass(frozen=True)
class Copy:
    """A stretch that a text shares with the corpus, and the lines that it starts in.

    Lines count from 1. In a model of documents, that of the corpus is None if its
    documents are too many to tell.
    """

    text: str
    line: int
    corpus_line: int | None
    corpus_file: str = ""  # if the corpus has several; corpus_line counts from there


@dataclass(frozen=True)
class Novelty:
    """What a text shares with a corpus. A share is None if the text is too short."""

    characters: int
    copied: dict[int, float | None]  # share of it in stretches of 20, 30, 50 or more
    longest: int  # characters of the longest stretch, or 0 if below 20
    novel: dict[int, float | None]  # share of its n-grams that the corpus lacks, by n
    copies: list[Copy]  # the longest stretches that do not overlap, the longest first


def novelty(
    model: LanguageModel,
    corpus: Corpus,
    text: str,
    *,
    most: int = 5,
    on_progress: OnProgress | None = None,
) -> tuple[Novelty, Novelty | None]:
    """Return what a text shares with the training text, and what held-out text does.

    Parameters
    ----------
    model : LanguageModel
        The model, which tells the training part of the corpus from the rest.
    corpus : Corpus
        The text that it was trained on, from `model.read_corpus`.
    text : str
        The text; in a model of bytes, `chr(b)` for byte b.
    most : int, optional
        The number of copies to return.
    on_progress : callable, optional
        Called with the number of characters of the training part that were read since
        the last call. It is read PASSES times or a few times more.

    Returns
    -------
    Novelty
        Of the text, compared with the training part.
    Novelty or None
        The yardstick: of as many characters from the start of the validation part,
        compared with the same. None if there is no validation part.
    """
    if not text:
        raise TextError("the text is empty; expected characters to look for")
    train, val = model.parts_of(corpus)
    part = replace(corpus, vocab=model.vocab, ids=train)

    def pieces() -> Iterator[str]:
        for piece in part.pieces():
            yield piece
            if on_progress:
                on_progress(len(piece))

    held_out = _start_of(replace(corpus, vocab=model.vocab, ids=val), len(text))
    texts = [text, held_out] if held_out else [text]
    known = known_ngrams(texts, pieces, [*NGRAMS, *LENGTHS, *_LONG])
    chosen = _copies(texts, known, pieces, most)
    places = [stretch.place for found in chosen for stretch in found[:most]]
    corpus_lines = iter(find_lines(corpus, places))
    result: list[Novelty | None] = []
    for each, has, found in zip(texts, known, chosen, strict=True):
        best = found[:most]
        lines = line_numbers([each], [stretch.start for stretch in best])
        copies = [
            Copy(each[stretch.start : stretch.end], line, *next(corpus_lines))
            for stretch, line in zip(best, lines, strict=True)
        ]
        copied = {n: _share_inside(has[n], n, len(each)) for n in LENGTHS}
        longest = found[0].end - found[0].start if found else 0
        shares = novel_shares({n: has[n] for n in NGRAMS})
        result.append(Novelty(len(each), copied, longest, shares, copies))
    of_text, yardstick = [*result, None][:2]
    assert of_text is not None
    return of_text, yardstick


def _start_of(corpus: Corpus, characters: int) -> str:
    """Return the start of a part of a corpus, without its first end mark."""
    first = 0 if corpus.vocab.end_id is None else 1
    return "".join(corpus.pieces(first, first + characters))


def _copies(
    texts: Sequence[str],
    known: Sequence[Mapping[int, Mask]],
    pieces: Pieces,
    most: int,
) -> list[list[Stretch]]:
    """Return the longest copies of each text, at least one if there is any.

    The corpus is searched for long ones first, of which there are few.
    """
    most = max(1, most)
    chosen: list[list[Stretch]] = [[] for _ in texts]
    for length in sorted({LENGTHS[0], *_LONG}, reverse=True):
        wanted = [
            i
            for i, has in enumerate(known)
            if len(chosen[i]) < most and has[length].any()
        ]
        if wanted:
            some = [texts[i] for i in wanted]
            found = shared_stretches(some, pieces(), length)
            for i, stretches in zip(wanted, found, strict=True):
                chosen[i] = _longest(stretches, most)
    return chosen


def _longest(stretches: Sequence[Stretch], most: int) -> list[Stretch]:
    """Return the longest stretches that do not overlap in the text."""
    chosen: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda each: each.start - each.end):
        if len(chosen) == most:
            break
        if all(stretch.end <= c.start or c.end <= stretch.start for c in chosen):
            chosen.append(stretch)
    return chosen


def _share_inside(known: Mask, length: int, characters: int) -> float | None:
    """Return the share of characters in stretches that start where `known` is true."""
    if characters < length:
        return None
    steps = np.zeros(characters + 1, np.int32)
    starts = np.flatnonzero(known)
    steps[starts] += 1
    steps[starts + length] -= 1
    return float((np.cumsum(steps[:-1]) > 0).mean())
