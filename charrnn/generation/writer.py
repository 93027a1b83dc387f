"""Writers: draw a character, read it, and repeat, for a block of characters.

Letters: n texts side by side, B characters in the block, V vocabulary, L layers, H
hidden, S arrays in a cell's state.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from charrnn.generation.repeats import Repeats
from charrnn.nn.filters import Filters, filter_, temper, without
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array


class Writer(Protocol):
    """The interface of `NumpyWriter` and `nn.compiled.generate.CompiledWriter`."""

    def write(
        self,
        state: Array,
        logits: Array,
        temperature: Array,
        filters: Filters,
        u: Array,
        ids: Array,
    ) -> None:
        """Draw the next B characters of n texts.

        state (L, S, n, H) and logits (n, V) are those after the last character, and are
        updated in place. temperature (n, 1). u (B, n) is uniform in [0, 1). ids (B, n)
        is the output.
        """


class NumpyWriter:
    """Writes with the cells' own `step`, in NumPy.

    Parameters
    ----------
    model : Model
        The network and its weights.
    never : sequence of int
        Ids that are not to be drawn; their logits are minus infinity.
    repeats : Repeats, optional
        Lowers logits after each character. It holds the n texts so far.
    """

    def __init__(
        self, model: Model, never: Sequence[int] = (), repeats: Repeats | None = None
    ) -> None:
        config, params = model.config, model.params
        self._cell = model.cell
        self._layers = [params.scope(f"layer{i}") for i in range(config.layers)]
        lowest = self._layers[0]
        self._rows = lowest["Wx"] + lowest["b"]  # (V, G·H), added to a
        self._W, self._b = params["output.W"], without(params["output.b"], never)
        self._repeats = repeats

    def write(
        self,
        state: Array,
        logits: Array,
        temperature: Array,
        filters: Filters,
        u: Array,
        ids: Array,
    ) -> None:
        """Draw the next B characters of n texts; see `Writer`."""
        draw_next = _drawer(logits, temperature, filters)
        repeats = self._repeats
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
                if repeats:
                    repeats.append(ids_t)
                    repeats.lower(logits)
        for out, parts in zip(state, states, strict=True):
            out[:] = np.reshape(parts, out.shape)


def draw(p: Array, u: Array) -> Array:
    """Return one id per row: the first whose cumulative share exceeds u.

    p (n, V), whose rows need not sum to 1; u (n, 1) in [0, 1).
    """
    cumulated = np.add.accumulate(p, axis=1)
    passed = cumulated <= u * cumulated[:, -1:]
    ids: Array = np.add.reduce(passed, axis=1, dtype=np.intp)
    np.minimum(ids, p.shape[1] - 1, out=ids)  # u times the sum may round to the sum
    return ids


def _drawer(
    logits: Array, temperature: Array, filters: Filters
) -> Callable[[Array], Any]:
    """Return a function that draws from the current logits (n, V), given u (n,)."""
    p = np.empty(logits.shape)
    greedy = temperature == 0
    divisor = np.where(greedy, 1, temperature)
    filtered = greedy.any() or filters.active

    def draw_many(u: Array) -> Array:
        temper(logits, divisor, p)
        if filtered:
            filter_(p, logits, greedy, filters)
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
            filter_(p, logits, greedy, filters)
        np.add.accumulate(p_z, out=cumulated)
        goal = u[0] * cumulated[last]
        return min(int(cumulated.searchsorted(goal, "right")), last)

    return draw_one if len(logits) == 1 else draw_many
