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

Window = tuple[Array, Array]  # inputs and targets (T, N), targets one step ahead


class Windows(Sequence[Window]):
    """The windows of one pass over a text (an epoch), by number.

    The last window may be shorter than T. Up to N - 1 characters at the end of the
    text, which do not fill a stream, are left out.
    """

    def __init__(self, ids: Array, T: int, N: int) -> None:
        self.T, self.N = T, N
        length = len(ids) // N
        if length < 2:
            raise TextError(
                f"{len(ids)} characters cannot make {N} streams; expected {2 * N}"
            )
        # Time first, so that a window is a block of rows.
        self._streams = np.ascontiguousarray(ids[: length * N].reshape(N, length).T)

    def __len__(self) -> int:
        return -(-(len(self._streams) - 1) // self.T)

    @property
    def characters(self) -> int:
        """The number of predictions in one epoch."""
        return (len(self._streams) - 1) * self.N

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> list[Window]: ...

    def __getitem__(self, index: int | slice) -> Window | list[Window]:
        """Return inputs and targets (T, N), targets one step ahead."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start = range(len(self))[index] * self.T  # counts from the end if negative
        stop = min(start + self.T, len(self._streams) - 1)
        return self._streams[start:stop], self._streams[start + 1 : stop + 1]


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
