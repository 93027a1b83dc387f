"""The elementwise steps of the cells in NumPy: the reference.

`numba_steps` has the same functions, compiled; the two read side by side. All write
into arrays that they are given. Names are those of the cells' equations: subscript t is
this step, `last` the one before, `dh_next` what step t + 1 hands back to this one.
"""

import numpy as np

from charrnn.arrays import Array
from charrnn.functional import sigmoid


def rnn_forward(u: Array, a_t: Array, h_t: Array) -> None:
    """h_t = tanh(a_t + u), all (N, H); u = h_last Wh is lost."""
    np.add(a_t, u, out=u)
    np.tanh(u, out=h_t)


def rnn_backward(dh_t: Array, dh_next: Array, h_t: Array, da_t: Array) -> None:
    """da_t = (dh_t + dh_next) (1 - h_t²), all (N, H); dh_next is lost."""
    np.multiply(h_t, h_t, out=da_t)
    np.subtract(1, da_t, out=da_t)
    dh_next += dh_t
    da_t *= dh_next


def lstm_forward(
    u: Array, a_t: Array, c_last: Array, c_t: Array, tanh_c_t: Array, h_t: Array
) -> None:
    """c_t = f c_last + i g, h_t = o tanh(c_t), all (N, H).

    a_t (N, 4H) becomes the gates i f o g; u = h_last Wh (N, 4H).
    """
    H = h_t.shape[-1]
    a_t += u
    sigmoid(a_t[:, : 3 * H], out=a_t[:, : 3 * H])
    i, f, o, g = (a_t[:, k * H : (k + 1) * H] for k in range(4))
    np.tanh(g, out=g)
    np.multiply(i, g, out=tanh_c_t)
    np.multiply(f, c_last, out=c_t)
    c_t += tanh_c_t
    np.tanh(c_t, out=tanh_c_t)
    np.multiply(o, tanh_c_t, out=h_t)


def lstm_backward(
    dh_t: Array,
    dh_next: Array,
    dc: Array,
    gates: Array,
    c_last: Array,
    tanh_c_t: Array,
    da_t: Array,
) -> None:
    """Write da_t (N, 4H), and take dc (N, H) from step t to the one before.

    gates (N, 4H) are those that forward left in a_t; dh_next (N, H) is lost.
    """
    H = dh_t.shape[-1]
    i, f, o, g = (gates[:, k * H : (k + 1) * H] for k in range(4))
    da_i, da_f, da_o, da_g = (da_t[:, k * H : (k + 1) * H] for k in range(4))
    dh_next += dh_t
    np.multiply(dh_next, o, out=da_o)
    np.multiply(tanh_c_t, tanh_c_t, out=da_f)
    np.subtract(1, da_f, out=da_f)
    da_f *= da_o
    dc += da_f  # dc + dh o (1 - tanh(c)²)
    np.multiply(dh_next, tanh_c_t, out=da_o)
    np.multiply(dc, g, out=da_i)
    np.multiply(dc, c_last, out=da_f)
    slope = np.subtract(1, gates[:, : 3 * H])
    slope *= gates[:, : 3 * H]
    da_t[:, : 3 * H] *= slope  # all three sigmoids at once: s (1 - s)
    np.multiply(g, g, out=da_g)
    np.subtract(1, da_g, out=da_g)
    da_g *= i
    da_g *= dc
    dc *= f


def gru_forward(
    u: Array, c: Array, a_t: Array, m_t: Array, h_last: Array, h_t: Array
) -> None:
    """h_t = (1 - z) n + z h_last, n = tanh(a_n + r m_t), m_t = u_n + c, all (N, H).

    a_t (N, 3H) becomes the gates r z n; u = h_last Wh (N, 3H), c (H).
    """
    H = h_t.shape[-1]
    gates = a_t[:, : 2 * H]
    gates += u[:, : 2 * H]
    sigmoid(gates, out=gates)
    r, z, n = (a_t[:, k * H : (k + 1) * H] for k in range(3))
    np.add(u[:, 2 * H :], c, out=m_t)
    n += np.multiply(r, m_t, out=h_t)
    np.tanh(n, out=n)
    np.subtract(h_last, n, out=h_t)
    h_t *= z
    h_t += n  # n + z (h_last - n)


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
    """Write da_t and du_t (N, 3H), and in kept (N, H) what z hands straight back.

    gates (N, 3H) are those that forward left in a_t. dh_next (N, H), what Wh hands
    back, is lost; kept holds step t + 1's when this is called.
    """
    H = dh_t.shape[-1]
    r, z, n = (gates[:, k * H : (k + 1) * H] for k in range(3))
    da_r, da_z, da_n = (da_t[:, k * H : (k + 1) * H] for k in range(3))
    dh_next += kept
    dh_next += dh_t
    np.multiply(dh_next, z, out=kept)
    np.multiply(n, n, out=da_n)
    np.subtract(1, da_n, out=da_n)
    np.subtract(dh_next, kept, out=da_r)  # dh (1 - z)
    da_n *= da_r
    np.multiply(da_n, m_t, out=da_r)
    np.subtract(h_last, n, out=da_z)
    da_z *= dh_next
    slope = np.subtract(1, gates[:, : 2 * H])
    slope *= gates[:, : 2 * H]
    da_t[:, : 2 * H] *= slope  # both sigmoids at once: s (1 - s)
    du_t[:, : 2 * H] = da_t[:, : 2 * H]
    np.multiply(da_n, r, out=du_t[:, 2 * H :])
