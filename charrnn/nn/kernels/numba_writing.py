"""The function of `numpy_writing`, compiled: a block of characters in one call.

Shares are taken in float32 and added up in float64. A row of a product, and all that is
done to it, is the same whatever other rows there are: so is the text.
"""

import numpy as np

from charrnn.nn.kernels.numba_maths import HALF, compiled, exp, tanh
from charrnn.nn.kernels.numba_product import product
from charrnn.nn.kernels.numpy_writing import Weights
from charrnn.nn.parameters import Array


@compiled
def _draw(
    logits: Array, temperature: float, top_k: int, top_p: float, u: float, p: Array
) -> int:
    V = len(logits)
    if temperature == 0:
        return int(np.argmax(logits))
    largest = logits[0]
    for j in range(V):
        largest = max(largest, logits[j])
    for j in range(V):
        p[j] = exp(np.float32((logits[j] - largest) / temperature))
    if 0 < top_k < V or top_p < 1:
        order = np.argsort(-p, kind="mergesort")
        if 0 < top_k < V:
            for j in order[top_k:]:
                p[j] = 0
        if top_p < 1:
            share, held = top_p * p.sum(), 0.0
            for j in order:
                p_j = p[j]
                if held >= share:
                    p[j] = 0
                held += p_j
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
    return likely  # u times the total may round to the total


@compiled
def _advance(a: Array, u: Array, c: Array, state: Array) -> None:
    """Take one text's state (S, H) on; the number of gates says of which cell."""
    H = len(c)
    G = len(a) // H
    h = state[0]
    if G == 1:
        for j in range(H):
            h[j] = tanh(a[j] + u[j])
    elif G == 3:
        for j in range(2 * H):
            u[j] = HALF + HALF * tanh(a[j] + u[j])
        r, z, u_n, a_n = u[:H], u[H : 2 * H], u[2 * H :], a[2 * H :]
        for j in range(H):
            u_n[j] = tanh(a_n[j] + r[j] * (u_n[j] + c[j]))
        for j in range(H):
            h[j] = u_n[j] + z[j] * (h[j] - u_n[j])
    else:
        for j in range(4 * H):
            u[j] = tanh(a[j] + u[j])
        i, f, o, g, cell = u[:H], u[H : 2 * H], u[2 * H : 3 * H], u[3 * H :], state[1]
        for j in range(H):
            f_j = HALF + HALF * f[j]
            cell[j] = f_j * cell[j] + (HALF + HALF * i[j]) * g[j]
        for j in range(H):
            h[j] = (HALF + HALF * o[j]) * tanh(cell[j])


@compiled
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
    L, n = len(state), len(logits)
    rows, Wx, b, Wh, c, W, output_b = weights
    a, gates = np.empty((2, n, rows.shape[1]), np.float32)
    p = np.empty(logits.shape[1], np.float32)
    for t in range(len(u)):
        for k in range(n):
            ids[t, k] = _draw(logits[k], temperature[k, 0], top_k, top_p, u[t, k], p)
        for i in range(L):
            product(state[i, 0], Wh[i], gates)
            if i == 0:
                for k in range(n):
                    a[k] = rows[ids[t, k]]
            else:
                product(state[i - 1, 0], Wx[i - 1], a)
                a += b[i - 1]
            for k in range(n):
                _advance(a[k], gates[k], c[i], state[i, :, k])
        product(state[L - 1, 0], W, logits)
        logits += output_b
