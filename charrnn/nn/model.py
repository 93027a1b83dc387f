"""The network: one-hot characters, a stack of recurrent cells, and a softmax.

    h = cells(one_hot(ids))          (T, N, H)
    logits = h W + b                 (T, N, V)
    loss = mean of -log softmax(logits)[targets]

Letters: T time, N batch (streams), H hidden, V vocabulary, L layers.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from charrnn.config import ModelConfig
from charrnn.errors import ShapeError
from charrnn.nn import kernels
from charrnn.nn.cell import GatesDone, State
from charrnn.nn.init import glorot_uniform
from charrnn.nn.parameters import Array, Parameters, Shape, blocks
from charrnn.nn.sampled import Sample

# In training, up to this many logits are in memory at once (8 MB); up to 1,024
# characters, these are all of a window of 32 x 64.
_LOGITS = 1 << 21
_PRODUCT = 1 << 18  # elements of a product that is added to another array

ModelState: TypeAlias = tuple[State, ...]  # one cell state per layer, lowest first
PiecesDone: TypeAlias = Callable[[int], None]


def shapes_of(config: ModelConfig) -> Iterator[tuple[str, Shape]]:
    """Yield the names and shapes of a network's parameters."""
    H, V = config.hidden, config.vocab
    cell = kernels.cell(config.cell, "numpy")  # its twin has the same
    for i in range(config.layers):
        for name, shape in cell.shapes(H if i else V, H).items():
            yield f"layer{i}.{name}", shape
    yield "output.W", (H, V)
    yield "output.b", (V,)


# Parameters with a row for each character: an id picks one.
ROWS_BY_ID = ("layer0.Wx", "layer0.Q")


def multiplied(shapes: Mapping[str, Shape]) -> list[str]:
    """Return the names of the matrices that states are multiplied with."""
    matrices = [name for name, shape in shapes.items() if len(shape) == 2]
    return [name for name in matrices if name not in ROWS_BY_ID]


class Workspace:
    """The arrays of a forward and a backward pass, allocated once for (T, N)."""

    def __init__(self, model: "Model", T: int, N: int) -> None:
        config, dtype = model.config, model.dtype
        L, H = config.layers, config.hidden
        sizes = [config.vocab] + [H] * (L - 1)
        self.layers: list[Any] = [
            model.cell.workspace(T, N, D, H, dtype) for D in sizes
        ]
        self.outputs = np.empty((0, N, H), dtype)  # of the last forward pass, (T, N, H)
        self.hidden = [self.outputs] * L  # the same of each layer, before dropout
        self._logits = np.empty(0, dtype)
        self.dh = np.empty((T, N, H), dtype)
        self.dropped = np.empty((L, T, N, H), dtype)
        self.grads = model.params.zeros_like()
        self.layer_grads = [self.grads.scope(f"layer{i}") for i in range(L)]
        self.output_grads = self.grads.scope("output")

    def logits(self, rows: int, columns: int) -> Array:
        """Return an array (rows, columns), in memory that grows if it is too small."""
        size = rows * columns
        if self._logits.size < size:
            self._logits = np.empty(size, self._logits.dtype)
        return self._logits[:size].reshape(rows, columns)


class Model:
    """The parameters and passes of a network; it keeps no other state between calls.

    kernels is "numpy", or "numba" for the compiled twins, which need float32.

    Its predictions are those of the logits divided by its own `temperature`. That is
    fitted after training (`evaluation/calibration.py`); training itself knows 1 only.
    """

    temperature = 1.0

    def __init__(
        self,
        config: ModelConfig,
        dtype: npt.DTypeLike = np.float32,
        kernels: str = "numpy",
    ) -> None:
        self.config, self.kernels = config, kernels
        self.dtype = np.dtype(dtype)
        self._use(kernels)
        self.params = Parameters(dict(shapes_of(config)), self.dtype)
        self._look_up()

    def _look_up(self) -> None:
        """Find the parameters of each layer."""
        L = self.config.layers
        self._layers = [self.params.scope(f"layer{i}") for i in range(L)]
        self._output = self.params.scope("output")

    def move_to(self, flat: Array) -> None:
        """Let a part of another flat vector hold the parameters from now on."""
        self.params.move_to(flat)
        self._look_up()

    def _use(self, name: str) -> None:
        self.cell = kernels.cell(self.config.cell, name)
        self.functions = kernels.functions(name)

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled one by one, the arrays would no longer share one vector.
        facts = self.config, self.dtype, self.kernels, self.temperature
        return _restore, (*facts, self.params.flat)

    def copy(self, kernels: str = "") -> "Model":
        """Return an independent model with the same parameters, and these kernels."""
        copy = Model(self.config, self.dtype, kernels or self.kernels)
        copy.params.flat[:] = self.params.flat
        copy.temperature = self.temperature
        return copy

    @property
    def members(self) -> tuple["Model", ...]:
        """The network itself: an ensemble of one, see `nn.predictor`."""
        return (self,)

    @property
    def vocab(self) -> int:
        """The number of characters."""
        return self.config.vocab

    def init(self, *, rng: np.random.Generator) -> None:
        """Fill the parameters with their initial values, in place."""
        for layer in self._layers:
            self.cell.init(layer, rng=rng)
        glorot_uniform(self.params["output.W"], rng=rng)
        self.params["output.b"].fill(0)

    def output_layer(self) -> tuple[Array, Array]:
        """Return W and b of the output layer, divided by the model's temperature."""
        W, b = self._output["W"], self._output["b"]
        return W / self.temperature, b / self.temperature

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
        (L, T or more, N, H) are factors on the outputs of each layer. A step that reads
        the end mark starts a document: it reads a state of zero.
        """
        after = self.read(ids, state, workspace, masks)
        outputs = workspace.outputs.reshape(ids.size, -1)
        rows = _logits(outputs, self._output, workspace)
        if self.temperature != 1:
            rows /= self.temperature
        return rows.reshape(*ids.shape, -1), after

    def read(
        self,
        ids: Array,
        state: ModelState,
        workspace: Workspace,
        masks: Array | None = None,
    ) -> ModelState:
        """Do as `forward` without the logits, and return the state after.

        The outputs (T, N, H) are then in the workspace, and those of each layer.
        """
        if ids.ndim != 2 or ids.dtype.kind != "u":
            raise ShapeError(
                f"ids are {ids.dtype} {ids.shape}; expected unsigned integers (T, N)"
            )
        if ids.max(initial=0) >= self.config.vocab:
            raise ShapeError(
                f"ids go up to {ids.max()}; expected at most {self.config.vocab - 1}"
            )
        starts = self._starts(ids)
        T, x, after = len(ids), ids, []
        for i, layer in enumerate(self._layers):
            x, cell_state = self.cell.forward(
                layer, x, state[i], workspace.layers[i], starts
            )
            after.append(cell_state)
            workspace.hidden[i] = x
            if masks is not None:
                x = np.multiply(x, masks[i, :T], out=workspace.dropped[i, :T])
        workspace.outputs = x
        return tuple(after)

    def _starts(self, ids: Array) -> Array | None:
        """Return where ids (T, N) are the end mark, or None if they never are."""
        if self.config.end < 0:
            return None
        # In C order whatever that of the ids, so that one compiled loop fits all.
        starts: Array = np.equal(ids, self.config.end, order="C")
        return starts if starts.any() else None

    def loss_and_grads(
        self,
        inputs: Array,
        targets: Array,
        state: ModelState,
        workspace: Workspace,
        masks: Array | None = None,
        sample: Sample | None = None,
        pieces_done: PiecesDone | None = None,
    ) -> tuple[float, Parameters, ModelState]:
        """Return the mean loss in nats per character, its gradients, the state after.

        inputs and targets (T, N), targets one step ahead; masks as in `forward`. With a
        sample, loss and gradients are estimates (`nn/sampled.py`). The gradients belong
        to the workspace. They stop at the window's first step: this is the truncation
        in truncated backpropagation through time (Williams & Peng 1990).

        pieces_done is called with the number of `gradient_pieces` that are final.
        """
        V = self.config.vocab
        if targets.shape != inputs.shape or targets.max(initial=0) >= V:
            raise ShapeError(
                f"targets are {targets.shape}, up to {targets.max(initial=0)}; "
                f"expected {inputs.shape}, up to {V - 1}"
            )
        state = self.read(inputs, state, workspace, masks)
        targets = targets.reshape(-1)
        if sample is None:
            layer, grads = self._output, workspace.output_grads
            loss = self._output_layer(targets, layer, grads, workspace)
        else:
            loss = self._sampled_output_layer(targets, sample, workspace)
        self._backward(workspace, masks, pieces_done)
        return loss, workspace.grads, state

    def gradient_pieces(self, grads: Parameters) -> list[Array]:
        """Return views of a gradient, in the order in which backward computes them.

        Those of the output layer come first, and then each layer's, from the top: Wh by
        gate, and the other parameters.
        """
        pieces = list(grads.scope("output").values())
        for i in reversed(range(self.config.layers)):
            layer = grads.scope(f"layer{i}")
            Wh = layer.pop("Wh")
            pieces += np.split(Wh, Wh.shape[1] // len(Wh), axis=1)
            pieces += layer.values()
        return pieces

    def _sampled_output_layer(
        self, targets: Array, sample: Sample, workspace: Workspace
    ) -> float:
        """Do as `_output_layer`, with the columns of a sample only."""
        ids, log_q = sample.ids, sample.log_q.astype(self.dtype)
        layer = {name: part.take(ids, axis=-1) for name, part in self._output.items()}
        layer["b"] -= log_q
        grads = {name: np.empty_like(part) for name, part in layer.items()}
        places = sample.places(targets)
        loss = self._output_layer(places, layer, grads, workspace)
        for name, whole in workspace.output_grads.items():
            whole.fill(0)
            whole[..., ids] = grads[name]
        return loss - float(log_q[places].mean())

    def _output_layer(
        self,
        targets: Array,
        layer: dict[str, Array],
        grads: dict[str, Array],
        workspace: Workspace,
    ) -> float:
        """Return the mean loss; write dh and the gradients of the output layer.

        The logits are computed in blocks of rows: with a large vocabulary, those of the
        whole window would need more memory than all the rest. targets (T·N,).
        """
        T, R, H = len(workspace.outputs), len(targets), self.config.hidden
        rows, drows = workspace.outputs.reshape(R, H), workspace.dh[:T].reshape(R, H)
        W, dW, db, loss = layer["W"], grads["W"], grads["b"], 0.0
        for block in blocks(R, max(1, _LOGITS // len(db))):
            x = rows[block]
            logits = _logits(x, layer, workspace)
            mean, dlogits = self.functions.cross_entropy_(logits, targets[block])
            share = len(x) / R
            loss += mean * share
            if share < 1:
                dlogits *= share  # the gradient of the mean over all rows
            np.matmul(dlogits, W.T, out=drows[block])
            if block.start == 0:
                np.matmul(x.T, dlogits, out=dW)
                dlogits.sum(axis=0, out=db)
            else:
                _add_product(x.T, dlogits, dW)
                db += dlogits.sum(axis=0)
        return loss

    def _backward(
        self,
        workspace: Workspace,
        masks: Array | None,
        pieces_done: PiecesDone | None,
    ) -> None:
        """Fill the gradients of the cells, given dh."""
        T = len(workspace.outputs)
        dh, done = workspace.dh[:T], len(workspace.output_grads)
        gates_done: GatesDone | None = None
        if pieces_done:
            pieces_done(done)
        for i in reversed(range(self.config.layers)):
            grads = workspace.layer_grads[i]
            if masks is not None:
                dh *= masks[i, :T]
            if pieces_done:
                gates_done = _counting_from(done, pieces_done)
            dinputs, _ = self.cell.backward(
                self._layers[i], dh, workspace.layers[i], grads, gates_done
            )
            if pieces_done:
                G = grads["Wh"].shape[1] // self.config.hidden
                done += G + len(grads) - 1
                pieces_done(done)
            if dinputs is not None:  # None at the lowest layer, whose inputs are ids
                dh = dinputs


def _counting_from(before: int, pieces_done: PiecesDone) -> GatesDone:
    return lambda gates: pieces_done(before + gates)


def _logits(outputs: Array, layer: dict[str, Array], workspace: Workspace) -> Array:
    """Return the logits of outputs (R, H), in memory of the workspace."""
    logits = workspace.logits(len(outputs), len(layer["b"]))
    np.matmul(outputs, layer["W"], out=logits)
    logits += layer["b"]
    return logits


def _add_product(A: Array, B: Array, out: Array) -> None:
    """Add A @ B to out, in blocks of columns: no array is as large as out."""
    for block in blocks(B.shape[1], max(1, _PRODUCT // len(A))):
        out[:, block] += A @ B[:, block]


def _restore(
    config: ModelConfig,
    dtype: npt.DTypeLike,
    kernels: str,
    temperature: float,
    flat: Array,
) -> Model:
    try:
        model = Model(config, dtype, kernels)
    except ImportError:  # pickled with Numba installed, opened without it
        model = Model(config, dtype)
    model.params.flat[:], model.temperature = flat, temperature
    return model
