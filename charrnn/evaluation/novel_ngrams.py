"""Which n-grams of texts do not occur in a corpus.

The corpus may have gigabytes: it is read in pieces. Hashes tell which of its n-grams
may be in the texts, and these are compared letter by letter, so the result is exact. An
n-gram that was found is not looked for again, and so nearly all that is left to do on a
long corpus is one look into a table for each of its places.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing

import numpy as np
import numpy.typing as npt

from charrnn.errors import ConfigError
from charrnn.evaluation.hashes import Hashed, Hashes, Places
from charrnn.evaluation.stretches import Codes, codes_of
from charrnn.machine import available_cores
from charrnn.nn.workers import Threads

Mask = npt.NDArray[np.bool_]

Pieces = Callable[[], Iterable[str]]
"""Returns the pieces of a corpus, in order, from the start each time."""

_CHUNK = 1 << 18  # characters of the corpus that are looked up at a time
_ROOM = 1 << 24  # n-grams that are looked for at a time, about 25 bytes each
_BORDER = -1  # after each text; it equals no character
_MOST_BITS = 24  # of the table that sorts out most n-grams of the corpus


def novel_ngrams(
    texts: Sequence[str], corpus: Pieces, lengths: Iterable[int]
) -> list[dict[int, float | None]]:
    """Return, for each text, the share of its n-grams that the corpus lacks, by n.

    An n-gram counts each time that it occurs in the text. The share is in [0, 1], or
    None for a text of fewer than n characters. See `known_ngrams`.
    """
    return [novel_shares(known) for known in known_ngrams(texts, corpus, lengths)]


def novel_shares(known: Mapping[int, Mask]) -> dict[int, float | None]:
    """Return the share of novel n-grams by n, or None if there are no n-grams."""
    return {n: 1 - float(has.mean()) if has.size else None for n, has in known.items()}


def known_ngrams(
    texts: Sequence[str], corpus: Pieces, lengths: Iterable[int]
) -> list[dict[int, Mask]]:
    """Return, for each text and n, which of its n-grams the corpus has.

    The shape is (len(text) - n + 1,), by their starts, or (0,) for a shorter text.
    Memory is bounded by the length of the texts and of a piece; for texts of more than
    some megabytes, the corpus is read several times. Raises ConfigError unless all
    lengths are 1 or more.
    """
    lengths = sorted({*lengths})
    if lengths and lengths[0] < 1:
        raise ConfigError(f"n is {lengths[0]}; expected 1 or more characters")
    codes = np.concatenate([_ended(text) for text in texts] or [_ended("")])
    known: list[dict[int, Mask]] = [{} for _ in texts]
    at_once = max(1, _ROOM // codes.size)
    for i in range(0, len(lengths), at_once):
        wanted = [_Wanted(codes, n) for n in lengths[i : i + at_once]]
        _look_up(wanted, corpus())
        for each in wanted:
            has, begin = each.known(), 0
            for text, own in zip(texts, known, strict=True):
                own[each.n] = has[begin : begin + max(0, len(text) - each.n + 1)]
                begin += len(text) + 1
    return known


def _look_up(wanted: Sequence["_Wanted"], pieces: Iterable[str]) -> None:
    """Look for n-grams in a corpus, for several n at a time on as many threads."""
    overlap = max(each.n for each in wanted) - 1
    parts = max(1, min(available_cores(), len(wanted)))
    with closing(Threads(parts)) as team:
        for chunk in _chunks(pieces, overlap):
            hashed = Hashed(chunk)

            def work(part: int, hashed: Hashed = hashed) -> None:
                for each in wanted[part::parts]:
                    each.look_up(hashed)

            team.run(work)


def _ended(text: str) -> Codes:
    return np.append(codes_of(text), np.int32(_BORDER))


def _chunks(pieces: Iterable[str], overlap: int) -> Iterator[Codes]:
    """Yield a corpus in chunks that share their last characters with the next one."""
    held = ""
    for piece in pieces:
        text, start, size = held + piece, 0, _CHUNK + overlap
        while len(text) - start >= size:
            yield codes_of(text[start : start + size])
            start += _CHUNK
        held = text[start:]
    yield codes_of(held)


class _Wanted:
    """The n-grams of the texts, and which of them the corpus has."""

    def __init__(self, codes: Codes, n: int) -> None:
        self.n, self._size = n, codes.size
        # Those that reach over the end of a text are never found.
        starts = np.arange(max(0, codes.size - n + 1))
        hashes = Hashed(codes).of(n)
        self._layers: list[_Layer] = []
        while starts.size:  # once, unless different n-grams have the same hash
            layer = _Layer(codes, n, starts, hashes[starts])
            starts = np.setdiff1d(starts, layer.starts, assume_unique=True)
            self._layers.append(layer)

    def look_up(self, corpus: Hashed) -> None:
        hashes = corpus.of(self.n)
        for layer in self._layers:
            layer.look_up(corpus.codes, hashes)

    def known(self) -> Mask:
        """Return where the texts have n-grams that the corpus has, by their starts."""
        known = np.zeros(self._size, np.bool_)
        for layer in self._layers:
            known[layer.starts] = layer.known()
        return known


class _Layer:
    """N-grams of the texts that have different hashes."""

    def __init__(self, codes: Codes, n: int, starts: Places, hashes: Hashes) -> None:
        """Take those that start at `starts`, except rivals with the same hash."""
        self._codes, self._n = codes, n
        values, firsts, groups = np.unique(
            hashes, return_index=True, return_inverse=True
        )
        own = starts[firsts]
        is_same = np.ones(starts.size, np.bool_)
        repeats = np.flatnonzero(own[groups] != starts)
        is_same[repeats] = _equal(
            codes, starts[repeats], codes, own[groups[repeats]], n
        )
        self.starts = starts[is_same]
        self._groups = groups[is_same].astype(np.int32)  # of each start
        self._has = np.zeros(values.size, np.bool_)  # whether the corpus has a group
        # What is still to be found, sorted by hash: hash, start in the texts, group.
        self._values, self._own = values, own
        self._numbers = np.arange(values.size, dtype=np.int32)
        self._prepare()

    def _prepare(self) -> None:
        """Make a table of the first bits of the hashes that are still to be found."""
        bits = min(_MOST_BITS, 8 + self._values.size.bit_length())
        self._shift = np.uint64(64 - bits)
        prefixes = self._prefixes(self._values)
        self._may_be = np.zeros(1 << bits, np.bool_)
        self._may_be[prefixes] = True
        # Whether a prefix is that of one hash alone, as nearly all are.
        differs = np.diff(prefixes, prepend=-1, append=-1) != 0
        self._is_alone = differs[:-1] & differs[1:]
        self._found = 0  # since then

    def _prefixes(self, hashes: Hashes) -> Places:
        prefixes: Places = (hashes >> self._shift).view(np.int64)
        return prefixes

    def look_up(self, corpus: Codes, hashes: Hashes) -> None:
        places = np.flatnonzero(self._may_be.take(self._prefixes(hashes)))
        if not places.size:
            return
        at = np.searchsorted(self._values, hashes[places])
        at = np.minimum(at, self._values.size - 1)
        is_new = (self._values[at] == hashes[places]) & ~self._has[self._numbers[at]]
        at, places = at[is_new], places[is_new]
        same = _equal(self._codes, self._own[at], corpus, places, self._n)
        found = np.unique(at[same])
        self._has[self._numbers[found]] = True
        alone = found[self._is_alone[found]]
        self._may_be[self._prefixes(self._values[alone])] = False
        self._found += found.size
        if 2 * self._found > self._values.size:
            left = np.flatnonzero(~self._has[self._numbers])
            self._values, self._own = self._values[left], self._own[left]
            self._numbers = self._numbers[left]
            self._prepare()

    def known(self) -> Mask:
        """Return which of the n-grams at `starts` the corpus has."""
        return self._has[self._groups]


def _equal(codes: Codes, starts: Places, others: Codes, places: Places, n: int) -> Mask:
    """Return which n-grams are equal: those at starts, and those at places."""
    equal = np.ones(starts.size, np.bool_)
    for i in range(n):
        equal &= codes[starts + i] == others[places + i]
    return equal
