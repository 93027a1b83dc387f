"""Compiled generation: a block of characters is drawn and read in one call.

The twin of `charrnn.generation.writer.NumpyWriter` and of `charrnn.nn.filters`.
Probabilities are computed in float32 and added up in float64. Each row is computed
independently of the others, so that a text does not depend on how many are written
together.

A compiled function cannot take another function as an argument and still be cached on
disk. So the block is one function for all cells, and the type of the cell's weights
selects the cell's step when Numba compiles it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numba import literal_unroll
from numba.extending import overload

from charrnn.nn.compiled.elementary import ONE, exp
from charrnn.nn.compiled.jit import OPTIONS, compiled, inlined
from charrnn.nn.compiled.rounding import Matrices, multiply_rounded, pack_rounded
from charrnn.nn.filters import Filters
from charrnn.nn.kernels import cell
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import Predictor

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Network(NamedTuple):
    """A network that reads n texts: its weights, state and memory."""

    rows: Array  # (V, G·H), Wx + b of the lowest layer, by character
    Wx: Matrices  # of the L - 1 layers above
    b: Array  # (L - 1, G·H)
    W: Matrices  # of the output layer, the only one
    output_b: Array  # (V,)
    weights: Any  # recurrent ones, of a type that each cell has of its own
    Q_rows: Array  # (V, H), Q of a multiplicative cell, or no rows
    Q: Matrices  # of the layers above
    state: Array  # (L, S, n, H)
    a: Array  # (n, G·H)
    h_Wh: Array  # (n, G·H)
    scaled: Array  # (n, H)
    logits: Array  # (n, V)


def step(weights: Any, layer: int, a: Array, u: Array, state: Array) -> None:
    """Update the state (S, H) of one text by a character; for compiled functions only.

    weights are those of a cell, with the recurrent weights `Wh` of all layers. a (G·H)
    is x Wx + b, and u (G·H) is h Wh. Each compiled cell registers its own step.
    """
    raise NotImplementedError("only compiled code calls this")


def compiled_step(weights: type) -> Callable[[_Function], _Function]:
    """Register a function as the `step` of the cell with this type of weights."""

    def register(function: _Function) -> _Function:
        def choose(w: Any, layer: Any, a: Any, u: Any, state: Any) -> Any:
            return function if getattr(w, "instance_class", None) is weights else None

        overload(step, jit_options=OPTIONS, inline="always", strict=False)(choose)
        return function

    return register


@compiled
def _keep_share(p: Array, order: Array, share: float) -> None:
    """Keep the first characters in the order that hold the share of the sum of p."""
    enough, held = share * p.sum(), 0.0
    for j in order:
        p_j = p[j]
        if held >= enough:
            p[j] = 0
        held += p_j


@compiled
def _most_typical_first(p: Array) -> Array:
    total = entropy = 0.0
    for j in range(len(p)):
        total += p[j]
    distance = np.full(len(p), np.inf)
    for j in range(len(p)):
        if p[j] > 0:
            distance[j] = -np.log(p[j] / total)
            entropy += p[j] / total * distance[j]
    for j in range(len(p)):
        distance[j] = abs(distance[j] - entropy)
    return np.argsort(distance, kind="mergesort")


@compiled
def _filter(p: Array, filters: Filters) -> None:
    top_k, top_p, min_p, typical = filters
    if 0 < top_k < len(p) or top_p < 1:
        # In float64, as for the typical ones: one sort to compile.
        order = np.argsort(-p.astype(np.float64), kind="mergesort")
        if 0 < top_k < len(p):
            for j in order[top_k:]:
                p[j] = 0
        if top_p < 1:
            _keep_share(p, order, top_p)
    if min_p > 0:
        largest = p[0]
        for j in range(len(p)):
            largest = max(largest, p[j])
        for j in range(len(p)):
            if p[j] < min_p * largest:
                p[j] = 0
    if typical < 1:
        _keep_share(p, _most_typical_first(p), typical)


@compiled
def _draw(
    logits: Array,
    temperature: float,
    filters: Filters,
    never: Array,
    u: float,
    p: Array,
) -> int:
    V = len(logits)
    if temperature == 0:
        return int(np.argmax(logits))
    largest = logits[0]
    for j in range(V):
        largest = max(largest, logits[j])
    for j in range(V):
        p[j] = exp(np.float32((logits[j] - largest) / temperature))
    for j in never:
        p[j] = 0  # `exp` of minus infinity is tiny and not 0
    _filter(p, filters)
    total = 0.0
    for j in range(V):
        total += p[j]
    goal, cumulated, likely = u * total, 0.0, 0
    for j in range(V):
        cumulated += p[j]
        if p[j] > 0:
            likely = j
        if cumulated > goal:
            return j
    return likely  # u * total may round up to total


# Assignments to whole rows and arrays would take Numba seconds more to compile.
@compiled
def _take_rows(rows: Array, ids: Array, out: Array) -> None:
    for k in range(len(ids)):
        row, out_k = rows[ids[k]], out[k]
        for j in range(len(row)):
            out_k[j] = row[j]


@compiled
def _add_to_rows(rows: Array, b: Array) -> None:
    for k in range(len(rows)):
        row = rows[k]
        for j in range(len(b)):
            row[j] += b[j]


@compiled
def _scale(q: Array, h: Array) -> None:
    """Turn x Q into h (1 + x Q), in place; both (n, H)."""
    for k in range(len(h)):
        q_k, h_k = q[k], h[k]
        for j in range(len(h_k)):
            q_k[j] = h_k[j] * (ONE + q_k[j])


def _read(network: Any, ids: Array) -> None:
    """Read a character of each text: update the state, and write the logits."""
    rows, Wx, b, W, output_b, weights, Q_rows, Q = network[:8]
    state, a, h_Wh, scaled, logits = network[8:]
    for i in range(len(state)):
        h = state[i, 0]
        if len(Q_rows):
            if i == 0:
                _take_rows(Q_rows, ids, scaled)
            else:
                multiply_rounded(state[i - 1, 0], Q, i - 1, scaled)
            _scale(scaled, h)
            h = scaled
        multiply_rounded(h, weights.Wh, i, h_Wh)
        if i == 0:
            _take_rows(rows, ids, a)
        else:
            multiply_rounded(state[i - 1, 0], Wx, i - 1, a)
            _add_to_rows(a, b[i - 1])
        for k in range(len(ids)):
            step(weights, i, a[k], h_Wh[k], state[i, :, k])
    multiply_rounded(state[len(state) - 1, 0], W, 0, logits)
    _add_to_rows(logits, output_b)


# A call would take a small network 6 % more time. Several networks share the code.
_read_inlined, _read_called = inlined(_read), compiled(_read)


@compiled
def _exclude(never: Array, logits: Array) -> None:
    for j in never:
        for k in range(len(logits)):
            logits[k, j] = -np.inf


@compiled
def _log_mean(z: Array, out: Array) -> None:
    """Write the log of the mean of the softmaxes of z (k, n, V), which is overwritten.

    out (n, V). This is the twin of `nn.ensemble.log_mean_`.
    """
    k, n, V = z.shape
    total = np.empty(V, np.float32)
    for row in range(n):
        largest = out[row]
        for i in range(k):
            z_i = z[i, row]
            top = z_i[0]
            for j in range(V):
                top = max(top, z_i[j])
            sum_i = np.float32(0)
            for j in range(V):
                sum_i += exp(z_i[j] - top)
            top += np.log(sum_i)
            for j in range(V):
                z_i[j] -= top
                largest[j] = max(largest[j], z_i[j]) if i else z_i[j]
        total[:] = 0
        for i in range(k):
            z_i = z[i, row]
            for j in range(V):
                total[j] += exp(z_i[j] - largest[j])
        for j in range(V):
            largest[j] += np.log(total[j] / np.float32(k))


@compiled
def _write_block(
    network: Any,
    never: Array,
    logits: Array,
    temperature: Array,
    filters: Filters,
    u: Array,
    ids: Array,
) -> None:
    n, p = len(logits), np.empty(logits.shape[1], np.float32)
    for t in range(len(u)):
        for k in range(n):
            ids[t, k] = _draw(logits[k], temperature[k, 0], filters, never, u[t, k], p)
        _read_inlined(network, ids[t])
        _exclude(never, logits)


@compiled
def _write_block_by_mean(
    networks: Any,
    z: Array,
    never: Array,
    logits: Array,
    temperature: Array,
    filters: Filters,
    u: Array,
    ids: Array,
) -> None:
    """Do as `_write_block` with several networks, whose logits are z (k, n, V)."""
    n, p = len(logits), np.empty(logits.shape[1], np.float32)
    for t in range(len(u)):
        for k in range(n):
            ids[t, k] = _draw(logits[k], temperature[k, 0], filters, never, u[t, k], p)
        for network in literal_unroll(networks):  # of several types
            _read_called(network, ids[t])
        _log_mean(z, logits)
        _exclude(never, logits)


class _Network:
    """The weights of a network, packed to write n texts."""

    def __init__(self, model: Model, n: int) -> None:
        config, params = model.config, model.params
        layers = [params.scope(f"layer{i}") for i in range(config.layers)]
        twin: Any = cell(config.cell, "numba")
        lowest, above = layers[0], layers[1:]
        self._gates, self._hidden = lowest["b"].size, config.hidden
        W, b = model.output_layer()
        none = np.empty((0, 0), np.float32)
        self._weights = (
            lowest["Wx"] + lowest["b"],
            pack_rounded([layer["Wx"] for layer in above], n),
            np.array([layer["b"] for layer in above], np.float32).reshape(
                -1, self._gates
            ),
            pack_rounded([W], n),
            b,
            twin.generation_weights(layers, n),
            lowest.get("Q", none),
            pack_rounded([layer["Q"] for layer in above if "Q" in layer], n),
        )

    def with_state(self, state: Array, logits: Array) -> Network:
        """Return what compiled code reads with."""
        a, h_Wh = np.empty((2, len(logits), self._gates), np.float32)
        scaled = np.empty((len(logits), self._hidden), np.float32)
        return Network(*self._weights, state, a, h_Wh, scaled, logits)


class CompiledWriter:
    """Writes blocks of characters with a model, compiled; see `NumpyWriter`."""

    def __init__(self, model: Predictor, n: int, never: Sequence[int] = ()) -> None:
        self._networks = [_Network(member, n) for member in model.members]
        self._never = np.array(never, np.intp)

    def write(
        self,
        states: Sequence[Array],
        logits: Array,
        temperature: Array,
        filters: Filters,
        u: Array,
        ids: Array,
    ) -> None:
        """Draw the next B characters of n texts.

        states, one (L, S, n, H) for each network, and logits (n, V) are those after the
        last character, and are updated in place; temperature (n, 1); u (B, n) in
        [0, 1); the characters are written into ids (B, n).
        """
        how = self._never, logits, temperature, filters, u, ids
        if len(self._networks) == 1:
            network = self._networks[0].with_state(states[0], logits)
            _write_block(network, *how)
            return
        z = np.empty((len(self._networks), *logits.shape), logits.dtype)
        networks = tuple(
            network.with_state(state, own)
            for network, state, own in zip(self._networks, states, z, strict=True)
        )
        _write_block_by_mean(networks, z, *how)
