"""Writing: draw a character, read it, and again, a block of them in one call.

`numba_writing` has the same function, compiled. Letters: n texts side by side, B
characters in the block, V vocabulary, L layers, H hidden, G gates, S parts of a state.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from charrnn.nn.parameters import Array


class Weights(NamedTuple):
    """A network laid out for one character after another; columns as in the steps."""

    rows: Array  # (V, G·H), Wx + b of the lowest layer: what a character adds
    Wx: Array  # of the L - 1 layers above, each as `pack` left it
    b: Array  # (L - 1, G·H)
    Wh: Array  # of the L layers, each as `pack` left it
    c: Array  # (L, H), the recurrent bias of a GRU's n
    W: Array  # of the output layer, as `pack` left it
    output_b: Array  # (V,)


def distribution(
    logits: Array, temperature: Array, top_k: int = 0, top_p: float = 1.0
) -> Array:
    """Return the probabilities (n, V) to draw from, in float64.

    logits (n, V); temperature (n, 1), each of them a divisor of the logits; 0 puts all
    on the likeliest (the first of equals). Then only the top_k likeliest stay, and of
    these the likeliest that together hold top_p (Holtzman et al. 2020).
    """
    greedy = temperature == 0
    p = np.empty(logits.shape)
    _temper(logits, np.where(greedy, 1, temperature), p)
    _filter(p, logits, greedy, top_k, top_p)
    p /= p.sum(axis=1, keepdims=True)
    return p


def _temper(logits: Array, divisor: Array, p: Array) -> None:
    """Write exp(logits / divisor) into p, as shares of the likeliest."""
    np.copyto(p, logits)
    p -= np.maximum.reduce(p, axis=1, keepdims=True)
    with np.errstate(over="ignore"):  # minus infinity, for the smallest temperatures
        p /= divisor
    np.exp(p, out=p)


def _filter(p: Array, logits: Array, greedy: Array, top_k: int, top_p: float) -> None:
    """Set to 0 what must not be drawn."""
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


def draw(p: Array, u: Array) -> Array:
    """Return one id a row: the first whose cumulated share exceeds u.

    p (n, V), of any sum; u (n, 1) in [0, 1).
    """
    cumulated = np.add.accumulate(p, axis=1)
    passed = cumulated <= u * cumulated[:, -1:]
    ids: Array = np.add.reduce(passed, axis=1, dtype=np.intp)
    np.minimum(ids, p.shape[1] - 1, out=ids)  # u times the sum may round to the sum
    return ids


def write(
    weights: Weights,
    state: Array,
    logits: Array,
    temperature: Array,
    top_k: int,
    top_p: float,
    u: Array,
    ids: Array,
) -> None:
    """Draw B characters of n texts, each after those before it.

    state (L, S, n, H) and logits (n, V) are what the last character left, and become
    what these leave; temperature (n, 1); u (B, n) in [0, 1); ids (B, n) are written.
    """
    L, H = len(state), state.shape[-1]
    rows, Wx, b, Wh, c, W, output_b = weights
    draw_next = _drawing(logits, temperature, top_k, top_p)
    if len(logits) == 1:
        # A text alone is vectors: NumPy is twice as fast with them as with matrices of
        # one row.
        state, logits = state[:, :, 0], logits[0]
    above, gates = np.empty((2, *logits.shape[:-1], rows.shape[1]), rows.dtype)
    advance = _ADVANCE[rows.shape[1] // H]
    layers = [(i, Wh[i], c[i], state[i]) for i in range(L)]
    with np.errstate(over="ignore"):  # minus infinity, for the smallest temperatures
        for u_t, ids_t in zip(u, ids, strict=True):
            ids_t[:] = drawn = draw_next(u_t)
            a = rows[drawn]
            for i, Wh_i, c_i, state_i in layers:
                np.dot(state_i[0], Wh_i, out=gates)
                if i:
                    a = np.dot(state[i - 1, 0], Wx[i - 1], out=above)
                    a += b[i - 1]
                advance(a, gates, c_i, state_i)
            np.dot(state_i[0], W, out=logits)
            logits += output_b


def _drawing(
    logits: Array, temperature: Array, top_k: int, top_p: float
) -> Callable[[Array], Array]:
    """Return what draws from the logits (n, V) as they then are, for numbers (n,)."""
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
        # As for many, number for number, in calls that take a vector.
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


def _rnn(a: Array, u: Array, c: Array, state: Array) -> None:
    np.add(u, a, out=u)
    np.tanh(u, out=state[0])


def _gru(a: Array, u: Array, c: Array, state: Array) -> None:
    (h,), H = state, len(c)
    r_z, n = u[..., : 2 * H], u[..., 2 * H :]
    r_z += a[..., : 2 * H]
    np.tanh(r_z, out=r_z)
    r_z *= 0.5
    r_z += 0.5
    n += c
    n *= r_z[..., :H]
    n += a[..., 2 * H :]
    np.tanh(n, out=n)
    h -= n
    h *= r_z[..., H:]
    h += n


def _lstm(a: Array, u: Array, c: Array, state: Array) -> None:
    (h, cell), H = state, len(c)
    u += a
    np.tanh(u, out=u)
    sigmoids = u[..., : 3 * H]
    sigmoids *= 0.5
    sigmoids += 0.5
    i, f, o, g = (u[..., k * H : (k + 1) * H] for k in range(4))
    cell *= f
    i *= g
    cell += i
    np.tanh(cell, out=g)
    np.multiply(o, g, out=h)


# One step of each cell, by its number of gates: a (…, G·H) is what comes from below and
# u what comes from h; the state (S, …, H) moves on.
_ADVANCE = {1: _rnn, 3: _gru, 4: _lstm}
