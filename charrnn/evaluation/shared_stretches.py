"""All stretches that texts share with a corpus, and where they are in it.

The corpus may have gigabytes. It is read once, and hashes tell which of its parts may
be shared. Only these are kept, in batches, and compared with the texts letter by
letter: all starts in both are sorted by what follows them (a suffix array, built by
doubling: Manber and Myers 1993), so that the longest match of a start in the texts is
the start in the corpus next to it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charrnn.errors import ConfigError
from charrnn.evaluation.hashes import Hashed, HashTable, Places
from charrnn.evaluation.stretches import Codes, codes_of

_CHUNK = 1 << 18  # characters of the corpus whose hashes are looked up at a time
_BATCH = 1 << 20  # characters that may be shared and are compared at a time
_TEXT_BORDER, _CORPUS_BORDER = -1, -2  # between parts; they equal no character

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Stretch:
    """A stretch of a text, text[start:end], that the corpus has at `place`, too."""

    start: int
    end: int
    place: int  # of its first character in the corpus


def shared_stretches(
    texts: Sequence[str],
    pieces: Iterable[str],
    length: int,
    *,
    gaps: bool = False,
) -> list[list[Stretch]]:
    """Return each text's stretches of `length` or more characters that a corpus has.

    A stretch that is part of a longer one is left out, so that all have different
    starts and different ends; they may overlap. They come in the order of the text. If
    the corpus has a stretch several times, `place` is one of these places.

    pieces are the corpus in order, of any lengths; each follows right after the one
    before. With `gaps`, something was left out between any two, so that no stretch
    crosses from one to the next. Places are counted over the pieces in either case.

    Memory is bounded by the length of the texts and of a piece. Raises ConfigError
    unless length is 1 or more.
    """
    if length < 1:
        raise ConfigError(f"length is {length}; expected 1 or more characters")
    matches = _Matches(texts, length)
    reader = _Reader(matches, max(map(len, texts), default=0))
    for piece in pieces:
        reader.read(piece)
        if gaps:
            reader.leave_gap()
    reader.finish()
    return [*matches.stretches()]


def line_numbers(pieces: Iterable[str], places: Sequence[int]) -> list[int]:
    """Return the line, from 1, that each place of a text is in.

    pieces are the text in order. Raises ConfigError for a place outside it.
    """
    order = sorted(range(len(places)), key=places.__getitem__)
    numbers = [0] * len(places)
    line, begin, done = 1, 0, 0
    for piece in pieces:
        at = 0
        while done < len(order) and places[order[done]] < begin + len(piece):
            place = places[order[done]] - begin
            line += piece.count("\n", at, place)
            numbers[order[done]] = line
            at, done = place, done + 1
        if done == len(order):
            return numbers
        line += piece.count("\n", at)
        begin += len(piece)
    if done < len(order):
        raise ConfigError(
            f"place {places[order[done]]}; the text has {begin} characters"
        )
    return numbers


def covered(stretches: Iterable[Stretch], characters: int, length: int = 1) -> _Mask:
    """Return which characters (characters,) of a text are in stretches of `length`.

    stretches are those of the text; longer ones count, too.
    """
    inside = np.zeros(characters, np.bool_)
    for stretch in stretches:
        if stretch.end - stretch.start >= length:
            inside[stretch.start : stretch.end] = True
    return inside


class _Reader:
    """Reads a corpus, and keeps what the texts may share with it."""

    def __init__(self, matches: "_Matches", longest: int) -> None:
        self._matches = matches
        # Chunks overlap, and so do batches, so that no stretch is cut in two.
        self._overlap = matches.length - 1
        self._batch_overlap = max(0, longest - 1)
        self._batch_size = max(_BATCH, 2 * self._batch_overlap)
        self._held, self._begin = "", 0  # text that was not searched, and its place
        self._open = _no(self._overlap)  # what of it belongs to a stretch before
        self._codes: list[Codes] = []
        self._places: list[Places] = []
        self._kept = 0

    def read(self, piece: str) -> None:
        text, start, size = self._held + piece, 0, _CHUNK + self._overlap
        while len(text) - start >= size:
            self._search(text[start : start + size], _CHUNK)
            start += _CHUNK
        self._held = text[start:]

    def leave_gap(self) -> None:
        self._search(self._held, len(self._held))
        self._held, self._open = "", _no(self._overlap)
        self._keep(np.array([_CORPUS_BORDER], np.int32), np.array([self._begin]))

    def finish(self) -> None:
        self._search(self._held, len(self._held))
        self._compare()

    def _search(self, text: str, size: int) -> None:
        """Keep what may be shared of the first `size` characters of a text."""
        codes = codes_of(text)
        shared = self._matches.may_have(codes)
        start = min(self._overlap, codes.size)
        shared[:start] |= self._open[:start]
        self._open = shared[size:]
        found = np.flatnonzero(shared[:size])
        self._keep(codes[found], found + self._begin)
        self._begin += size
        if self._kept >= self._batch_size + self._batch_overlap:
            self._compare()

    def _keep(self, codes: Codes, places: Places) -> None:
        self._codes.append(codes)
        self._places.append(places)
        self._kept += codes.size

    def _compare(self) -> None:
        codes, places = np.concatenate(self._codes), np.concatenate(self._places)
        self._matches.compare(codes, places)
        again = slice(max(0, codes.size - self._batch_overlap), None)
        self._codes, self._places, self._kept = [], [], 0
        self._keep(codes[again], places[again])


class _Matches:
    """The longest match in the corpus from each start in the texts, so far."""

    def __init__(self, texts: Sequence[str], length: int) -> None:
        self.length = length
        self._sizes = [*map(len, texts)]
        border = np.array([_TEXT_BORDER], np.int32)
        parts = [part for text in texts for part in (codes_of(text), border)]
        self._codes = np.concatenate([*parts, border])
        self._hashes = Hashed(self._codes).of(length)
        self._table = HashTable(self._hashes)
        _, self._firsts = self._table.look_up(self._hashes)  # starts of equal hashes
        self._lengths = np.zeros(self._codes.size, np.int32)
        self._places = np.zeros(self._codes.size, np.intp)

    def may_have(self, codes: Codes) -> _Mask:
        """Return which characters of a text may belong to a shared stretch."""
        starts, _ = self._table.look_up(Hashed(codes).of(self.length))
        return _spanned(starts, self.length, codes.size)

    def compare(self, codes: Codes, places: Places) -> None:
        """Find the longest matches in parts of the corpus, given by their places."""
        corpus, places = _bordered(codes, places, _CORPUS_BORDER)
        _, found = self._table.look_up(Hashed(corpus).of(self.length))
        shared = _no(self._hashes.size)
        shared[found] = True
        starts = np.flatnonzero(shared[self._firsts])
        own = np.flatnonzero(_spanned(starts, self.length, self._codes.size))
        if not own.size:
            return
        text, own = _bordered(self._codes[own], own, _TEXT_BORDER)
        lengths, starts = _longest_matches(text, corpus)
        longer = (lengths >= self.length) & (lengths > self._lengths[own])
        self._lengths[own[longer]] = lengths[longer]
        self._places[own[longer]] = places[starts[longer]]

    def stretches(self) -> Iterator[list[Stretch]]:
        """Yield the stretches of each text."""
        begin = 0
        for size in self._sizes:
            lengths = self._lengths[begin : begin + size]
            # What starts inside a match and ends with it is a part of it.
            before = np.concatenate([[0], lengths[:-1]])
            whole = np.flatnonzero((lengths > 0) & (lengths != before - 1))
            yield [
                Stretch(start, start + int(lengths[start]), int(places))
                for start, places in zip(
                    whole.tolist(), self._places[begin + whole], strict=True
                )
            ]
            begin += size + 1


def _no(size: int) -> _Mask:
    return np.zeros(size, np.bool_)


def _spanned(starts: Places, length: int, size: int) -> _Mask:
    """Return which of `size` characters lie in a stretch with one of the starts."""
    steps = np.zeros(size + 1, np.int32)
    steps[starts] += 1
    steps[starts + length] -= 1
    return np.cumsum(steps[:-1]) > 0


def _bordered(codes: Codes, places: Places, border: int) -> tuple[Codes, Places]:
    """Return codes with a border after each run of places, and the places."""
    ends = np.flatnonzero(np.diff(places) != 1) + 1
    ends = np.append(ends, codes.size)
    return np.insert(codes, ends, border), np.insert(places, ends, 0)


def _longest_matches(text: Codes, corpus: Codes) -> tuple[Places, Places]:
    """Return, for each start in a text, the longest match in a corpus, and its start.

    Both end with a border that the other lacks. A start without a match has length 0.
    """
    levels = _ranks(np.concatenate([text, corpus]), text.size)
    n = text.size + corpus.size
    order = np.argsort(levels[-1][:n], kind="stable")
    in_corpus = order >= text.size
    places = np.arange(n)
    # The nearest start in the corpus before and after, or n, which equals nothing.
    before = np.maximum.accumulate(np.where(in_corpus, places, -1))
    after = np.minimum.accumulate(np.where(in_corpus, places, n)[::-1])[::-1]
    order = np.append(order, n)
    lengths, starts = np.zeros(text.size, np.intp), np.zeros(text.size, np.intp)
    own = np.flatnonzero(~in_corpus)
    for near in (before[own], after[own]):
        one, other = order[own], order[near]
        common = _common(levels, one, other)
        longer = common > lengths[one]
        lengths[one[longer]] = common[longer]
        starts[one[longer]] = other[longer] - text.size
    return lengths, starts


def _ranks(codes: Codes, size: int) -> list[Codes]:
    """Return the ranks of stretches of 1, 2, 4, ... characters, at all of their starts.

    Equal stretches have equal ranks, and smaller ones smaller ranks; the ranks of those
    that only the text or only the corpus has are not refined. A last rank of -1 stands
    for the end. The first `size` codes are the text; in the last ranks, it has nothing
    in common with the rest.
    """
    n = codes.size
    levels, width = [_refined(np.zeros(n + 1, np.int64), np.arange(n), codes)], 1
    while True:
        ranks = levels[-1]
        in_text, in_corpus = _no(n), _no(n)
        in_text[ranks[:size]] = in_corpus[ranks[size:n]] = True
        shared = np.flatnonzero((in_text & in_corpus)[ranks[:n]])
        if not shared.size:
            return levels
        tails = ranks[np.minimum(shared + width, n)]
        levels.append(_refined(ranks, shared, tails))
        width *= 2


def _refined(ranks: Codes, starts: Places, tails: Codes) -> Codes:
    """Return ranks in which equal ones at `starts` are told apart by what follows.

    A rank is the number of smaller stretches.
    """
    n = ranks.size
    keys = ranks[starts].astype(np.int64) << 32 | (tails.astype(np.int64) + 2)
    order = np.argsort(keys)
    keys = keys[order]
    heads = keys >> 32
    refined = ranks.astype(np.int32)
    refined[starts[order]] = heads + _firsts(keys) - _firsts(heads)
    refined[n - 1] = -1
    return refined


def _firsts(values: npt.NDArray[np.int64]) -> Places:
    """Return, for each of the sorted values, the place of the first that equals it."""
    new = np.append(True, values[1:] != values[:-1])
    return np.maximum.accumulate(np.where(new, np.arange(values.size), 0))


def _common(levels: Sequence[Codes], one: Places, other: Places) -> Places:
    """Return how many characters are equal from each pair of starts on."""
    start = one
    for level in range(len(levels) - 1, -1, -1):
        equal = levels[level][one] == levels[level][other]
        one, other = one + (equal << level), other + (equal << level)
    return one - start
