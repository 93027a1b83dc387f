"""The compiled twin of `charrnn.nn.lstm`; the equations are there."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy.typing as npt

from charrnn.nn import lstm
from charrnn.nn.compiled import functional
from charrnn.nn.compiled.elementary import ONE, sigmoid, tanh
from charrnn.nn.compiled.generate import compiled_step
from charrnn.nn.compiled.jit import compiled
from charrnn.nn.compiled.product import pack, product, shared_panels
from charrnn.nn.compiled.rounding import Matrices, pack_rounded
from charrnn.nn.compiled.scales import arrays_of, scale_back, scaled_state
from charrnn.nn.compiled.starts import clear, or_empty
from charrnn.nn.inputs import Inputs
from charrnn.nn.parameters import Array


@compiled
def forward_loop(
    Wh: Array,
    h: Array,
    c: Array,
    a_then_gates: Array,
    u: Array,
    starts: Array,
    s: Array,
    scaled: Array,
) -> None:
    T, N, H = len(a_then_gates), h.shape[1], h.shape[2]
    for t in range(T):
        product(scaled_state(h, s, scaled, t), Wh, u)
        clear(u, starts, t)
        for k in range(N):
            a_k, u_k = a_then_gates[t, k], u[k]
            i, f, o, g = a_k[:H], a_k[H : 2 * H], a_k[2 * H : 3 * H], a_k[3 * H :]
            u_g = u_k[3 * H :]
            for j in range(3 * H):
                a_k[j] = sigmoid(a_k[j] + u_k[j])
            for j in range(H):
                g[j] = tanh(g[j] + u_g[j])
            c_t, c_new, h_new = c[t, k], c[t + 1, k], h[t + 1, k]
            for j in range(H):
                c_new[j] = f[j] * c_t[j] + i[j] * g[j]
            if len(starts) and starts[t, k]:
                for j in range(H):
                    c_new[j] = i[j] * g[j]
            for j in range(H):
                h_new[j] = o[j] * tanh(c_new[j])


@compiled
def backward_loop(
    WhT: Array,
    dh: Array,
    h: Array,
    c: Array,
    gates_then_da: Array,
    dh_next: Array,
    dc: Array,
    starts: Array,
    s_then_ds: Array,
) -> None:
    T, N, H = dh.shape
    dh_next[:] = 0
    dc[:] = 0
    for t in range(T - 1, -1, -1):
        for k in range(N):
            a_k = gates_then_da[t, k]
            i, f, o, g = a_k[:H], a_k[H : 2 * H], a_k[2 * H : 3 * H], a_k[3 * H :]
            above, after, dc_t = dh[t, k], dh_next[k], dc[k]
            c_t, c_new = c[t, k], c[t + 1, k]
            for j in range(H):
                # Forward could keep it, which takes more memory and no less time.
                dh_j, tanh_c = above[j] + after[j], tanh(c_new[j])
                dc_t[j] += dh_j * o[j] * (ONE - tanh_c * tanh_c)
                o[j] = dh_j * tanh_c * o[j] * (ONE - o[j])
            for j in range(H):
                i_j, g_j = i[j], g[j]
                i[j] = dc_t[j] * g_j * i_j * (ONE - i_j)
                g[j] = dc_t[j] * i_j * (ONE - g_j * g_j)
            for j in range(H):
                f_j = f[j]
                f[j] = dc_t[j] * c_t[j] * f_j * (ONE - f_j)
                dc_t[j] *= f_j
            if len(starts) and starts[t, k]:  # it read a state of zero
                for j in range(H):
                    f[j] = 0
        product(gates_then_da[t], WhT, dh_next)
        clear(dh_next, starts, t)
        scale_back(dh_next, h, s_then_ds, t)
        clear(dc, starts, t)


class LSTMWeights(NamedTuple):
    """The recurrent weights of all layers, for generation."""

    Wh: Matrices  # (L, H, 4H)


@compiled_step(LSTMWeights)
def step(weights: Any, layer: int, a: Array, u: Array, state: Array) -> None:
    h, c = state[0], state[1]
    H = len(h)
    for j in range(3 * H):
        u[j] = sigmoid(a[j] + u[j])
    for j in range(3 * H, 4 * H):
        u[j] = tanh(a[j] + u[j])
    i, f, o, g = u[:H], u[H : 2 * H], u[2 * H : 3 * H], u[3 * H :]
    for j in range(H):
        c[j] = f[j] * c[j] + i[j] * g[j]
    for j in range(H):
        h[j] = o[j] * tanh(c[j])


class Workspace(lstm.Arrays):
    """The arrays of a layer, and Wh packed: first for forward, then backward."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        _, _, H = inputs.size
        self.Wh, self.WhT = shared_panels(H, 4 * H, inputs.dtype)


class CompiledLSTM(lstm.LSTM):
    """The LSTM with compiled loops."""

    def workspace(self, T: int, N: int, D: int, H: int, dtype: npt.DTypeLike) -> Any:
        inputs = Inputs(T, N, D, H, dtype, functional, self.multiplicative)
        return Workspace(inputs)

    def forward_loop(self, params: Mapping[str, Array], workspace: Any, T: int) -> None:
        w: Workspace = workspace
        forward_loop(
            pack(params["Wh"], w.Wh),
            w.h[: T + 1],
            w.c[: T + 1],
            w.a_then_gates_then_da[:T],
            w.u,
            or_empty(w.starts),
            *arrays_of(w.inputs.scales, T),
        )

    def backward_loop(
        self, params: Mapping[str, Array], dh: Array, workspace: Any, T: int
    ) -> None:
        w: Workspace = workspace
        backward_loop(
            pack(params["Wh"].T, w.WhT),
            dh,
            w.h[: T + 1],
            w.c[: T + 1],
            w.a_then_gates_then_da[:T],
            w.dh,
            w.dc,
            or_empty(w.starts),
            arrays_of(w.inputs.scales, T)[0],
        )

    def generation_weights(self, layers: list[dict[str, Array]], n: int) -> LSTMWeights:
        """Pack the recurrent weights of all layers, to write n texts."""
        return LSTMWeights(pack_rounded([layer["Wh"] for layer in layers], n))


class CompiledMultiplicativeLSTM(CompiledLSTM, lstm.MultiplicativeLSTM):
    """The multiplicative cell with compiled loops."""
