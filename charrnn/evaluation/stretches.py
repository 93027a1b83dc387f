"""All stretches of one length in a text, by rank, and the longest that two texts share.

Ranks come from doubling, as suffix arrays are built (Manber and Myers 1993): a stretch
of 2 L characters is a pair of halves, represented by the rank of that pair among the
text's own pairs. NumPy handles all positions at once. Everything is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int32]
_Keys = npt.NDArray[np.integer[Any]]

_TABLE = 1 << 22  # largest size of a look-up table; beyond it, binary search


def codes_of(text: str) -> Codes:
    """Return the code points (len(text),) of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<i4")


def ranks_of(text: str, length: int) -> Codes:
    """Return the rank of the stretch of `length` characters at each of its starts.

    The shape is (len(text) - length + 1,), or (0,) for a shorter text. Equal stretches
    have equal ranks, from 0 up to their number less one.
    """
    codes = codes_of(text)
    power, whole = _rank(1, codes, codes[:0]), None
    while True:
        length, odd = divmod(length, 2)
        if odd:
            whole = power if whole is None else _join(whole, power)
        if not length:
            assert whole is not None
            return whole.text
        power = _join(power, power)


def longest_common(text: Codes, corpus: Codes) -> tuple[int, int]:
    """Return length and start in `text` of the longest stretch that both contain.

    It is the first one in `text` if there are several; (0, 0) if there is none.
    """
    powers = [_rank(1, text, corpus)]  # stretches of 1, 2, 4, ... characters
    while powers[-1].shared:
        powers.append(_join(powers[-1], powers[-1]))
    powers.pop()
    if not powers:
        return 0, 0
    longest = powers.pop()
    while powers:  # binary digits of the length, from the highest down
        longer = _join(longest, powers.pop())
        longest = longer if longer.shared else longest
    is_shared = np.zeros(longest.distinct, np.bool_)
    is_shared[longest.corpus[longest.corpus >= 0]] = True
    return longest.length, int(is_shared[longest.text].argmax())


@dataclass(frozen=True)
class _Grams:
    """All stretches of one length in the text and in the corpus, by rank."""

    length: int
    distinct: int  # number of different ones in the text
    text: Codes  # rank of the stretch that starts at each position of the text
    corpus: Codes  # the same for the corpus, -1 for a stretch that the text lacks

    @property
    def shared(self) -> bool:
        return bool(self.corpus.size) and int(self.corpus.max()) >= 0


def _join(head: _Grams, tail: _Grams) -> _Grams:
    """Return the stretches that join one of `head` and the one of `tail` after it."""

    def pair(heads: Codes, tails: Codes) -> npt.NDArray[np.int64]:
        tails = tails[head.length :]
        heads = heads[: tails.size]
        keys = heads.astype(np.int64) * tail.distinct + tails
        keys[(heads < 0) | (tails < 0)] = -1
        return keys

    return _rank(
        head.length + tail.length,
        pair(head.text, tail.text),
        pair(head.corpus, tail.corpus),
    )


def _rank(length: int, text: _Keys, corpus: _Keys) -> _Grams:
    """Replace keys by ranks among the text's keys; -1 in the corpus if it has none."""
    known, ranks = np.unique(text, return_inverse=True)
    last = int(known.max(initial=-1))
    found = np.full(corpus.size, -1, np.int32)
    asked = np.flatnonzero((corpus >= 0) & (corpus <= last))
    if last < _TABLE:
        table = np.full(last + 1, -1, np.int32)
        table[known] = np.arange(known.size)
        found[asked] = table[corpus[asked]]
    else:
        places = np.searchsorted(known, corpus[asked])
        found[asked] = np.where(known[places] == corpus[asked], places, -1)
    return _Grams(length, known.size, ranks.astype(np.int32), found)
