"""What costs time in a training step, but for products over all rows: in NumPy.

`numba_steps` has the same functions, compiled; the two read side by side. All write
into arrays that they are given. Names are those of the cells' equations: subscript t is
this step, `last` the one before, `dh_next` what step t + 1 hands back to this one.
Letters: T time, N batch, H hidden, R = T·N rows, V vocabulary.

Each recurrence holds only what has to happen one step after another, one product a
step each way; its right side is what `pack` made of Wh, or of its transpose. Where a
gate is a sigmoid, its columns of `a` and Wh come halved, because sigmoid(a) =
(1 + tanh(a / 2)) / 2: so one tanh over all columns serves all gates.

NumPy goes over a block of memory three to five times as fast as over columns of a wider
array. So the gates of a step stand one after another here, (G, N, H), in the memory
where their columns (N, G·H) came; only the backward pass ever reads them.
"""

import numpy as np
import numpy.typing as npt

from charrnn.nn.functional import cross_entropy
from charrnn.nn.kernels.numpy_writing import write
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

# Up to this many characters, a product with real one-hot rows beats sorting the rows.
_DENSE_VOCAB = 256


def packed(K: int, N: int, dtype: npt.DTypeLike, gates: int = 1) -> Array:
    """Return what `pack` fills for a matrix (K, N), whose columns are of some gates."""
    return np.empty((K, N) if gates == 1 else (gates, K, N // gates), dtype)


def pack(W: Array, out: Array) -> Array:
    """Lay W (K, N) out so that a product with it is fast; once a window."""
    # A product with a transposed view would repack it at each call.
    out[:] = W if out.ndim == 2 else _by_gate(W, len(out))
    return out


def _by_gate(columns: Array, G: int) -> Array:
    """Return (N, G·H) as a view (G, N, H)."""
    N, GH = columns.shape
    gates: Array = columns.reshape(N, G, GH // G).transpose(1, 0, 2)
    return gates


def _sigmoid_of_halved(a: Array, out: Array) -> None:
    np.tanh(a, out=out)
    out *= 0.5
    out += 0.5


def rnn_forward(Wh: Array, a: Array, h: Array, u: Array) -> None:
    """h_t = tanh(a_t + h_last Wh) for every t.

    a (T, N, H); h (T + 1, N, H), of which h[0] is given; u (N, H) is scratch.
    """
    for a_t, h_last, h_t in zip(a, h, h[1:], strict=False):
        np.matmul(h_last, Wh, out=u)
        np.add(a_t, u, out=u)
        np.tanh(u, out=h_t)


def rnn_backward(WhT: Array, dh: Array, h: Array, da: Array, dh_next: Array) -> None:
    """da_t = (dh_t + da_next WhT) (1 - h_t²) for every t, the last first.

    dh and da (T, N, H), h as forward left it; dh_next (N, H) ends as dh[-1].
    """
    dh_next.fill(0)
    for dh_t, h_t, da_t in zip(dh[::-1], h[:0:-1], da[::-1], strict=True):
        np.multiply(h_t, h_t, out=da_t)
        np.subtract(1, da_t, out=da_t)
        dh_next += dh_t
        da_t *= dh_next
        np.matmul(da_t, WhT, out=dh_next)


def lstm_forward(
    Wh: Array, a: Array, h: Array, c: Array, tanh_c: Array, u: Array
) -> None:
    """c_t = f c_last + i g, h_t = o tanh(c_t) for every t.

    a (T, N, 4H), with i f o halved, becomes the gates i f o g; h and c (T + 1, N, H),
    of which h[0] and c[0] are given; tanh_c (T, N, H); u (N, 4H) is scratch.
    """
    N, H = u.shape[0], h.shape[-1]
    u = u.reshape(4, N, H)
    for t, a_t in enumerate(a):
        gates = a_t.reshape(4, N, H)
        np.matmul(h[t], Wh, out=u)
        u += _by_gate(a_t, 4)
        np.tanh(u, out=gates)
        gates[:3] *= 0.5
        gates[:3] += 0.5
        i, f, o, g = gates
        np.multiply(i, g, out=tanh_c[t])
        c_t = np.multiply(f, c[t], out=c[t + 1])
        c_t += tanh_c[t]
        np.tanh(c_t, out=tanh_c[t])
        np.multiply(o, tanh_c[t], out=h[t + 1])


def lstm_backward(
    WhT: Array,
    dh: Array,
    gates: Array,
    c: Array,
    tanh_c: Array,
    dh_next: Array,
    dc: Array,
) -> None:
    """Turn the gates (T, N, 4H) into da, the last step first.

    dh (T, N, H), gates, c and tanh_c as forward left them; dh_next and dc (N, H) end as
    the gradients in h[0] and c[0].
    """
    T, N, H = dh.shape
    dh_next.fill(0)
    dc.fill(0)
    (d, slope), tmp = np.empty((2, 4, N, H), dh.dtype), np.empty_like(dc)
    for t in reversed(range(T)):
        i, f, o, g = s = gates[t].reshape(4, N, H)
        dh_next += dh[t]
        np.multiply(tanh_c[t], tanh_c[t], out=tmp)
        np.subtract(1, tmp, out=tmp)
        tmp *= o
        tmp *= dh_next
        dc += tmp  # dc + dh o (1 - tanh(c)²)
        np.multiply(dc, g, out=d[0])
        np.multiply(dc, c[t], out=d[1])
        np.multiply(dh_next, tanh_c[t], out=d[2])
        np.multiply(dc, i, out=d[3])
        np.subtract(1, s[:3], out=slope[:3])
        slope[:3] *= s[:3]  # of the three sigmoids s (1 - s), of the tanh 1 - g²
        np.multiply(g, g, out=slope[3])
        np.subtract(1, slope[3], out=slope[3])
        dc *= f
        np.multiply(d, slope, out=_by_gate(gates[t], 4))
        np.matmul(gates[t], WhT, out=dh_next)


def gru_forward(Wh: Array, c: Array, a: Array, h: Array, m: Array, u: Array) -> None:
    """h_t = (1 - z) n + z h_last, n = tanh(a_n + r m_t), m_t = u_n + c, for every t.

    a (T, N, 3H), with r z halved, becomes the gates r z n; c (H); h (T + 1, N, H), of
    which h[0] is given; m (T, N, H); u (N, 3H), h_last Wh, is scratch.
    """
    N, H = u.shape[0], h.shape[-1]
    u = u.reshape(3, N, H)
    for t, a_t in enumerate(a):
        h_t, m_t, x = h[t + 1], m[t], _by_gate(a_t, 3)
        r, z, n = gates = a_t.reshape(3, N, H)
        np.matmul(h[t], Wh, out=u)
        u[:2] += x[:2]
        np.copyto(h_t, x[2])  # before the gates take its place
        _sigmoid_of_halved(u[:2], out=gates[:2])
        np.add(u[2], c, out=m_t)
        np.multiply(r, m_t, out=u[2])
        u[2] += h_t
        np.tanh(u[2], out=n)
        np.subtract(h[t], n, out=h_t)
        h_t *= z
        h_t += n  # n + z (h_last - n)


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
    """Turn gates (T, N, 3H) into da and m (T, N, H) into du_n, the last step first.

    dh (T, N, H), gates, m and h as forward left them; dh_next (N, H) ends as the
    gradient in h[0]; kept (N, H), what z hands straight back, and u (N, 3H) are
    scratch.
    """
    T, N, H = dh.shape
    dh_next.fill(0)
    d, slope = np.empty((3, N, H), dh.dtype), np.empty((2, N, H), dh.dtype)
    for t in reversed(range(T)):
        r, z, n = s = gates[t].reshape(3, N, H)
        dh_next += dh[t]
        np.multiply(dh_next, z, out=kept)
        np.multiply(n, n, out=d[2])
        np.subtract(1, d[2], out=d[2])
        np.subtract(dh_next, kept, out=d[0])  # dh (1 - z)
        d[2] *= d[0]
        np.multiply(d[2], m[t], out=d[0])
        np.subtract(h[t], n, out=d[1])
        d[1] *= dh_next
        np.subtract(1, s[:2], out=slope)
        slope *= s[:2]
        d[:2] *= slope  # both sigmoids at once: s (1 - s)
        np.multiply(d[2], r, out=m[t])
        da_t = gates[t]
        _by_gate(da_t, 3)[:] = d
        u[:, : 2 * H] = da_t[:, : 2 * H]
        u[:, 2 * H :] = m[t]
        np.matmul(u, WhT, out=dh_next)
        dh_next += kept


def sum_rows(ids: Array, rows: Array, out: Array) -> None:
    """Write `one_hot(ids).T @ rows` into out (V, D): the rows added up by id.

    ids (R,) in [0, V); rows (R, D).
    """
    R, V = len(ids), len(out)
    if V <= _DENSE_VOCAB:
        one_hot = np.zeros((R, V), rows.dtype)
        one_hot[np.arange(R), ids] = 1
        np.matmul(one_hot.T, rows, out=out)
        return
    order = np.argsort(ids, kind="stable")
    present, starts = np.unique(ids[order], return_index=True)
    out.fill(0)
    out[present] = np.add.reduceat(rows[order], starts, axis=0)


def adam(
    θ: Array,
    g: Array,
    m: Array,
    v: Array,
    rates: tuple[float, float, float, float, float],
    scratch: tuple[Array, Array],
) -> None:
    """Make one update with Adam's moments.

    m = β1 m + (1 - β1) g, v = β2 v + (1 - β2) g², θ -= lr m / (√(s v) + ε), all (P,);
    rates are β1, β2, ε, lr and s; scratch is two more such vectors.
    """
    β1, β2, ε, lr, s = rates
    tmp, root = scratch
    m *= β1
    m += np.multiply(g, 1 - β1, out=tmp)
    np.multiply(g, g, out=tmp)
    tmp *= 1 - β2
    v *= β2
    v += tmp
    np.multiply(v, s, out=root)
    np.sqrt(root, out=root)
    root += ε
    np.divide(m, root, out=tmp)
    tmp *= lr
    θ -= tmp
