"""Dropout masks (Srivastava et al. 2014), drawn for a window of all layers at once.

They act on what a layer hands upwards, to the next layer or to the softmax, and never
on what it hands to its own next step (Zaremba et al. 2014).
"""

import numpy as np
import numpy.typing as npt

from charrnn.arrays import Array

_RANGE = 1 << 16  # 16 random bits decide; a rate is met to within 1 / 65536


class Dropout:
    """Draws masks (L, T, N, H) of 0 and 1 / (1 - rate), so that the mean is 1."""

    def __init__(
        self, rate: float, shape: tuple[int, int, int, int], dtype: npt.DTypeLike
    ) -> None:
        self._shape = shape
        self._masks = np.empty(shape, dtype)
        self._threshold = round(rate * _RANGE)
        self._scale = _RANGE / (_RANGE - self._threshold)

    def draw(self, *, rng: np.random.Generator) -> Array:
        """Return fresh masks, in an array that the next draw overwrites."""
        bits = np.frombuffer(rng.bytes(2 * self._masks.size), "<u2")
        kept = bits.reshape(self._shape) >= self._threshold
        return np.multiply(kept, self._scale, out=self._masks, casting="unsafe")
