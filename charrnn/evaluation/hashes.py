"""Hashes of all stretches of one length in a text (Rabin and Karp 1987).

Different stretches may have the same hash. What was found by hashes must be checked.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from charrnn.evaluation.stretches import Codes

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.intp]

_BASE = 0x9E3779B97F4A7C15  # odd, with well-mixed bits


class Hashed:
    """A text whose stretches can be hashed, all of one length at a time.

    The hash of c[0], c[1], ... is the sum of c[j] · base^j, modulo 2^64. It comes from
    the difference of two running sums, divided by a power of the base.
    """

    def __init__(self, codes: Codes) -> None:
        self.codes = codes
        size = 1 << codes.size.bit_length()
        terms = codes.astype(np.uint64) * _powers(_BASE, size)[: codes.size]
        self._inverse = _powers(pow(_BASE, -1, 1 << 64), size)
        self._sums = np.zeros(codes.size + 1, np.uint64)
        np.cumsum(terms, out=self._sums[1:])

    def of(self, length: int) -> Hashes:
        """Return the hash of the stretch of this length at each of its starts."""
        if length > self.codes.size:
            return self._sums[:0]
        sums = self._sums[length:] - self._sums[: self._sums.size - length]
        sums *= self._inverse[: sums.size]
        return sums


class HashTable:
    """Hashes of a text's stretches, with the first start of each."""

    def __init__(self, hashes: Hashes) -> None:
        self._known, self._starts = np.unique(hashes, return_index=True)
        # Most hashes of a corpus are in no text: their first bits tell, in one look.
        bits = min(24, 8 + hashes.size.bit_length())
        self._shift = np.uint64(64 - bits)
        self._has = np.zeros(1 << bits, np.bool_)
        self._has[self._known >> self._shift] = True

    def look_up(self, hashes: Hashes) -> tuple[Places, Places]:
        """Return the places of known hashes, and their first starts in the text."""
        places = np.flatnonzero(self._has[hashes >> self._shift])
        ranks = np.searchsorted(self._known, hashes[places])
        ranks = np.minimum(ranks, self._known.size - 1)
        equal = self._known[ranks] == hashes[places]
        return places[equal], self._starts[ranks[equal]]


@lru_cache(maxsize=4)
def _powers(base: int, n: int) -> Hashes:
    """Return base^0 to base^(n - 1), modulo 2^64."""
    powers = np.full(n, base, np.uint64)
    powers[:1] = 1
    np.cumprod(powers, out=powers)
    return powers
