"""Writers: draw a character, read it, and repeat, for a block of characters.

Letters: n texts side by side, B characters in the block, V vocabulary, L layers, H
hidden, S arrays in a cell's state.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from charrnn.generation.repeats import Repeats
from charrnn.nn.cell import State
from charrnn.nn.ensemble import log_mean_
from charrnn.nn.filters import Filters, filter_, temper
from charrnn.nn.gates import columns
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import Predictor
from charrnn.nn.rounding import rounded
from charrnn.nn.steps import multiplier

States: TypeAlias = Sequence[Array]  # (L, S, n, H) of each network


class Writer(Protocol):
    """The interface of `NumpyWriter` and `nn.compiled.generate.CompiledWriter`."""

    def write(
        self,
        states: States,
        logits: Array,
        temperature: Array,
        filters: Filters,
        u: Array,
        ids: Array,
    ) -> None:
        """Draw the next B characters of n texts.

        states, one (L, S, n, H) for each network, and logits (n, V) are those after the
        last character, and are updated in place. temperature (n, 1). u (B, n) is
        uniform in [0, 1). ids (B, n) is the output.
        """


class NumpyWriter:
    """Writes with the cells' own `step`, in NumPy.

    Parameters
    ----------
    model : Predictor
        The network, or an ensemble of several.
    n : int
        The number of texts.
    never : sequence of int
        Ids that are not to be drawn; their logits are minus infinity.
    repeats : Repeats, optional
        Lowers logits after each character. It holds the n texts so far.
    """

    def __init__(
        self,
        model: Predictor,
        n: int,
        never: Sequence[int] = (),
        repeats: Repeats | None = None,
    ) -> None:
        self._readers = [_Reader(member, n) for member in model.members]
        self._never, self._repeats = [*never], repeats

    def write(
        self,
        states: States,
        logits: Array,
        temperature: Array,
        filters: Filters,
        u: Array,
        ids: Array,
    ) -> None:
        """Draw the next B characters of n texts; see `Writer`."""
        draw_next = _drawer(logits, temperature, filters)
        never, repeats = self._never, self._repeats
        # A single text uses vectors: NumPy is twice as fast with them as with matrices
        # of one row.
        single = len(logits) == 1
        z = logits[0] if single else logits
        k = len(self._readers)
        own = [z] if k == 1 else [np.empty_like(z) for _ in range(k)]
        by_layer = [
            [tuple(part[0] if single else part for part in s) for s in state]
            for state in states
        ]
        readers = [*zip(self._readers, by_layer, own, strict=True)]
        with np.errstate(over="ignore"):  # minus infinity, at the lowest temperatures
            for u_t, ids_t in zip(u, ids, strict=True):
                ids_t[:] = drawn = draw_next(u_t)
                for reader, layers, out in readers:
                    reader.read(drawn, layers, out)
                if k > 1:
                    z[:] = log_mean_(own)
                if never:
                    z[..., never] = -np.inf
                if repeats:
                    repeats.append(ids_t)
                    repeats.lower(logits)
        for state, layers in zip(states, by_layer, strict=True):
            for kept, parts in zip(state, layers, strict=True):
                kept[:] = np.reshape(parts, kept.shape)


class _Reader:
    """Reads characters of n texts with one network."""

    def __init__(self, model: Model, n: int) -> None:
        L, H, step = model.config.layers, model.config.hidden, model.cell.stepper
        layers = (model.params.scope(f"layer{i}") for i in range(L))
        lowest, *above = map(_rounded, layers, [("Wx", "Q"), *[()] * (L - 1)])
        G = len(lowest["b"]) // H
        self._layers = [(_looked_up(lowest, G, n), step(lowest, n))]
        self._layers += [(_projected(layer, G, n), step(layer, n)) for layer in above]
        W, self._b = model.output_layer()
        self._h_W, self._product = multiplier(rounded(W), n)

    def read(self, ids: Any, states: list[State], logits: Array) -> None:
        """Read a character of each text.

        ids (n,), or a number for a single text, whose arrays are vectors then. The
        states of the layers are replaced, and logits (n, V) are overwritten.
        """
        x = ids
        for i, (inputs, step) in enumerate(self._layers):
            a, s = inputs(x)
            states[i] = state = step(a, states[i], s)
            x = state[0]
        self._h_W(x)
        np.add(self._product, self._b, out=logits)


def _rounded(
    params: Mapping[str, Array], looked_up: Collection[str]
) -> dict[str, Array]:
    """Return a layer's parameters, with the matrices of its products rounded."""
    return {
        name: W if W.ndim < 2 or name in looked_up else rounded(W)
        for name, W in params.items()
    }


# Returns `x Wx + b` (G, n, H), gate by gate, and the scales `1 + x Q` (n, H) if any.
_Inputs: TypeAlias = Callable[[Any], tuple[Array, Array | None]]


def _looked_up(params: Mapping[str, Array], G: int, n: int) -> _Inputs:
    """Return the inputs of the layer that reads ids: rows for each of them."""
    rows = columns(params["Wx"] + params["b"], G)  # (G, V, H)
    scales = 1 + params["Q"] if "Q" in params else None  # (V, H)
    if n > 1:
        rows = np.ascontiguousarray(rows)

    def inputs(ids: Any) -> tuple[Array, Array | None]:
        a = rows[:, ids] if n == 1 else rows.take(ids, axis=1)
        return a, None if scales is None else scales[ids]

    return inputs


def _projected(params: Mapping[str, Array], G: int, n: int) -> _Inputs:
    """Return the inputs of a layer that reads the states x of the one below."""
    x_Wx, a = multiplier(params["Wx"], n, G)
    b = params["b"].reshape(G, -1) if n == 1 else params["b"].reshape(G, 1, -1)
    x_Q, s = multiplier(params["Q"], n) if "Q" in params else (None, None)

    def inputs(x: Array) -> tuple[Array, Array | None]:
        x_Wx(x)
        np.add(a, b, out=a)
        if x_Q and s is not None:
            x_Q(x)
            np.add(s, 1, out=s)
        return a, s

    return inputs


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
