"""Writers: draw a character, read it, and repeat, for a block of characters.

Letters: n texts side by side, B characters in the block, V vocabulary, L layers, H
hidden, S arrays in a cell's state.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from charrnn.nn.model import Model
from charrnn.nn.parameters import Array


class Writer(Protocol):
    """The interface of `NumpyWriter` and `nn.compiled.generate.CompiledWriter`."""

    def write(
        self,
        state: Array,
        logits: Array,
        temperature: Array,
        top_k: int,
        top_p: float,
        u: Array,
        ids: Array,
    ) -> None:
        """Draw the next B characters of n texts.

        state (L, S, n, H) and logits (n, V) are those after the last character, and are
        updated in place. temperature (n, 1). u (B, n) is uniform in [0, 1). ids (B, n)
        is the output.
        """


class NumpyWriter:
    """Writes with the cells' own `step`, in NumPy."""

    def __init__(self, model: Model) -> None:
        config, params = model.config, model.params
        self._cell = model.cell
        self._layers = [params.scope(f"layer{i}") for i in range(config.layers)]
        lowest = self._layers[0]
        self._rows = lowest["Wx"] + lowest["b"]  # (V, G·H), added to a
        self._W, self._b = params["output.W"], params["output.b"]

    def write(
        self,
        state: Array,
        logits: Array,
        temperature: Array,
        top_k: int,
        top_p: float,
        u: Array,
        ids: Array,
    ) -> None:
        """Draw the next B characters of n texts; see `Writer`."""
        draw_next = _drawer(logits, temperature, top_k, top_p)
        # A single text uses vectors: NumPy is twice as fast with them as with matrices
        # of one row.
        single = len(logits) == 1
        z = logits[0] if single else logits
        states = [tuple(part[0] if single else part for part in s) for s in state]
        step, (lowest, *above) = self._cell.step, self._layers
        with np.errstate(over="ignore"):  # minus infinity, at the lowest temperatures
            for u_t, ids_t in zip(u, ids, strict=True):
                ids_t[:] = drawn = draw_next(u_t)
                states[0] = step(lowest, self._rows[drawn], states[0])
                for i, layer in enumerate(above, 1):
                    a = np.dot(states[i - 1][0], layer["Wx"])
                    a += layer["b"]
                    states[i] = step(layer, a, states[i])
                np.dot(states[-1][0], self._W, out=z)
                z += self._b
        for out, parts in zip(state, states, strict=True):
            out[:] = np.reshape(parts, out.shape)


def distribution(
    logits: Array, temperature: Array, top_k: int = 0, top_p: float = 1.0
) -> Array:
    """Return the probabilities (n, V) to draw from, in float64.

    logits (n, V) are divided by temperature (n, 1); temperature 0 always takes the
    likeliest character, the first if several are equal. Then only the top_k likeliest
    are kept, and of these the likeliest that together have the share top_p of what is
    left (Holtzman et al. 2020).
    """
    greedy = temperature == 0
    p = np.empty(logits.shape)
    _temper(logits, np.where(greedy, 1, temperature), p)
    _filter(p, logits, greedy, top_k, top_p)
    p /= p.sum(axis=1, keepdims=True)
    return p


def draw(p: Array, u: Array) -> Array:
    """Return one id per row: the first whose cumulative share exceeds u.

    p (n, V), whose rows need not sum to 1; u (n, 1) in [0, 1).
    """
    cumulated = np.add.accumulate(p, axis=1)
    passed = cumulated <= u * cumulated[:, -1:]
    ids: Array = np.add.reduce(passed, axis=1, dtype=np.intp)
    np.minimum(ids, p.shape[1] - 1, out=ids)  # u times the sum may round to the sum
    return ids


def _temper(logits: Array, divisor: Array, p: Array) -> None:
    """Write exp(logits / divisor) into p, scaled so that each row's maximum is 1."""
    np.copyto(p, logits)
    p -= np.maximum.reduce(p, axis=1, keepdims=True)
    with np.errstate(over="ignore"):  # minus infinity, at the lowest temperatures
        p /= divisor
    np.exp(p, out=p)


def _filter(p: Array, logits: Array, greedy: Array, top_k: int, top_p: float) -> None:
    """Set the probabilities of characters that must not be drawn to 0."""
    if greedy.any():
        likeliest = np.arange(p.shape[1]) == logits.argmax(1)[:, None]
        np.copyto(p, likeliest, where=greedy)
    if 0 < top_k < p.shape[1]:
        dropped = np.argsort(-p, axis=1, kind="stable")[:, top_k:]
        np.put_along_axis(p, dropped, 0, axis=1)
    if top_p < 1:
        order = np.argsort(-p, axis=1, kind="stable")
        ranked = np.take_along_axis(p, order, axis=1)
        share = top_p * ranked.sum(axis=1, keepdims=True)
        # A character stays while those likelier than it hold less than the share.
        ranked[np.cumsum(ranked, axis=1) - ranked >= share] = 0
        np.put_along_axis(p, order, ranked, axis=1)


def _drawer(
    logits: Array, temperature: Array, top_k: int, top_p: float
) -> Callable[[Array], Any]:
    """Return a function that draws from the current logits (n, V), given u (n,)."""
    p = np.empty(logits.shape)
    greedy = temperature == 0
    divisor = np.where(greedy, 1, temperature)
    filtered = greedy.any() or top_k > 0 or top_p < 1

    def draw_many(u: Array) -> Array:
        _temper(logits, divisor, p)
        if filtered:
            _filter(p, logits, greedy, top_k, top_p)
        return draw(p, u[:, None])

    z, p_z, cumulated = logits[0], p[0], np.empty(logits.shape[1])
    τ, last = divisor.flat[0], len(z) - 1

    def draw_one(u: Array) -> Any:
        # The same numbers as for many, in calls that take a vector.
        np.copyto(p_z, z)
        np.subtract(p_z, p_z[p_z.argmax()], out=p_z)
        np.divide(p_z, τ, out=p_z)
        np.exp(p_z, out=p_z)
        if filtered:
            _filter(p, logits, greedy, top_k, top_p)
        np.add.accumulate(p_z, out=cumulated)
        goal = u[0] * cumulated[last]
        return min(int(cumulated.searchsorted(goal, "right")), last)

    return draw_one if len(logits) == 1 else draw_many
