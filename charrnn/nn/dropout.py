"""Dropout: masks for the outputs of a layer, and for its recurrent weights.

Ordinary dropout (Srivastava et al. 2014) acts on the outputs that a layer passes to the
next layer or to the softmax. It does not act on the state that a layer passes to its
own next step, because the noise would accumulate (Zaremba et al. 2014). Recurrent
weights are dropped instead: single weights of Wh are set to zero, the same ones for the
whole window and batch (DropConnect; Wan et al. 2013, Merity et al. 2018). Cells are
unaware of both.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from charrnn.nn.parameters import Array, Parameters, blocks

_DRAWN = 1 << 22  # elements drawn at a time, a multiple of 4
_RANGE = 1 << 16  # 16 random bits per element: a rate is exact to 1 / 65536


class Dropout:
    """Draws masks of 0 and 1 / (1 - rate), so that their mean is 1."""

    def __init__(
        self, rate: float, shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> None:
        self._masks = np.empty(shape, dtype)
        self._threshold = round(rate * _RANGE)
        self._scale = self._masks.dtype.type(_RANGE / (_RANGE - self._threshold))

    def draw(self, *, rng: np.random.Generator) -> Array:
        """Return fresh masks, in an array that the next draw overwrites."""
        masks = self._masks.reshape(-1)
        for block in blocks(masks.size, _DRAWN):
            size = block.stop - block.start
            # A raw 64-bit number has four. `rng.bytes` takes five times as long.
            raw: Array = rng.bit_generator.random_raw(-(-size // 4))
            bits = raw.astype("<u8", copy=False).view("<u2")[:size]
            np.multiply(bits >= self._threshold, self._scale, out=masks[block])
        return self._masks


class WeightDrop:
    """Sets a share of the recurrent weights to 0 while a gradient is computed."""

    def __init__(self, rate: float, params: Parameters) -> None:
        self._weights = {k: Wh for k, Wh in params.items() if k.endswith(".Wh")}
        self._undropped = {
            name: np.empty_like(Wh) for name, Wh in self._weights.items()
        }
        self._masks = {
            name: Dropout(rate, Wh.shape, Wh.dtype)
            for name, Wh in self._weights.items()
        }

    @contextmanager
    def applied(self, *, rng: np.random.Generator) -> Iterator[dict[str, Array]]:
        """Mask the weights in place during the block; yield the masks by name.

        The gradient of the masked weights, times the masks, is that of the weights. The
        masks are valid until the next block.
        """
        masks = {name: mask.draw(rng=rng) for name, mask in self._masks.items()}
        for name, Wh in self._weights.items():
            self._undropped[name][:] = Wh
            Wh *= masks[name]
        try:
            yield masks
        finally:
            for name, Wh in self._weights.items():
                Wh[:] = self._undropped[name]
