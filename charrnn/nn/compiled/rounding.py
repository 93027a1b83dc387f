"""Products with weights of 16 bits; the twin of `charrnn.nn.rounding`.

For one text, the product of a state with a matrix uses each weight once. So its time is
that of reading the weights, which come from the second-level cache or further away.
With many texts, arithmetic takes most of the time. Then the rounded weights are kept in
float32, which saves the conversion. Since factors of two do not round, the results are
the same to the last bit.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from charrnn.nn.compiled.jit import inlined
from charrnn.nn.compiled.product import ROWS, pack, panels, product
from charrnn.nn.parameters import Array
from charrnn.nn.rounding import to_16_bits


class Matrices(NamedTuple):
    """Matrices (L, K, N) of one shape: the panels times the scales, if any."""

    panels: Array  # (L, …), packed by `pack`: int16, or float32 without scales
    scales: Array  # (L, N) or (L, 0)


def pack_rounded(matrices: Sequence[Array], n: int) -> Matrices:
    """Round and pack matrices of one shape, for n texts; there may be none."""
    dtype = np.int16 if n < ROWS else np.float32
    if not matrices:
        return Matrices(np.empty((0, 0, 0, 0), dtype), np.empty((0, 0), np.float32))
    packed, all_scales = [], []
    for W in matrices:
        integers, scales = to_16_bits(W)
        if dtype == np.float32:
            integers *= scales
            scales = scales[:0]
        packed.append(pack(integers, panels(*W.shape)).astype(dtype, copy=False))
        all_scales.append(scales)
    return Matrices(np.stack(packed), np.stack(all_scales))


@inlined
def multiply_rounded(A: Array, W: Any, i: int, out: Array) -> None:
    """Write A W[i] into out (M, N), with A (M, K) and W the `Matrices`."""
    product(A, W.panels[i], out)
    scales = W.scales[i]
    for m in range(len(out)):
        row = out[m]
        for j in range(len(scales)):
            row[j] *= scales[j]
