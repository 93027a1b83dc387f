"""What generated texts have in common with their corpus: words and copied stretches.

The corpus may have gigabytes: it is read once, in pieces, for all texts together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from charrnn.evaluation.hashes import Hashed, HashTable
from charrnn.evaluation.stretches import codes_of, longest_common
from charrnn.evaluation.textstats import APOSTROPHES, words
from charrnn.text.characters import is_letter
from charrnn.text.corpus import Corpus

_CHUNK = 1 << 18  # characters of the corpus that are searched for copies at a time
_LONGEST_WORD = 1 << 10  # a longer run of letters is cut if it crosses a border
_OVERLAP = 64  # characters before such a cut that are read again


@dataclass(frozen=True)
class Shared:
    """What texts share with a corpus; one entry per text."""

    words: frozenset[str]  # those words of all texts that the corpus has
    copies: list[str]  # the longest stretch of each text that the corpus has


def search_corpus(
    texts: Sequence[str], pieces: Iterable[str], *, gaps: bool = False
) -> Shared:
    """Return the words and the longest stretches that texts share with a corpus.

    pieces are the corpus in order, of any lengths; each follows right after the one
    before. With `gaps`, something was left out between any two, so that no stretch and
    no word crosses from one to the next.

    The stretches are exact: the longest common substrings, letter for letter, the first
    in the text if there are several, "" if nothing is shared. Memory is bounded by the
    length of the texts and of a piece.
    """
    known = _Words(texts)
    copies = _Copies(texts)
    for piece in pieces:
        known.read(piece)
        copies.read(piece)
        if gaps:
            known.leave_gap()
            copies.leave_gap()
    known.finish()
    copies.leave_gap()
    return Shared(frozenset(known.found), copies.longest())


def search_spread(
    texts: Sequence[str], corpus: Corpus, characters: int
) -> tuple[Shared, float]:
    """Return what texts share with about so many characters, spread over a corpus.

    The second number is the share of the corpus that is searched, up to 1.
    """
    share = min(1.0, characters / max(1, corpus.characters))
    return search_corpus(texts, corpus.spread(characters), gaps=share < 1), share


def longest_copy(text: str, corpus: str) -> str:
    """Return the longest stretch of `text` that is also in `corpus`, letter for letter.

    The longest common substring: the first in `text` if there are several, "" if the
    two share no character.
    """
    return search_corpus([text], [corpus]).copies[0]


class _Words:
    """Looks up the words of the texts in a corpus that is read in pieces."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._wanted = {word for text in texts for word in words(text)}
        self.found: set[str] = set()
        self._tail = ""  # the end of what was read, which may be the start of a word
        self._in_word = False  # whether the next piece may start inside a word

    def read(self, piece: str) -> None:
        if self._in_word:
            piece = piece[_leading(piece) :]
            self._in_word = False
        text = self._tail + piece
        cut = len(text) - _leading(text[: -_LONGEST_WORD - 1 : -1])
        if cut and cut == len(text) - _LONGEST_WORD:  # letters only: no word ends here
            self._look_up(text)
            self._tail = text[-_OVERLAP:]
        else:
            self._look_up(text[:cut])
            self._tail = text[cut:]

    def leave_gap(self) -> None:
        self._tail, self._in_word = "", True

    def finish(self) -> None:
        self._look_up(self._tail)

    def _look_up(self, text: str) -> None:
        self.found |= self._wanted.intersection(words(text))


def _leading(text: str) -> int:
    """Return how many characters at the start of a text can belong to one word."""
    ends = (i for i, c in enumerate(text) if not (is_letter(c) or c in APOSTROPHES))
    return next(ends, len(text))


class _Copies:
    """Finds the longest stretch of each text in a corpus that is read in pieces."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._finders = [_Finder(text) for text in texts]
        # Chunks overlap, so that no copy is cut in two.
        self._overlap = max(1, *map(len, texts)) - 1
        self._size = max(_CHUNK, self._overlap)
        self._held = ""

    def read(self, piece: str) -> None:
        self._held += piece
        while len(self._held) >= self._size + self._overlap:
            self._search(self._held[: self._size + self._overlap])
            self._held = self._held[self._size :]

    def leave_gap(self) -> None:
        self._search(self._held)
        self._held = ""

    def longest(self) -> list[str]:
        return [finder.longest for finder in self._finders]

    def _search(self, text: str) -> None:
        chunk = Hashed(codes_of(text))
        for finder in self._finders:
            finder.search(chunk)


class _Finder:
    """The longest stretch of one text that was found so far.

    Doubling (`longest_common`) is exact, but slow. So a chunk is first searched for the
    hashes of the text's stretches that are as long as the best, as Rabin and Karp 1987
    do for a single one. Only if one is longer, or comes earlier in the text, the chunk
    is searched exactly. Hashes that collide cost time, and change nothing.
    """

    def __init__(self, text: str) -> None:
        self._text, self._codes = text, codes_of(text)
        self._hashes = Hashed(self._codes)
        self._length = self._start = 0

    @property
    def longest(self) -> str:
        return self._text[self._start : self._start + self._length]

    def search(self, chunk: Hashed) -> None:
        if self._length and not self._may_improve(chunk):
            return
        length, start = longest_common(self._codes, chunk.codes)
        if (length, -start) > (self._length, -self._start):
            self._length, self._start = length, start
            self._same = HashTable(self._hashes.of(length))
            self._longer = HashTable(self._hashes.of(length + 1))

    def _may_improve(self, chunk: Hashed) -> bool:
        places, starts = self._same.look_up(chunk.of(self._length))
        if not places.size:
            return False
        if starts.min() < self._start:
            return True
        longer = chunk.of(self._length + 1)
        found, _ = self._longer.look_up(longer[places[places < longer.size]])
        return bool(found.size)
