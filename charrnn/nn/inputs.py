"""What the input adds to a cell's gates, `a = x Wx + b`, for a whole window at once.

The one-hot rows of the lowest layer are never multiplied out. With x = one_hot(ids),
`x @ Wx` picks rows of Wx, and `x.T @ da` adds up the rows of da by character.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from charrnn.errors import ShapeError
from charrnn.nn.kernels import Steps
from charrnn.nn.parameters import Array


class Projection:
    """Arrays for the inputs of one layer: what forward read, what backward needs."""

    def __init__(
        self, T: int, N: int, D: int, dtype: npt.DTypeLike, steps: Steps
    ) -> None:
        self.steps = steps
        self.inputs: Array
        self.T = 0  # steps that forward left and backward has not used up
        self._dinputs = np.empty((T, N, D), dtype)

    def forward(
        self,
        inputs: Array,
        params: Mapping[str, Array],
        out: Array,
        scale: Array | None = None,
    ) -> None:
        """Write `x Wx + b` into out (T, N, G·H), its columns times `scale` (G·H)."""
        self.inputs, self.T = inputs, len(inputs)
        Wx, b = params["Wx"], params["b"]
        if scale is not None:
            Wx, b = Wx * scale, b * scale
        if inputs.dtype.kind == "u":
            # Adding b to V rows is less work than adding it to T·N of them.
            np.take(Wx + b, inputs, axis=0, out=out, mode="clip")
        else:
            rows = out.reshape(-1, len(b))
            np.matmul(inputs.reshape(len(rows), -1), Wx, out=rows)
            rows += b

    def claim(self, dh: Array) -> int:
        """Return the steps of the window that forward left for backward, once.

        Raises ShapeError where dh (T, N, H) has another number of them.
        """
        T, self.T = self.T, 0
        if len(dh) != T:
            raise ShapeError(
                f"dh has {len(dh)} steps and forward left {T}; expected as many, and a "
                "forward pass before each backward pass"
            )
        return T

    def backward(
        self, params: Mapping[str, Array], da: Array, grads: Mapping[str, Array]
    ) -> Array | None:
        """Write the gradients of Wx and b, and return that of float inputs.

        da (T, N, G·H) is the gradient of the loss in `a`.
        """
        Wx, dWx, db = params["Wx"], grads["Wx"], grads["b"]
        T, N = da.shape[:2]
        rows = da.reshape(T * N, -1)
        if self.inputs.dtype.kind == "u":
            self.steps.sum_rows(self.inputs.reshape(-1), rows, dWx)
            # Each row of da went to exactly one row of dWx, so these add up to db.
            dWx.sum(axis=0, out=db)
            return None
        np.matmul(self.inputs.reshape(T * N, -1).T, rows, out=dWx)
        rows.sum(axis=0, out=db)
        dinputs = self._dinputs[:T]
        np.matmul(rows, Wx.T, out=dinputs.reshape(T * N, -1))
        return dinputs
