"""Compiled twins of functions in `charrnn.nn.functional`, which documents them."""

import numpy as np

from charrnn.nn.compiled.elementary import exp
from charrnn.nn.compiled.jit import compiled
from charrnn.nn.compiled.product import multiply
from charrnn.nn.parameters import Array

__all__ = ["adam_update", "cross_entropy_", "multiply", "sum_rows"]


@compiled
def cross_entropy_(logits: Array, targets: Array) -> tuple[float, Array]:
    R, V = logits.shape
    share = np.float32(1 / R)
    loss = 0.0
    for i in range(R):
        z, target = logits[i], targets[i]
        largest = z[0]
        for j in range(V):
            largest = max(largest, z[j])
        chosen = z[target] - largest
        total = np.float32(0)
        for j in range(V):
            z[j] = exp(z[j] - largest)
            total += z[j]
        loss += np.log(total) - chosen
        scale = share / total
        for j in range(V):
            z[j] *= scale
        z[target] -= share
    return loss / R, logits


@compiled
def sum_rows(ids: Array, rows: Array, out: Array) -> None:
    R, D = rows.shape
    out[:] = 0
    for i in range(R):
        row, total = rows[i], out[ids[i]]
        for j in range(D):
            total[j] += row[j]


@compiled
def adam_update(
    θ: Array,
    g: Array,
    m: Array,
    v: Array,
    rates: tuple[float, float, float, float, float],
    scratch: tuple[Array, Array],
) -> None:
    β1, β2, ε, lr, s = [np.float32(rate) for rate in rates]
    new1, new2 = np.float32(1 - rates[0]), np.float32(1 - rates[1])
    for j in range(len(θ)):
        m[j] = β1 * m[j] + new1 * g[j]
        v[j] = β2 * v[j] + new2 * g[j] * g[j]
        θ[j] -= lr * m[j] / (np.sqrt(s * v[j]) + ε)
