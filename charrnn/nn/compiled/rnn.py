"""The compiled twin of `charrnn.nn.rnn`; the equations are there."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy.typing as npt

from charrnn.nn import rnn
from charrnn.nn.compiled import functional
from charrnn.nn.compiled.elementary import ONE, tanh
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
    Wh: Array, h: Array, a: Array, u: Array, starts: Array, s: Array, scaled: Array
) -> None:
    T, N, H = a.shape
    for t in range(T):
        product(scaled_state(h, s, scaled, t), Wh, u)
        clear(u, starts, t)
        for k in range(N):
            u_k, a_k, h_k = u[k], a[t, k], h[t + 1, k]
            for j in range(H):
                h_k[j] = tanh(a_k[j] + u_k[j])


@compiled
def backward_loop(
    WhT: Array,
    dh: Array,
    h: Array,
    da: Array,
    dh_next: Array,
    starts: Array,
    s_then_ds: Array,
) -> None:
    T, N, H = da.shape
    dh_next[:] = 0
    for t in range(T - 1, -1, -1):
        for k in range(N):
            dh_k, next_k, h_k, da_k = dh[t, k], dh_next[k], h[t + 1, k], da[t, k]
            for j in range(H):
                da_k[j] = (dh_k[j] + next_k[j]) * (ONE - h_k[j] * h_k[j])
        product(da[t], WhT, dh_next)
        clear(dh_next, starts, t)
        scale_back(dh_next, h, s_then_ds, t)


class RNNWeights(NamedTuple):
    """The recurrent weights of all layers, for generation."""

    Wh: Matrices  # (L, H, H)


@compiled_step(RNNWeights)
def step(weights: Any, layer: int, a: Array, u: Array, state: Array) -> None:
    h = state[0]
    for j in range(len(h)):
        h[j] = tanh(a[j] + u[j])


class Workspace(rnn.Arrays):
    """The arrays of a layer, and Wh packed: first for forward, then backward."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        _, _, H = inputs.size
        self.Wh, self.WhT = shared_panels(H, H, inputs.dtype)


class CompiledRNN(rnn.RNN):
    """The tanh cell with compiled loops."""

    def workspace(self, T: int, N: int, D: int, H: int, dtype: npt.DTypeLike) -> Any:
        inputs = Inputs(T, N, D, H, dtype, functional, self.multiplicative)
        return Workspace(inputs)

    def forward_loop(self, params: Mapping[str, Array], workspace: Any, T: int) -> None:
        w: Workspace = workspace
        Wh = pack(params["Wh"], w.Wh)
        starts = or_empty(w.starts)
        s, scaled = arrays_of(w.inputs.scales, T)
        forward_loop(Wh, w.h[: T + 1], w.a_then_da[:T], w.u, starts, s, scaled)

    def backward_loop(
        self, params: Mapping[str, Array], dh: Array, workspace: Any, T: int
    ) -> None:
        w: Workspace = workspace
        WhT = pack(params["Wh"].T, w.WhT)
        starts = or_empty(w.starts)
        s, _ = arrays_of(w.inputs.scales, T)
        backward_loop(WhT, dh, w.h[: T + 1], w.a_then_da[:T], w.dh, starts, s)

    def generation_weights(self, layers: list[dict[str, Array]], n: int) -> RNNWeights:
        """Pack the recurrent weights of all layers, to write n texts."""
        return RNNWeights(pack_rounded([layer["Wh"] for layer in layers], n))


class CompiledMultiplicativeRNN(CompiledRNN, rnn.MultiplicativeRNN):
    """The multiplicative cell with compiled loops."""
