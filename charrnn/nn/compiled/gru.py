"""The compiled twin of `charrnn.nn.gru`; the equations are there."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charrnn.nn import gru
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
    c: Array,
    h: Array,
    a_then_gates: Array,
    m: Array,
    u: Array,
    starts: Array,
    s: Array,
    scaled: Array,
) -> None:
    T, N, H = m.shape
    for t in range(T):
        product(scaled_state(h, s, scaled, t), Wh, u)
        clear(u, starts, t)
        for k in range(N):
            a_k, u_k = a_then_gates[t, k], u[k]
            for j in range(2 * H):
                a_k[j] = sigmoid(a_k[j] + u_k[j])
            r, z, n = a_k[:H], a_k[H : 2 * H], a_k[2 * H :]
            u_n, m_t, h_t, h_new = u_k[2 * H :], m[t, k], h[t, k], h[t + 1, k]
            for j in range(H):
                m_t[j] = u_n[j] + c[j]
                n[j] = tanh(n[j] + r[j] * m_t[j])
            for j in range(H):
                h_new[j] = n[j] + z[j] * (h_t[j] - n[j])
            if len(starts) and starts[t, k]:
                for j in range(H):
                    h_new[j] = n[j] - z[j] * n[j]


@compiled
def backward_loop(
    WhT: Array,
    dh: Array,
    h: Array,
    gates_then_da: Array,
    m_then_du_n: Array,
    du: Array,
    dh_next: Array,
    kept: Array,
    starts: Array,
    s_then_ds: Array,
) -> None:
    T, N, H = dh.shape
    dh_next[:] = 0
    kept[:] = 0
    for t in range(T - 1, -1, -1):
        for k in range(N):
            gates, du_k = gates_then_da[t, k], du[k]
            r, z, n = gates[:H], gates[H : 2 * H], gates[2 * H :]
            above, after, kept_k = dh[t, k], dh_next[k], kept[k]
            m, h_t, du_n = m_then_du_n[t, k], h[t, k], du_k[2 * H :]
            for j in range(H):
                after[j] += above[j] + kept_k[j]
                kept_k[j] = after[j] * z[j]
            for j in range(H):
                n_j = n[j]
                n[j] = (after[j] - kept_k[j]) * (ONE - n_j * n_j)
                z[j] = (h_t[j] - n_j) * kept_k[j] * (ONE - z[j])
            for j in range(H):
                r_j = r[j]
                du_n[j] = n[j] * r_j
                r[j] = du_n[j] * m[j] * (ONE - r_j)
                m[j] = du_n[j]
            for j in range(2 * H):
                du_k[j] = gates[j]
        product(du, WhT, dh_next)
        clear(dh_next, starts, t)
        scale_back(dh_next, h, s_then_ds, t)
        clear(kept, starts, t)
    dh_next += kept


class GRUWeights(NamedTuple):
    """The recurrent weights of all layers, for generation."""

    Wh: Matrices  # (L, H, 3H)
    c: Array  # (L, H)


@compiled_step(GRUWeights)
def step(weights: Any, layer: int, a: Array, u: Array, state: Array) -> None:
    h, c = state[0], weights.c[layer]
    H = len(h)
    for j in range(2 * H):
        u[j] = sigmoid(a[j] + u[j])
    r, z, n, a_n = u[:H], u[H : 2 * H], u[2 * H :], a[2 * H :]
    for j in range(H):
        n[j] = tanh(a_n[j] + r[j] * (n[j] + c[j]))
    for j in range(H):
        h[j] = n[j] + z[j] * (h[j] - n[j])


class Workspace(gru.Arrays):
    """The arrays of a layer, and Wh packed: first for forward, then backward."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        _, _, H = inputs.size
        self.Wh, self.WhT = shared_panels(H, 3 * H, inputs.dtype)


class CompiledGRU(gru.GRU):
    """The GRU with compiled loops."""

    def workspace(self, T: int, N: int, D: int, H: int, dtype: npt.DTypeLike) -> Any:
        inputs = Inputs(T, N, D, H, dtype, functional, self.multiplicative)
        return Workspace(inputs)

    def forward_loop(self, params: Mapping[str, Array], workspace: Any, T: int) -> None:
        w: Workspace = workspace
        forward_loop(
            pack(params["Wh"], w.Wh),
            params["c"],
            w.h[: T + 1],
            w.a_then_gates_then_da[:T],
            w.m_then_du_n[:T],
            w.u_then_du,
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
            w.a_then_gates_then_da[:T],
            w.m_then_du_n[:T],
            w.u_then_du,
            w.dh,
            w.kept,
            or_empty(w.starts),
            arrays_of(w.inputs.scales, T)[0],
        )

    def generation_weights(self, layers: list[dict[str, Array]], n: int) -> GRUWeights:
        """Pack the recurrent weights of all layers, to write n texts."""
        Wh = pack_rounded([layer["Wh"] for layer in layers], n)
        return GRUWeights(Wh, np.stack([layer["c"] for layer in layers]))


class CompiledMultiplicativeGRU(CompiledGRU, gru.MultiplicativeGRU):
    """The multiplicative cell with compiled loops."""
