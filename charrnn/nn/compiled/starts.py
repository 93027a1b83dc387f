"""The steps at which documents start, for the compiled loops."""

import numpy as np

from charrnn.nn.compiled.jit import inlined
from charrnn.nn.parameters import Array

_NONE = np.zeros((0, 0), np.bool_)


def or_empty(starts: Array | None) -> Array:
    """Return starts (T, N), or an array of no steps for None.

    A loop that also took None would be compiled twice.
    """
    return _NONE if starts is None else starts


@inlined
def clear(rows: Array, starts: Array, t: int) -> None:
    """Zero the rows (N, D) of those streams in which a document starts at step t."""
    if len(starts):
        for k in range(len(rows)):
            if starts[t, k]:
                rows[k] = 0
