"""Multiplicative cells: the input scales the state that a step reads.

In a tanh cell, GRU or LSTM, the product h[t] Wh is the same whatever the character, and
the input is only added to it. In the multiplicative cells, each unit of the state has a
factor that depends on the input:

    s[t] = 1 + x[t] Q                                   (N, H)
    u[t] = (h[t] * s[t]) Wh

and the rest of the cell is as before. A character thus chooses which part of the state
counts. Q (D, H) begins at zero, where the cell is the plain one. With a one-hot input,
x[t] Q is a row of Q, so that this costs two elementwise products per step. It is a
special case of the multiplicative networks of Sutskever et al. 2011 and Krause et al.
2016, m[t] = (x[t] Wmx) * (h[t] Wmh): Wmh is the identity, and 1 is added to x[t] Wmx.

Backward, with d[t] the gradient with respect to h[t] * s[t], which is du[t] Wh^T:

    dh[t] += d[t] * s[t]         ds[t] = d[t] * h[t]
    dQ = Σ x[t]^T ds[t]          dWh = Σ (h[t] * s[t])^T du[t]
"""

import numpy as np
import numpy.typing as npt

from charrnn.nn.kernels import NUMPY, Functions
from charrnn.nn.parameters import Array
from charrnn.nn.projection import Projection


class Scales:
    """The factors of one layer for a window of up to (T, N), and the scaled states."""

    def __init__(
        self,
        T: int,
        N: int,
        D: int,
        H: int,
        dtype: npt.DTypeLike,
        functions: Functions = NUMPY,
    ) -> None:
        self._inputs = Projection(T, N, D, dtype, functions)
        self._one = np.ones(H, dtype)
        self.s_then_ds = np.empty((T, N, H), dtype)
        self.scaled = np.empty((T, N, H), dtype)  # h[t] * s[t]
        self._tmp = np.empty((N, H), dtype)

    def forward(self, inputs: Array, Q: Array) -> None:
        """Compute s[t], for all t of a window."""
        s = self.s_then_ds[: len(inputs)]
        self._inputs.forward(inputs, Q, self._one, out=s)

    def scale(self, h: Array, t: int) -> Array:
        """Return h[t] * s[t], given h[t] (N, H)."""
        scaled: Array = np.multiply(h, self.s_then_ds[t], out=self.scaled[t])
        return scaled

    def scale_back(self, d: Array, h: Array, t: int) -> None:
        """Turn d[t] into its share of dh[t], and s[t] into ds[t], in place.

        h is h[t], or zero at the first step of a document.
        """
        s = self.s_then_ds[t]
        ds = np.multiply(d, h, out=self._tmp)
        d *= s
        s[:] = ds

    def backward(self, Q: Array, T: int, dQ: Array) -> Array | None:
        """Write the gradient of Q (D, H); return that of the inputs, None for ids."""
        return self._inputs.backward(Q, self.s_then_ds[:T], dQ)
