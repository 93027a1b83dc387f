"""The training text as N parallel streams, read in windows of T characters.

text  a b c d e f g h i j k l        T = 2, N = 2
stream 0  a b c d e f                window 0: a g   then c i   then e k
stream 1  g h i j k l                          b h        d j
"""

from collections.abc import Sequence
from typing import overload

import numpy as np

from charrnn.errors import TextError
from charrnn.nn.parameters import Array
from charrnn.text.documents import Ordered, unit_starts
from charrnn.text.ids import release_memory

Window = tuple[Array, Array]  # inputs and targets (T, N), targets one step ahead
_AHEAD = 64  # windows of documents that are read at once
_RELEASE = 1 << 24  # ids read from a mapped file before their memory is released


class Windows(Sequence[Window]):
    """The windows of one pass over a text (an epoch), by number.

    The text is cut into N streams, of which the windows have the `columns`. The last
    window may be shorter than T. Up to N - 1 characters at the end of the text, which
    do not fill a stream, are left out.
    """

    def __init__(
        self, ids: Array, T: int, N: int, *, columns: slice = slice(None)
    ) -> None:
        self.T, self.N, self.columns = T, N, columns
        self._length = len(ids) // N  # of each stream
        if self._length < 2:
            raise TextError(
                f"{len(ids)} characters cannot make {N} streams; expected {2 * N}"
            )
        self._ids = ids
        self._unreleased = 0

    def of_epoch(self, number: int) -> "Windows":
        """Return the windows of an epoch: the same each time, without documents."""
        return self

    def __len__(self) -> int:
        return -(-(self._length - 1) // self.T)

    @property
    def ids(self) -> Array:
        """The ids of the text."""
        return self._ids

    @property
    def characters(self) -> int:
        """The number of predictions in one epoch."""
        return (self._length - 1) * self.N

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> list[Window]: ...

    def __getitem__(self, index: int | slice) -> Window | list[Window]:
        """Return inputs and targets (T, N), targets one step ahead."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start = range(len(self))[index] * self.T  # counts from the end if negative
        stop = min(start + self.T, self._length - 1)
        rows = self._rows(start, stop + 1)
        self._unreleased += rows.size
        if self._unreleased > _RELEASE:
            release_memory(self._ids)
            self._unreleased = 0
        return rows[:-1], rows[1:]

    def _rows(self, start: int, stop: int) -> Array:
        """Return characters start to stop of every stream, (stop - start, N)."""
        streams = self._ids[: self._length * self.N].reshape(self.N, self._length)
        return np.ascontiguousarray(streams[self.columns, start:stop].T)


class DocumentWindows(Windows):
    """Windows of a text of documents, which every epoch reads in another order."""

    def __init__(
        self,
        ids: Array,
        T: int,
        N: int,
        *,
        columns: slice = slice(None),
        end_id: int,
        seed: int,
    ) -> None:
        super().__init__(ids, T, N, columns=columns)
        self._starts = unit_starts(ids, end_id)
        self._seed, self._epoch = seed, -1
        self.of_epoch(0)

    def of_epoch(self, number: int) -> "Windows":
        """Return the windows of an epoch. The object is the same for all epochs."""
        if number != self._epoch:
            rng = np.random.default_rng([self._seed, number])
            order = rng.permutation(len(self._starts) - 1)
            self._ordered = Ordered(self._ids, self._starts, order)
            self._epoch = number
            self._ahead, self._ahead_from = np.empty((0, self.N), self._ids.dtype), 0
        return self

    def _rows(self, start: int, stop: int) -> Array:
        if not self._ahead_from <= start <= stop <= self._ahead_from + len(self._ahead):
            self._read_ahead(start)
        return self._ahead[start - self._ahead_from : stop - self._ahead_from]

    def _read_ahead(self, start: int) -> None:
        """Read the next windows of all streams at once, which is many times faster."""
        stop = min(start + _AHEAD * self.T + 1, self._length)
        streams = [
            self._ordered.read(place + start, place + stop)
            for place in range(0, self.N * self._length, self._length)[self.columns]
        ]
        self._ahead, self._ahead_from = np.stack(streams, axis=1), start


def fit_windows(characters: int, T: int, N: int) -> tuple[int, int]:
    """Return the window and batch nearest to (T, N) that a text can fill.

    The batch shrinks first: fewer streams still see whole windows. Raises TextError if
    there is nothing to predict.
    """
    if characters < 2:
        raise TextError(
            f"the training part has {characters} characters; expected at least 2"
        )
    N = max(1, min(N, characters // (T + 1)))
    T = min(T, characters // N - 1)
    return T, N
