"""The functions of `numpy_steps`, compiled by Numba, in float32.

Here a whole window is one call that holds no interpreter lock, and the elementwise work
of a step is one pass over rows that stay in the first cache, where NumPy makes ten to
fifteen. Loops are short, on purpose: the compiler turns one into vector instructions
only while it can prove, or check, that its few arrays do not overlap.
"""

import numpy as np

from charrnn.nn.kernels.numba_maths import HALF, ONE, compiled, exp, tanh
from charrnn.nn.kernels.numba_product import pack, packed, product
from charrnn.nn.kernels.numba_writing import write
from charrnn.nn.parameters import Array

__all__ = [
    "adam",
    "cross_entropy",
    "gru_backward",
    "gru_forward",
    "lstm_backward",
    "lstm_forward",
    "pack",
    "packed",
    "rnn_backward",
    "rnn_forward",
    "sum_rows",
    "write",
]


@compiled
def rnn_forward(Wh: Array, a: Array, h: Array, u: Array) -> None:
    T, N, H = a.shape
    for t in range(T):
        product(h[t], Wh, u)
        for k in range(N):
            u_k, a_k, h_k = u[k], a[t, k], h[t + 1, k]
            for j in range(H):
                h_k[j] = tanh(a_k[j] + u_k[j])


@compiled
def rnn_backward(WhT: Array, dh: Array, h: Array, da: Array, dh_next: Array) -> None:
    T, N, H = da.shape
    dh_next[:] = 0
    for t in range(T - 1, -1, -1):
        for k in range(N):
            dh_k, next_k, h_k, da_k = dh[t, k], dh_next[k], h[t + 1, k], da[t, k]
            for j in range(H):
                da_k[j] = (dh_k[j] + next_k[j]) * (ONE - h_k[j] * h_k[j])
        product(da[t], WhT, dh_next)


@compiled
def lstm_forward(
    Wh: Array, a: Array, h: Array, c: Array, tanh_c: Array, u: Array
) -> None:
    T, N, H = tanh_c.shape
    for t in range(T):
        product(h[t], Wh, u)
        for k in range(N):
            a_k, u_k = a[t, k], u[k]
            for j in range(4 * H):
                a_k[j] = tanh(a_k[j] + u_k[j])
            for j in range(3 * H):
                a_k[j] = HALF + HALF * a_k[j]
            i, f, o, g = a_k[:H], a_k[H : 2 * H], a_k[2 * H : 3 * H], a_k[3 * H :]
            c_last, c_t, tanh_c_t, h_t = c[t, k], c[t + 1, k], tanh_c[t, k], h[t + 1, k]
            for j in range(H):
                c_t[j] = f[j] * c_last[j] + i[j] * g[j]
            for j in range(H):
                tanh_c_t[j] = tanh(c_t[j])
                h_t[j] = o[j] * tanh_c_t[j]


@compiled
def lstm_backward(
    WhT: Array,
    dh: Array,
    gates: Array,
    c: Array,
    tanh_c: Array,
    dh_next: Array,
    dc: Array,
) -> None:
    T, N, H = dh.shape
    dh_next[:] = 0
    dc[:] = 0
    for t in range(T - 1, -1, -1):
        for k in range(N):
            s = gates[t, k]  # each gate gives way to its derivative
            i, f, o, g = s[:H], s[H : 2 * H], s[2 * H : 3 * H], s[3 * H :]
            above, after, dc_t = dh[t, k], dh_next[k], dc[k]
            c_last, tanh_c_t = c[t, k], tanh_c[t, k]
            for j in range(H):
                dh_j = above[j] + after[j]
                dc_t[j] += dh_j * o[j] * (ONE - tanh_c_t[j] * tanh_c_t[j])
                o[j] = dh_j * tanh_c_t[j] * o[j] * (ONE - o[j])
            for j in range(H):
                i_j, g_j = i[j], g[j]
                i[j] = dc_t[j] * g_j * i_j * (ONE - i_j)
                g[j] = dc_t[j] * i_j * (ONE - g_j * g_j)
            for j in range(H):
                f_j = f[j]
                f[j] = dc_t[j] * c_last[j] * f_j * (ONE - f_j)
                dc_t[j] *= f_j
        product(gates[t], WhT, dh_next)


@compiled
def gru_forward(Wh: Array, c: Array, a: Array, h: Array, m: Array, u: Array) -> None:
    T, N, H = m.shape
    for t in range(T):
        product(h[t], Wh, u)
        for k in range(N):
            a_k, u_k = a[t, k], u[k]
            for j in range(2 * H):
                a_k[j] = HALF + HALF * tanh(a_k[j] + u_k[j])
            r, z, n = a_k[:H], a_k[H : 2 * H], a_k[2 * H :]
            u_n, m_t, h_last, h_t = u_k[2 * H :], m[t, k], h[t, k], h[t + 1, k]
            for j in range(H):
                m_t[j] = u_n[j] + c[j]
                n[j] = tanh(n[j] + r[j] * m_t[j])
            for j in range(H):
                h_t[j] = n[j] + z[j] * (h_last[j] - n[j])


@compiled
def gru_backward(
    WhT: Array,
    dh: Array,
    gates: Array,
    m: Array,
    h: Array,
    dh_next: Array,
    kept: Array,
    u: Array,
) -> None:
    T, N, H = dh.shape
    dh_next[:] = 0
    kept[:] = 0
    for t in range(T - 1, -1, -1):
        for k in range(N):
            s, u_k = gates[t, k], u[k]  # each gate gives way to its derivative
            r, z, n = s[:H], s[H : 2 * H], s[2 * H :]
            above, after, kept_k = dh[t, k], dh_next[k], kept[k]
            m_t, h_last, du_n = m[t, k], h[t, k], u_k[2 * H :]
            for j in range(H):
                after[j] += above[j] + kept_k[j]
                kept_k[j] = after[j] * z[j]
            for j in range(H):
                n_j = n[j]
                n[j] = (after[j] - kept_k[j]) * (ONE - n_j * n_j)
                z[j] = (h_last[j] - n_j) * kept_k[j] * (ONE - z[j])
            for j in range(H):
                r_j = r[j]
                du_n[j] = n[j] * r_j
                r[j] = du_n[j] * m_t[j] * (ONE - r_j)
                m_t[j] = du_n[j]
            for j in range(2 * H):
                u_k[j] = s[j]
        product(u, WhT, dh_next)
    dh_next += kept


@compiled
def cross_entropy(logits: Array, targets: Array) -> tuple[float, Array]:
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
def adam(
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
