"""The training text as N streams side by side, read in windows of T characters.

text  a b c d e f g h i j k l        T = 2, N = 2
stream 0  a b c d e f                window 0: a g   then c i   then e k
stream 1  g h i j k l                          b h        d j
"""

import numpy as np

from charrnn.errors import TextError
from charrnn.nn.parameters import Array


class Windows:
    """The windows of one pass over a text, by number.

    `len(windows)` of them make an epoch. The last may be shorter than T, and up to
    N - 1 characters at the text's end, which do not fill a stream, are left out.
    """

    def __init__(self, ids: Array, T: int, N: int) -> None:
        self.T, self.N = T, N
        L = len(ids) // N
        if L < 2:
            raise TextError(
                f"{len(ids)} characters cannot make {N} streams; expected {2 * N}"
            )
        # Time first, so that a window is a block of rows.
        self._streams = np.ascontiguousarray(ids[: L * N].reshape(N, L).T)

    def __len__(self) -> int:
        return -(-(len(self._streams) - 1) // self.T)

    @property
    def characters(self) -> int:
        """Predictions in one epoch."""
        return (len(self._streams) - 1) * self.N

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        """Return inputs and targets (T, N), targets one step ahead."""
        start = index * self.T
        stop = min(start + self.T, len(self._streams) - 1)
        return self._streams[start:stop], self._streams[start + 1 : stop + 1]


def fit_windows(characters: int, T: int, N: int) -> tuple[int, int]:
    """Return the window and batch nearest to (T, N) that a text can fill.

    The batch gives way first: fewer streams still see whole windows. Raises TextError
    where there is nothing to predict.
    """
    if characters < 2:
        raise TextError(
            f"the training part has {characters} characters; expected at least 2"
        )
    N = max(1, min(N, characters // (T + 1)))
    T = min(T, characters // N - 1)
    return T, N
