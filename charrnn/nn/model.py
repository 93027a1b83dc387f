"""The network: one-hot characters, a stack of recurrent cells, and a softmax.

    h = cells(one_hot(ids))          (T, N, H)
    logits = h W + b                 (T, N, V)
    loss = mean of -log softmax(logits)[targets]

Letters: T time, N batch (streams), H hidden, V vocabulary, L layers.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from charrnn.config import ModelConfig
from charrnn.errors import ShapeError
from charrnn.nn import kernels
from charrnn.nn.cell import State
from charrnn.nn.init import glorot_uniform
from charrnn.nn.parameters import Array, Parameters, Shape

ModelState: TypeAlias = tuple[State, ...]  # one cell state per layer, lowest first


class Workspace:
    """The arrays of a forward and a backward pass, allocated once for (T, N)."""

    def __init__(self, model: "Model", T: int, N: int) -> None:
        config, dtype = model.config, model.dtype
        L, H, V = config.layers, config.hidden, config.vocab
        sizes = [V] + [H] * (L - 1)
        self.layers: list[Any] = [
            model.cell.workspace(T, N, D, H, dtype) for D in sizes
        ]
        self.outputs = np.empty((0, N, H), dtype)  # of the last forward pass, (T, N, H)
        self.logits = np.empty((T, N, V), dtype)
        self.dh = np.empty((T, N, H), dtype)
        self.dropped = np.empty((L, T, N, H), dtype)
        self.grads = model.params.zeros_like()
        self.layer_grads = [self.grads.scope(f"layer{i}") for i in range(L)]


class Model:
    """The parameters and passes of a network; it keeps no other state between calls.

    kernels is "numpy", or "numba" for the compiled twins, which need float32.
    """

    def __init__(
        self,
        config: ModelConfig,
        dtype: npt.DTypeLike = np.float32,
        kernels: str = "numpy",
    ) -> None:
        self.config, self.kernels = config, kernels
        self.dtype = np.dtype(dtype)
        self._use(kernels)
        self.params = Parameters(self._shapes(), self.dtype)
        self._layers = [self.params.scope(f"layer{i}") for i in range(config.layers)]

    def _use(self, name: str) -> None:
        self.cell = kernels.cell(self.config.cell, name)
        self.functions = kernels.functions(name)

    def _shapes(self) -> dict[str, Shape]:
        H, V = self.config.hidden, self.config.vocab
        shapes: dict[str, Shape] = {}
        for i in range(self.config.layers):
            for name, shape in self.cell.shapes(H if i else V, H).items():
                shapes[f"layer{i}.{name}"] = shape
        return shapes | {"output.W": (H, V), "output.b": (V,)}

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled one by one, the arrays would no longer share one vector.
        return _restore, (self.config, self.dtype, self.kernels, self.params.flat)

    def copy(self) -> "Model":
        """Return an independent model with the same parameters."""
        copy = Model(self.config, self.dtype, self.kernels)
        copy.params.flat[:] = self.params.flat
        return copy

    def init(self, *, rng: np.random.Generator) -> None:
        """Fill the parameters with their initial values, in place."""
        for layer in self._layers:
            self.cell.init(layer, rng=rng)
        glorot_uniform(self.params["output.W"], rng=rng)
        self.params["output.b"].fill(0)

    def zero_state(self, N: int) -> ModelState:
        """Return the state before the first character of N streams."""
        config = self.config
        return tuple(
            self.cell.zero_state(N, config.hidden, self.dtype)
            for _ in range(config.layers)
        )

    def workspace(self, T: int, N: int) -> Workspace:
        """Return the arrays for windows of up to T characters of N streams."""
        return Workspace(self, T, N)

    def forward(
        self,
        ids: Array,
        state: ModelState,
        workspace: Workspace,
        masks: Array | None = None,
    ) -> tuple[Array, ModelState]:
        """Return logits (T, N, V), a view of the workspace, and the state after.

        ids (T, N) are unsigned integers below V, or ShapeError is raised. masks
        (L, T or more, N, H) are factors on the outputs of each layer.
        """
        if ids.ndim != 2 or ids.dtype.kind != "u":
            raise ShapeError(
                f"ids are {ids.dtype} {ids.shape}; expected unsigned integers (T, N)"
            )
        if ids.max(initial=0) >= self.config.vocab:
            raise ShapeError(
                f"ids go up to {ids.max()}; expected at most {self.config.vocab - 1}"
            )
        T, x, after = len(ids), ids, []
        for i, layer in enumerate(self._layers):
            x, cell_state = self.cell.forward(layer, x, state[i], workspace.layers[i])
            after.append(cell_state)
            if masks is not None:
                x = np.multiply(x, masks[i, :T], out=workspace.dropped[i, :T])
        workspace.outputs = x
        logits = workspace.logits[:T]
        rows = logits.reshape(-1, self.config.vocab)
        np.matmul(x.reshape(len(rows), -1), self.params["output.W"], out=rows)
        rows += self.params["output.b"]
        return logits, tuple(after)

    def loss_and_grads(
        self,
        inputs: Array,
        targets: Array,
        state: ModelState,
        workspace: Workspace,
        masks: Array | None = None,
    ) -> tuple[float, Parameters, ModelState]:
        """Return the mean loss in nats per character, its gradients, the state after.

        inputs and targets (T, N), targets one step ahead; masks as in `forward`. The
        gradients belong to the workspace. They stop at the window's first step: this is
        the truncation in truncated backpropagation through time (Williams & Peng 1990).
        """
        V = self.config.vocab
        if targets.shape != inputs.shape or targets.max(initial=0) >= V:
            raise ShapeError(
                f"targets are {targets.shape}, up to {targets.max(initial=0)}; "
                f"expected {inputs.shape}, up to {V - 1}"
            )
        logits, state = self.forward(inputs, state, workspace, masks)
        loss, dlogits = self.functions.cross_entropy_(
            logits.reshape(-1, V), targets.reshape(-1)
        )
        self._backward(dlogits, workspace, masks)
        return loss, workspace.grads, state

    def _backward(
        self, dlogits: Array, workspace: Workspace, masks: Array | None
    ) -> None:
        """Fill the workspace's gradients, given that of the logits (T·N, V)."""
        grads, T, H = workspace.grads, len(workspace.outputs), self.config.hidden
        dh = workspace.dh[:T]
        rows, drows = workspace.outputs.reshape(-1, H), dh.reshape(-1, H)
        np.matmul(rows.T, dlogits, out=grads["output.W"])
        dlogits.sum(axis=0, out=grads["output.b"])
        np.matmul(dlogits, self.params["output.W"].T, out=drows)
        for i in reversed(range(self.config.layers)):
            if masks is not None:
                dh *= masks[i, :T]
            dinputs, _ = self.cell.backward(
                self._layers[i], dh, workspace.layers[i], workspace.layer_grads[i]
            )
            if dinputs is not None:  # None at the lowest layer, whose inputs are ids
                dh = dinputs


def _restore(
    config: ModelConfig, dtype: npt.DTypeLike, kernels: str, flat: Array
) -> Model:
    try:
        model = Model(config, dtype, kernels)
    except ImportError:  # pickled with Numba installed, opened without it
        model = Model(config, dtype)
    model.params.flat[:] = flat
    return model
