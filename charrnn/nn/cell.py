"""The interface of a recurrent cell; no other code depends on the kind of cell.

Letters: T time, N batch (streams), D input size, H hidden, G gates.
"""

import importlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from charrnn.config import CELLS
from charrnn.nn.parameters import Array, Shape

State: TypeAlias = tuple[Array, ...]  # of one layer; only its cell uses the parts
Step: TypeAlias = Callable[[Array, State, Array | None], State]  # see `Cell.stepper`
GatesDone: TypeAlias = Callable[[int], None]


class Cell(Protocol):
    """The equations of one recurrent layer; a cell keeps no state between calls.

    Forward leaves what backward needs in the workspace, which the caller creates once
    for (T, N) and owns; a window may have fewer steps than T. The inputs of the lowest
    layer are character ids (T, N), which stand for one-hot rows; those of the layers
    above are floats (T, N, D). Every cell has the parameters Wx (D, G·H) and b (G·H),
    and `a = x Wx + b` is the input's part of the gates.
    """

    def shapes(self, D: int, H: int) -> dict[str, Shape]:
        """Return the shape of every parameter by name."""

    def init(self, params: Mapping[str, Array], *, rng: np.random.Generator) -> None:
        """Fill the parameters with their initial values, in place."""

    def zero_state(self, N: int, H: int, dtype: npt.DTypeLike) -> State:
        """Return the state before the first character: a tuple of (N, H) arrays.

        The first of them is the hidden state h, which is also the cell's output.
        """

    def workspace(self, T: int, N: int, D: int, H: int, dtype: npt.DTypeLike) -> Any:
        """Return the arrays that forward fills and backward reads."""

    def forward(
        self,
        params: Mapping[str, Array],
        inputs: Array,
        state: State,
        workspace: Any,
        starts: Array | None = None,
    ) -> tuple[Array, State]:
        """Run the cell over a window.

        starts (T, N) bool is True at the first step of a document: that step reads a
        state of zero instead of the one before it, and backward passes no gradient
        across. None stands for all False. Returns the outputs h (T, N, H), a view of
        the workspace, and the state after the last step, a copy.
        """

    def backward(
        self,
        params: Mapping[str, Array],
        dh: Array,
        workspace: Any,
        grads: Mapping[str, Array],
        gates_done: GatesDone | None = None,
    ) -> tuple[Array | None, State]:
        """Backpropagate through the window of the last forward pass.

        To save memory, gradients overwrite the values that forward left, so a second
        call for the same window raises ShapeError.

        dh (T, N, H) is the gradient with respect to the outputs. The gradients of the
        parameters overwrite `grads`. Returns the gradients with respect to the inputs
        (None if they were ids) and to the incoming state.

        gates_done may be called with 1 … G, as soon as so many gates, from the first,
        have their columns of the gradient of Wh. Other ranks can get these meanwhile.
        """

    def stepper(self, params: Mapping[str, Array], texts: int) -> Step:
        """Return a function that reads the next character of each text, to generate.

        With n texts, step(a, state, s) returns the state after that character, in new
        arrays (n, H). a (G, n, H) is `x Wx + b`, gate by gate. s (n, H) is `1 + x Q` in
        a multiplicative cell, and None in others. For a single text, all arrays lack
        the axis of length n.
        """


@cache
def load_cell(path: str) -> Cell:
    """Return an instance of the class at `module:Class`."""
    module, _, name = path.partition(":")
    return cast(Cell, getattr(importlib.import_module(module), name)())


def make_cell(name: str) -> Cell:
    """Return the cell with this name in `config.CELLS`."""
    return load_cell(CELLS[name])
