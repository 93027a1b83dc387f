"""What the inputs contribute to a layer, for a whole window at once.

That is `a = x Wx + b`, which goes into the gates, and in the multiplicative cells the
scales of the states as well.
"""

from collections.abc import Mapping

import numpy.typing as npt

from charrnn.nn.kernels import NUMPY, Functions
from charrnn.nn.parameters import Array
from charrnn.nn.projection import Projection
from charrnn.nn.scales import Scales


class Inputs:
    """What the inputs of a window contribute to a layer of H units and G gates.

    With `multiplicative`, the scales of the states as well. The arrays of a cell have
    the same `size`, which is (T, N, H), the same type, and the same functions.
    """

    def __init__(
        self,
        T: int,
        N: int,
        D: int,
        H: int,
        dtype: npt.DTypeLike,
        functions: Functions = NUMPY,
        multiplicative: bool = False,
    ) -> None:
        self.size, self.dtype, self.functions = (T, N, H), dtype, functions
        self._gates = Projection(T, N, D, dtype, functions)
        self.scales: Scales | None = None
        if multiplicative:
            self.scales = Scales(T, N, D, H, dtype, functions)

    def forward(self, inputs: Array, params: Mapping[str, Array], out: Array) -> None:
        """Write `a = x Wx + b` into out (T, N, G·H), and compute the scales."""
        self._gates.forward(inputs, params["Wx"], params["b"], out)
        if self.scales:
            self.scales.forward(inputs, params["Q"])

    def states_read(self, h: Array) -> Array:
        """Return what Wh was multiplied with, given h[0] … h[T - 1]: h or h * s."""
        return self.scales.scaled[: len(h)] if self.scales else h

    def take_window(self, dh: Array) -> int:
        """Return T, the steps of the last forward pass; see `Projection`."""
        return self._gates.take_window(dh)

    def backward(
        self, params: Mapping[str, Array], da: Array, grads: Mapping[str, Array]
    ) -> Array | None:
        """Write the gradients of Wx, b and Q; return that of the inputs, None for ids.

        da (T, N, G·H) is the gradient of the loss with respect to `a`.
        """
        dinputs = self._gates.backward(params["Wx"], da, grads["Wx"], grads["b"])
        if self.scales:
            more = self.scales.backward(params["Q"], len(da), grads["Q"])
            if dinputs is not None:
                dinputs += more
        return dinputs
