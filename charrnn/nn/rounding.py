"""Weights rounded to 16 bits, with which texts are written.

The columns of a matrix become integers of 16 bits times powers of two. This moves a
weight by at most 1/32,768 of the largest weight of its column. Compiled code then reads
half as much memory for a character, and NumPy reads the same weights, so that both
write the same text.
"""

import numpy as np

from charrnn.nn.parameters import Array

_BITS = 15  # besides the sign
_LARGEST = 2**_BITS - 1
_LOWEST = -100  # exponent; powers of two stay far from the limits of float32


def to_16_bits(W: Array) -> tuple[Array, Array]:
    """Return integers (K, N) and scales (N,), whose product is nearly W (K, N)."""
    _, exponents = np.frexp(np.maximum(W.max(axis=0), -W.min(axis=0)))
    exponents = np.maximum(exponents - _BITS, _LOWEST)
    one = W.dtype.type(1)
    integers = W * np.ldexp(one, -exponents)
    np.rint(integers, out=integers)
    np.clip(integers, -_LARGEST, _LARGEST, out=integers)
    return integers, np.ldexp(one, exponents)


def rounded(W: Array) -> Array:
    """Return W (K, N), rounded to 16 bits."""
    integers, scales = to_16_bits(W)
    integers *= scales
    return integers
