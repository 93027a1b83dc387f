"""What all cells share: the product of a step, stretches, and the gradient of Wh.

A BLAS copies the right-hand matrix of each product into a layout of its own, which for
8 to 64 rows can take as long as the arithmetic. For small products, OpenBLAS, which
comes with NumPy, has routines without that copy on processors with AVX-512. So the
matrix is split, once per window, into blocks of columns narrow enough for them. In the
sizes of a recurrent network this is up to three times as fast there, and makes no
difference on processors without AVX-512.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from charrnn.nn.cell import GatesDone
from charrnn.nn.gates import columns
from charrnn.nn.kernels import Functions
from charrnn.nn.parameters import Array, blocks

_SMALL = 100**3  # the largest N·K·M of a product without the copy
_WIDTHS = (64, 32, 16)  # columns of a block; wider ones need fewer calls
_CONFLICT = 1 << 10  # bytes; data that far apart compete for a few lines of the cache
_COLUMNS, _GAP = 64, 16  # columns copied at a time, and elements between them
_STRETCH = 1 << 15  # elements (N, H) of several steps that fit in a core's cache


class StepProduct:
    """The product x W of rows x (N, K), which every step writes into the array `out`.

    W is (…, K, M) and out is (…, N, M), with the same leading axes.
    """

    def __init__(self, K: int, out: Array) -> None:
        *batch, N, M = out.shape
        width = next((w for w in (M, *_WIDTHS) if N * K * w <= _SMALL), M)
        split = M - M % width  # the columns after it are a narrower block
        self._parts: list[tuple[slice, Array, Array]] = []
        self._spread = np.empty((0, 0), out.dtype)
        for start, stop, count in ((0, split, M // width), (split, M, 1)):
            if start < stop:
                part, w = slice(start, stop), (stop - start) // count
                W = np.empty((*batch, count, K, w), out.dtype)
                self._parts.append((part, W, columns(out[..., part], count)))

    def use(self, W: Array) -> None:
        """Take this matrix from now on."""
        for part, split, _ in self._parts:
            wanted = columns(W[..., part], split.shape[-3])
            if W.strides[-1] % _CONFLICT:
                split[:] = wanted
            else:
                self._copy_transposed(wanted, split)

    def _copy_transposed(self, W: Array, out: Array) -> None:
        """Copy blocks (B, K, M) whose columns are a multiple of `_CONFLICT` apart.

        The elements of a row would evict each other from the cache. So the columns are
        first copied to memory where they are a little further apart.
        """
        K = W.shape[1]
        if self._spread.shape[1] < K:
            self._spread = np.empty((_COLUMNS, K + _GAP), W.dtype)
        for source, target in zip(W, out, strict=True):
            for block in blocks(W.shape[2], _COLUMNS):
                some = self._spread[: block.stop - block.start, :K].T
                some[:] = source[:, block]
                target[:, block] = some

    def __call__(self, x: Array) -> None:
        for _, W, out in self._parts:
            np.matmul(x, W, out=out)


def multiplier(W: Array, n: int, G: int = 0) -> tuple[Callable[[Array], object], Array]:
    """Return a function that multiplies n rows by W, and where it writes the product.

    The rows are (n, K), or a vector (K,) if n is 1. W is (K, M) and the product (n, M),
    or (M,). With G gates, the product is (G, n, M / G), or (G, M / G), gate by gate.
    """
    M = W.shape[1]
    if n == 1:
        flat = np.empty(M, W.dtype)
        return partial(np.dot, b=W, out=flat), flat.reshape(G, -1) if G else flat
    out = np.empty((G, n, M // G) if G else (n, M), W.dtype)
    product = StepProduct(len(W), out)
    product.use(columns(W, G) if G else W)
    return product, out


def longest_stretch(T: int, N: int, H: int) -> int:
    """Return the steps of a stretch; that of the earliest steps may be shorter."""
    return max(1, min(T, _STRETCH // max(1, N * H)))


def stretches_backward(T: int, N: int, H: int) -> list[slice]:
    """Return slices that cover the steps T - 1 … 0, the latest steps first.

    Backward computes what depends on the gates alone for a whole stretch at once. That
    takes fewer calls of NumPy than step by step, and the results are still in the cache
    when the steps need them.
    """
    length = longest_stretch(T, N, H)
    return [slice(max(0, stop - length), stop) for stop in range(T, 0, -length)]


def gradient_of_Wh(
    read: Array,
    du: Sequence[Array],
    dWh: Array,
    functions: Functions,
    gates_done: GatesDone | None = None,
) -> None:
    """Write Σ read[t]^T du[t] into dWh (H, G·H); with gates_done, gate by gate.

    read (T, N, H) are the states that Wh was multiplied with. du are matrices with T·N
    rows. Side by side, they are the gradient of the products, (T·N, G·H).
    """
    H, first = read.shape[-1], 0
    readT = read.reshape(-1, H).T
    for part in du:
        width = part.shape[1]
        for block in blocks(width, H if gates_done else width):
            columns = slice(first + block.start, first + block.stop)
            functions.multiply(readT, part[:, block], dWh[:, columns])
            if gates_done:
                gates_done(columns.stop // H)
        first += width
