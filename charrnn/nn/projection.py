"""`x W + b` for a whole window at once.

The lowest layer reads ids instead of one-hot rows. With x = one_hot(ids), `x @ W` picks
rows of W, and `x.T @ da` is the sum of the rows of da for each character.
"""

import numpy as np
import numpy.typing as npt

from charrnn.errors import ShapeError
from charrnn.nn.kernels import NUMPY, Functions
from charrnn.nn.parameters import Array


class Projection:
    """`x W + b` of a window; keeps the inputs of forward for backward."""

    def __init__(
        self,
        T: int,
        N: int,
        D: int,
        dtype: npt.DTypeLike,
        functions: Functions = NUMPY,
    ) -> None:
        self._functions = functions
        self._inputs: Array = np.empty((0, N))
        self._unused = 0  # steps of the last forward pass, until backward uses them
        self._shape, self._dtype = (T, N, D), dtype
        self._dinputs: Array | None = None  # ids have none

    def forward(self, inputs: Array, W: Array, b: Array, out: Array) -> None:
        """Write `x W + b` into out (T, N, C), with W (D, C) and b (C)."""
        self._inputs, self._unused = inputs, len(inputs)
        if inputs.dtype.kind == "u":
            if len(W) <= inputs.size:  # adding b to V rows is less work
                np.take(W + b, inputs, axis=0, out=out, mode="clip")
            else:
                np.take(W, inputs, axis=0, out=out, mode="clip")
                out += b
        else:
            rows = out.reshape(-1, len(b))
            self._functions.multiply(inputs.reshape(len(rows), -1), W, rows)
            rows += b

    def take_window(self, dh: Array) -> int:
        """Return T, the steps of the last forward pass, and mark its window as used.

        Raises ShapeError if dh (T, N, H) has a different number of steps, or if the
        window was used before.
        """
        T, self._unused = self._unused, 0
        if len(dh) != T:
            raise ShapeError(
                f"dh has {len(dh)} steps and forward left {T}; expected the same "
                "number, and a forward pass before each backward pass"
            )
        return T

    def backward(
        self, W: Array, da: Array, dW: Array, db: Array | None = None
    ) -> Array | None:
        """Write the gradients of W and b; return that of the inputs, None for ids.

        da (T, N, C) is the gradient of the loss with respect to `x W + b`. Without db,
        b is a constant.
        """
        T, N = da.shape[:2]
        rows = da.reshape(T * N, -1)
        if self._inputs.dtype.kind == "u":
            self._functions.sum_rows(self._inputs.reshape(-1), rows, dW)
            if db is not None:
                # Each row of da went to exactly one row of dW, so these add up to db.
                dW.sum(axis=0, out=db)
            return None
        self._functions.multiply(self._inputs.reshape(T * N, -1).T, rows, dW)
        if db is not None:
            rows.sum(axis=0, out=db)
        if self._dinputs is None:
            self._dinputs = np.empty(self._shape, self._dtype)
        dinputs = self._dinputs[:T]
        self._functions.multiply(rows, W.T, dinputs.reshape(T * N, -1))
        return dinputs
