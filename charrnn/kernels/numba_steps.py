"""The steps of `numpy_steps`, fused and compiled by Numba, in float32.

Each is one pass over rows that stay in the first cache, where NumPy makes five to
fifteen. Loops are short, on purpose: the compiler turns one into vector instructions
only while it can prove, or check, that its few arrays do not overlap. Dividing needs
error_model="numpy", because Python's own check for zero forbids vector instructions;
fastmath leaves out the two flags that assume there are no NaN and no infinity, so that
a diverged loss shows as it does in NumPy. `nogil` lets threads run side by side, and
the cache on disk saves all but the first run the compiling.

tanh is x P(x²) / Q(x²) with the coefficients of Eigen's float32 `ptanh` (a minimax fit,
clamped where tanh rounds to 1). Its largest error is 2.6e-7, four units in the last
place of a number just below 1, and 3e-7 of the value where that is small. sigmoid(a) is
(1 + tanh(a / 2)) / 2.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from charrnn.arrays import Array

_Function = TypeVar("_Function", bound=Callable[..., Any])
_FAST = {"reassoc", "nsz", "arcp", "contract", "afn"}


def _compiled(function: _Function) -> _Function:
    jit = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
    return cast(_Function, jit(function))


def _inlined(function: _Function) -> _Function:
    jit = numba.njit(inline="always", error_model="numpy", fastmath=_FAST)
    return cast(_Function, jit(function))


_f = np.float32
_ONE, _HALF, _LIMIT = _f(1), _f(0.5), _f(7.90531110763549805)
_P0, _P1 = _f(4.89352455891786e-03), _f(6.37261928875436e-04)
_P2, _P3 = _f(1.48572235717979e-05), _f(5.12229709037114e-08)
_P4, _P5 = _f(-8.60467152213735e-11), _f(2.00018790482477e-13)
_P6 = _f(-2.76076847742355e-16)
_Q0, _Q1 = _f(4.89352518554385e-03), _f(2.26843463243900e-03)
_Q2, _Q3 = _f(1.18534705686654e-04), _f(1.19825839466702e-06)


@_inlined
def tanh(x: Any) -> Any:
    # Written so that NaN, of which every comparison is false, passes through.
    x = _LIMIT if x > _LIMIT else x
    x = -_LIMIT if x < -_LIMIT else x
    y = x * x
    p = ((((((_P6 * y + _P5) * y + _P4) * y + _P3) * y + _P2) * y) + _P1) * y + _P0
    q = ((_Q3 * y + _Q2) * y + _Q1) * y + _Q0
    return x * p / q


@_inlined
def sigmoid(x: Any) -> Any:
    return _HALF + _HALF * tanh(_HALF * x)


@_compiled
def rnn_forward(u: Array, a_t: Array, h_t: Array) -> None:
    for k in range(len(u)):
        u_k, a_k, h_k = u[k], a_t[k], h_t[k]
        for j in range(len(h_k)):
            h_k[j] = tanh(a_k[j] + u_k[j])


@_compiled
def rnn_backward(dh_t: Array, dh_next: Array, h_t: Array, da_t: Array) -> None:
    for k in range(len(h_t)):
        dh_k, next_k, h_k, da_k = dh_t[k], dh_next[k], h_t[k], da_t[k]
        for j in range(len(h_k)):
            da_k[j] = (dh_k[j] + next_k[j]) * (_ONE - h_k[j] * h_k[j])


@_compiled
def lstm_forward(
    u: Array, a_t: Array, c_last: Array, c_t: Array, tanh_c_t: Array, h_t: Array
) -> None:
    N, H = h_t.shape
    for k in range(N):
        a_k, u_k = a_t[k], u[k]
        for j in range(3 * H):
            a_k[j] = sigmoid(a_k[j] + u_k[j])
        for j in range(3 * H, 4 * H):
            a_k[j] = tanh(a_k[j] + u_k[j])
        i, f, o, g = a_k[:H], a_k[H : 2 * H], a_k[2 * H : 3 * H], a_k[3 * H :]
        last, c, tanh_c, h = c_last[k], c_t[k], tanh_c_t[k], h_t[k]
        for j in range(H):
            c[j] = f[j] * last[j] + i[j] * g[j]
        for j in range(H):
            tanh_c[j] = tanh(c[j])
            h[j] = o[j] * tanh_c[j]


@_compiled
def lstm_backward(
    dh_t: Array,
    dh_next: Array,
    dc: Array,
    gates: Array,
    c_last: Array,
    tanh_c_t: Array,
    da_t: Array,
) -> None:
    N, H = dh_t.shape
    for k in range(N):
        s, da = gates[k], da_t[k]
        i, f, o, g = s[:H], s[H : 2 * H], s[2 * H : 3 * H], s[3 * H :]
        da_i, da_f, da_o, da_g = da[:H], da[H : 2 * H], da[2 * H : 3 * H], da[3 * H :]
        above, after, d, tanh_c, last = (
            dh_t[k],
            dh_next[k],
            dc[k],
            tanh_c_t[k],
            c_last[k],
        )
        for j in range(H):
            dh = above[j] + after[j]
            d[j] += dh * o[j] * (_ONE - tanh_c[j] * tanh_c[j])
            da_o[j] = dh * tanh_c[j] * o[j] * (_ONE - o[j])
        for j in range(H):
            da_i[j] = d[j] * g[j] * i[j] * (_ONE - i[j])
            da_g[j] = d[j] * i[j] * (_ONE - g[j] * g[j])
        for j in range(H):
            da_f[j] = d[j] * last[j] * f[j] * (_ONE - f[j])
            d[j] *= f[j]


@_compiled
def gru_forward(
    u: Array, c: Array, a_t: Array, m_t: Array, h_last: Array, h_t: Array
) -> None:
    N, H = h_t.shape
    for k in range(N):
        a_k, u_k = a_t[k], u[k]
        for j in range(2 * H):
            a_k[j] = sigmoid(a_k[j] + u_k[j])
        r, z, n = a_k[:H], a_k[H : 2 * H], a_k[2 * H :]
        u_n, m, last, h = u_k[2 * H :], m_t[k], h_last[k], h_t[k]
        for j in range(H):
            m[j] = u_n[j] + c[j]
            n[j] = tanh(n[j] + r[j] * m[j])
        for j in range(H):
            h[j] = n[j] + z[j] * (last[j] - n[j])


@_compiled
def gru_backward(
    dh_t: Array,
    dh_next: Array,
    kept: Array,
    gates: Array,
    m_t: Array,
    h_last: Array,
    da_t: Array,
    du_t: Array,
) -> None:
    N, H = dh_t.shape
    for k in range(N):
        s, da, du = gates[k], da_t[k], du_t[k]
        r, z, n = s[:H], s[H : 2 * H], s[2 * H :]
        da_r, da_z, da_n, du_n = da[:H], da[H : 2 * H], da[2 * H :], du[2 * H :]
        above, after, keep, m, last = dh_t[k], dh_next[k], kept[k], m_t[k], h_last[k]
        for j in range(H):
            after[j] += above[j] + keep[j]
            keep[j] = after[j] * z[j]
        for j in range(H):
            da_n[j] = (after[j] - keep[j]) * (_ONE - n[j] * n[j])
            da_z[j] = (last[j] - n[j]) * keep[j] * (_ONE - z[j])
        for j in range(H):
            du_n[j] = da_n[j] * r[j]
            da_r[j] = du_n[j] * m[j] * (_ONE - r[j])
        for j in range(2 * H):
            du[j] = da[j]
