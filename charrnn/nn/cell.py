"""What every recurrent cell offers, so that nobody else asks which one it is.

Letters: T time, N batch, D input size, H hidden, G gates.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from charrnn.nn.kernels import REFERENCE, Steps
from charrnn.nn.parameters import Array, Shape

State: TypeAlias = tuple[Array, ...]


class Cell(Protocol):
    """Equations of one recurrent layer, without any memory of its own.

    What backward needs from forward is in the workspace, which the caller makes once
    for (T, N) and owns; a window may be shorter than its T. The inputs of the lowest
    layer are character ids (T, N), which stand for one-hot rows; those of the layers
    above are (T, N, D) floats.
    """

    # What the steps want each gate's columns multiplied by: 0.5 for sigmoids.
    scales: tuple[float, ...]

    def shapes(self, D: int, H: int) -> dict[str, Shape]:
        """Return the shape of every parameter by name."""

    def init(self, params: Mapping[str, Array], *, rng: np.random.Generator) -> None:
        """Fill the parameters with their starting values, in place."""

    def zero_state(self, N: int, H: int, dtype: npt.DTypeLike) -> State:
        """Return the state before the first character: a tuple of (N, H) arrays."""

    def workspace(
        self,
        T: int,
        N: int,
        D: int,
        H: int,
        dtype: npt.DTypeLike,
        steps: Steps = REFERENCE,
    ) -> Any:
        """Return the arrays that forward fills and backward reads.

        steps are the elementwise steps that both are to use, plain or compiled.
        """

    def forward(
        self, params: Mapping[str, Array], inputs: Array, state: State, workspace: Any
    ) -> tuple[Array, State]:
        """Run over a window.

        Returns the outputs h (T, N, H), a view of the workspace, and the state after
        the last step, a copy.
        """

    def backward(
        self,
        params: Mapping[str, Array],
        dh: Array,
        workspace: Any,
        grads: Mapping[str, Array],
    ) -> tuple[Array | None, State]:
        """Go back over the window that forward ran last, once.

        What forward left gives way to gradients, step by step, so that the largest
        arrays are there once and not twice: a second call raises ShapeError.

        dh (T, N, H) is the gradient of the loss in the outputs. The gradients of the
        parameters overwrite `grads`. Returns the gradient in the inputs (None where
        they were ids) and in the incoming state.
        """
