"""Long short-term memory (Hochreiter & Schmidhuber 1997).

With the forget gate of Gers et al. 2000. The four gates are side by side in the columns
of Wx, Wh and b, in the order i f o g:

    a[t] = x[t] Wx + h[t] Wh + b                      (N, 4H)
    i, f, o = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o)
    g = tanh(a_g)
    c[t + 1] = f * c[t] + i * g
    h[t + 1] = o * tanh(c[t + 1])

Backward, with dh the gradient of the loss with respect to h[t + 1], and dc the gradient
with respect to c[t + 1] that comes from step t + 1:

    dc   += dh * o * (1 - tanh(c[t + 1])²)
    da_i  = dc * g * i (1 - i)                    da_f = dc * c[t] * f (1 - f)
    da_o  = dh * tanh(c[t + 1]) * o (1 - o)       da_g = dc * i * (1 - g²)
    dc[t] = dc * f
    dh[t] = da[t] Wh^T + (the gradient from the layer above)

dWx, dWh and db are sums over all steps, as in the tanh cell (`nn/rnn.py`, to read
first).
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from charrnn.nn.cell import Cell, GatesDone, State, Step
from charrnn.nn.functional import sigmoid
from charrnn.nn.gates import blocks, columns
from charrnn.nn.init import glorot_uniform, orthogonal
from charrnn.nn.inputs import Inputs
from charrnn.nn.kernels import NUMPY
from charrnn.nn.parameters import Array, Shape
from charrnn.nn.steps import (
    StepProduct,
    gradient_of_Wh,
    longest_stretch,
    multiplier,
    stretches_backward,
)


class Arrays:
    """Arrays of one layer for windows of up to (T, N), whatever computes them."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs, self.functions = inputs, inputs.functions
        (T, N, H), dtype = inputs.size, inputs.dtype
        self.h = np.empty((T + 1, N, H), dtype)  # h[0], c[0] are the incoming state
        self.c = np.empty((T + 1, N, H), dtype)
        self.a_then_gates_then_da = np.empty((T, N, 4 * H), dtype)
        self.u = np.empty((N, 4 * H), dtype)  # h[t] Wh
        self.dh = np.empty((N, H), dtype)  # the gradients that step t + 1 passes to t
        self.dc = np.empty((N, H), dtype)
        self.starts: Array | None = None  # (T, N), those of the last forward pass


class Workspace(Arrays):
    """The arrays, and what the loops in NumPy need besides."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        (T, N, H), dtype = inputs.size, inputs.dtype
        self.tanh_c = np.empty((T, N, H), dtype)  # tanh(c[t + 1])
        self.h_Wh = StepProduct(H, out=blocks(self.u, 4))
        self.da_WhT = StepProduct(4 * H, out=self.dh)
        B = longest_stretch(T, N, H)
        self.slopes = np.empty((B, 4, N, H), dtype), np.empty((B, N, H), dtype)


def gate_views(a: Array) -> tuple[Array, Array, Array, Array]:
    """Return i, f, o, g as views (…, H) of a (…, 4H)."""
    H = a.shape[-1] // 4
    return a[..., :H], a[..., H : 2 * H], a[..., 2 * H : 3 * H], a[..., 3 * H :]


class LSTM(Cell):
    """Parameters Wx (D, 4H), Wh (H, 4H), b (4H); state (h, c)."""

    multiplicative = False  # see `nn/scales.py`

    def shapes(self, D: int, H: int) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {"Wx": (D, 4 * H), "Wh": (H, 4 * H), "b": (4 * H,)}
        return shapes | ({"Q": (D, H)} if self.multiplicative else {})

    def init(self, params: Mapping[str, Array], *, rng: np.random.Generator) -> None:
        for gate in gate_views(params["Wx"]):
            glorot_uniform(gate, rng=rng)
        for gate in gate_views(params["Wh"]):
            orthogonal(gate, rng=rng)
        params["b"].fill(0)
        # A forget gate that starts open lets gradients through (Jozefowicz et al.
        # 2015).
        gate_views(params["b"])[1].fill(1)
        if self.multiplicative:
            params["Q"].fill(0)

    def zero_state(self, N: int, H: int, dtype: npt.DTypeLike) -> State:
        return np.zeros((N, H), dtype), np.zeros((N, H), dtype)

    def workspace(
        self, T: int, N: int, D: int, H: int, dtype: npt.DTypeLike
    ) -> Workspace:
        return Workspace(Inputs(T, N, D, H, dtype, NUMPY, self.multiplicative))

    def forward(
        self,
        params: Mapping[str, Array],
        inputs: Array,
        state: State,
        workspace: Workspace,
        starts: Array | None = None,
    ) -> tuple[Array, State]:
        T = len(inputs)
        workspace.starts = starts
        h, c = workspace.h[: T + 1], workspace.c[: T + 1]
        h[0], c[0] = state
        a = workspace.a_then_gates_then_da[:T]
        workspace.inputs.forward(inputs, params, out=a)  # a[t] = x[t] Wx + b, all t
        self.forward_loop(params, workspace, T)
        return h[1:], (h[T].copy(), c[T].copy())

    def forward_loop(
        self, params: Mapping[str, Array], workspace: Workspace, T: int
    ) -> None:
        """Compute the gates, c[t + 1] and h[t + 1], for t = 0 … T - 1."""
        h, c, tanh_c = workspace.h, workspace.c, workspace.tanh_c
        a, u = workspace.a_then_gates_then_da, blocks(workspace.u, 4)
        a, gates = columns(a, 4), blocks(a, 4)  # in the same memory: see gates.py
        u_i_f_o, u_g = u[:3], u[3]
        h_Wh, starts = workspace.h_Wh, workspace.starts
        scales = workspace.inputs.scales
        h_Wh.use(columns(params["Wh"], 4))
        for t in range(T):
            c_new, tanh_c_new = c[t + 1], tanh_c[t]
            i, f, o, g = i_f_o_g = gates[t]
            h_Wh(scales.scale(h[t], t) if scales else h[t])  # into u
            if starts is not None:
                u[:, starts[t]] = 0
            u += a[t]
            sigmoid(u_i_f_o, out=i_f_o_g[:3])
            np.tanh(u_g, out=g)
            i_g = np.multiply(i, g, out=tanh_c_new)
            np.multiply(f, c[t], out=c_new)
            if starts is not None:
                c_new[starts[t]] = 0
            c_new += i_g  # c[t + 1] = f * c[t] + i * g
            np.tanh(c_new, out=tanh_c_new)
            np.multiply(o, tanh_c_new, out=h[t + 1])

    def backward(
        self,
        params: Mapping[str, Array],
        dh: Array,
        workspace: Workspace,
        grads: Mapping[str, Array],
        gates_done: GatesDone | None = None,
    ) -> tuple[Array | None, State]:
        T, H = workspace.inputs.take_window(dh), dh.shape[-1]
        h, da = workspace.h[: T + 1], workspace.a_then_gates_then_da[:T]
        read = workspace.inputs.states_read(h[:-1])
        if workspace.starts is not None:  # the states that these steps have read
            h[:-1][workspace.starts] = read[workspace.starts] = 0
        self.backward_loop(params, dh, workspace, T)
        du, functions = (da.reshape(-1, 4 * H),), workspace.functions
        gradient_of_Wh(read, du, grads["Wh"], functions, gates_done)
        dinputs = workspace.inputs.backward(params, da, grads)  # dWx, db, and dx
        return dinputs, (workspace.dh.copy(), workspace.dc.copy())

    def backward_loop(
        self, params: Mapping[str, Array], dh: Array, workspace: Workspace, T: int
    ) -> None:
        """Turn the gates into da, for t = T - 1 … 0.

        dh (T, N, H) is the gradient from the layer above; that of step t + 1 is added.
        """
        da, dh_next, dc = workspace.a_then_gates_then_da, workspace.dh, workspace.dc
        f, da_columns = blocks(da, 4)[:, 1], columns(da, 4)
        da_WhT, starts = workspace.da_WhT, workspace.starts
        scales, h = workspace.inputs.scales, workspace.h
        if starts is not None:  # the states that these steps have read
            workspace.c[:T][starts] = 0
        da_WhT.use(params["Wh"].T)
        kept = np.empty_like(dc)  # dc * f
        dh_next.fill(0)  # no gradient comes from after the window
        dc.fill(0)
        for stretch in stretches_backward(T, *dc.shape):
            slopes, c_slopes = self._slopes(workspace, stretch)
            for t in reversed(range(stretch.start, stretch.stop)):
                slope, c_slope = slopes[t - stretch.start], c_slopes[t - stretch.start]
                da_t = da_columns[t]
                dh_next += dh[t]
                c_slope *= dh_next
                dc += c_slope
                np.multiply(dc, f[t], out=kept)  # before da_f overwrites f
                np.multiply(dc, slope[:2], out=da_t[:2])  # da_i, da_f
                np.multiply(dh_next, slope[2], out=da_t[2])  # da_o
                np.multiply(dc, slope[3], out=da_t[3])  # da_g
                dc, kept = kept, dc
                da_WhT(da[t])  # into dh_next
                if scales:
                    scales.scale_back(dh_next, h[t], t)
                if starts is not None:
                    dc[starts[t]] = 0
                    dh_next[starts[t]] = 0
        workspace.dc = dc

    def _slopes(self, workspace: Workspace, stretch: slice) -> tuple[Array, Array]:
        """Return da_i / dc, da_f / dc, da_o / dh and da_g / dc, and dc / dh.

        (B, 4, N, H) and (B, N, H), for B steps.
        """
        gates = blocks(workspace.a_then_gates_then_da, 4)[stretch]
        c, tanh_c = workspace.c[:-1][stretch], workspace.tanh_c[stretch]
        i_f_o, (i, _, o, g) = gates[:, :3], gates.swapaxes(0, 1)
        slopes, c_slopes = (part[: len(c)] for part in workspace.slopes)
        np.subtract(1, i_f_o, out=slopes[:, :3])
        slopes[:, :3] *= i_f_o  # the slope of a sigmoid is s (1 - s)
        slopes[:, 0] *= g
        slopes[:, 1] *= c
        slopes[:, 2] *= tanh_c
        np.multiply(g, g, out=slopes[:, 3])
        np.subtract(1, slopes[:, 3], out=slopes[:, 3])  # that of tanh is 1 - tanh²
        slopes[:, 3] *= i
        np.multiply(tanh_c, tanh_c, out=c_slopes)
        np.subtract(1, c_slopes, out=c_slopes)
        c_slopes *= o
        return slopes, c_slopes

    def stepper(self, params: Mapping[str, Array], texts: int) -> Step:
        h_Wh, u = multiplier(params["Wh"], texts, G=4)
        i_f_o, g = u[:3], u[3]
        i, f, o = i_f_o

        def step(a: Array, state: State, s: Array | None) -> State:
            h, c = state
            h_Wh(h if s is None else h * s)  # into u
            np.add(u, a, out=u)
            sigmoid(i_f_o, out=i_f_o)
            np.tanh(g, out=g)
            c_new = f * c
            c_new += np.multiply(i, g, out=g)
            return o * np.tanh(c_new, out=g), c_new

        return step


class MultiplicativeLSTM(LSTM):
    """The LSTM whose input scales the state: Q (D, H) as well."""

    multiplicative = True
