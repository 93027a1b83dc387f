"""The gated recurrent unit (Cho et al. 2014).

In the form of cuDNN and PyTorch: the reset gate r acts after the product, and z is the
share of the old state that is kept. The gates are side by side in the columns of Wx, Wh
and b, in the order r z n:

    a[t] = x[t] Wx + b          u = h[t] Wh            (N, 3H)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    m = u_n + c
    n = tanh(a_n + r * m)
    h[t + 1] = (1 - z) * n + z * h[t]

c (H) is the recurrent bias of n; r and z do not need one. Backward, with dh the
gradient of the loss with respect to h[t + 1]:

    da_n = dh * (1 - z) * (1 - n²)            du_n = da_n * r
    da_r = da_n * m * r (1 - r)               du_r = da_r
    da_z = dh * (h[t] - n) * z (1 - z)        du_z = da_z
    dh[t] = dh * z + du Wh^T + (the gradient from the layer above)
    dWh = Σ h[t]^T du[t]                      dc = Σ du_n[t]

dWx and db are sums over all steps, as in the tanh cell (`nn/rnn.py`, to read first).
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
        self.h = np.empty((T + 1, N, H), dtype)  # h[0] is the incoming state
        self.a_then_gates_then_da = np.empty((T, N, 3 * H), dtype)
        self.m_then_du_n = np.empty((T, N, H), dtype)
        self.u_then_du = np.empty((N, 3 * H), dtype)
        self.dh = np.empty((N, H), dtype)  # the gradient that step t + 1 passes to t
        self.kept = np.empty((N, H), dtype)  # its part dh * z
        self.starts: Array | None = None  # (T, N), those of the last forward pass


class Workspace(Arrays):
    """The arrays, and what the loops in NumPy need besides."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        (T, N, H), dtype = inputs.size, inputs.dtype
        self.h_Wh = StepProduct(H, out=blocks(self.u_then_du, 3))
        self.du_WhT = StepProduct(3 * H, out=self.dh)
        self.slopes = np.empty((longest_stretch(T, N, H), 4, N, H), dtype)


def gate_views(a: Array) -> tuple[Array, Array, Array]:
    """Return r, z, n as views (…, H) of a (…, 3H)."""
    H = a.shape[-1] // 3
    return a[..., :H], a[..., H : 2 * H], a[..., 2 * H :]


class GRU(Cell):
    """Parameters Wx (D, 3H), Wh (H, 3H), b (3H), c (H); state (h,)."""

    multiplicative = False  # see `nn/scales.py`

    def shapes(self, D: int, H: int) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {
            "Wx": (D, 3 * H),
            "Wh": (H, 3 * H),
            "b": (3 * H,),
            "c": (H,),
        }
        return shapes | ({"Q": (D, H)} if self.multiplicative else {})

    def init(self, params: Mapping[str, Array], *, rng: np.random.Generator) -> None:
        for gate in gate_views(params["Wx"]):
            glorot_uniform(gate, rng=rng)
        for gate in gate_views(params["Wh"]):
            orthogonal(gate, rng=rng)
        params["b"].fill(0)
        params["c"].fill(0)
        if self.multiplicative:
            params["Q"].fill(0)

    def zero_state(self, N: int, H: int, dtype: npt.DTypeLike) -> State:
        return (np.zeros((N, H), dtype),)

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
        h, a = workspace.h[: T + 1], workspace.a_then_gates_then_da[:T]
        (h[0],) = state
        workspace.inputs.forward(inputs, params, out=a)  # a[t] = x[t] Wx + b, all t
        self.forward_loop(params, workspace, T)
        return h[1:], (h[T].copy(),)

    def forward_loop(
        self, params: Mapping[str, Array], workspace: Workspace, T: int
    ) -> None:
        """Compute the gates and h[t + 1], for t = 0 … T - 1."""
        h, m, a = workspace.h, workspace.m_then_du_n, workspace.a_then_gates_then_da
        a, gates = columns(a, 3), blocks(a, 3)  # in the same memory: see gates.py
        u, c = blocks(workspace.u_then_du, 3), params["c"]
        u_r_z, u_n = u[:2], u[2]
        h_Wh, starts = workspace.h_Wh, workspace.starts
        scales = workspace.inputs.scales
        h_Wh.use(columns(params["Wh"], 3))
        for t in range(T):
            h_t, h_new, m_t, a_t = h[t], h[t + 1], m[t], a[t]
            r, z, n = r_z_n = gates[t]
            h_Wh(scales.scale(h_t, t) if scales else h_t)  # into u
            if starts is not None:
                u[:, starts[t]] = 0
            u_r_z += a_t[:2]
            a_n = h_new  # its last use is before h[t + 1] is written
            a_n[:] = a_t[2]
            sigmoid(u_r_z, out=r_z_n[:2])  # r, z = sigmoid(a + u)
            np.add(u_n, c, out=m_t)
            np.multiply(r, m_t, out=u_n)
            u_n += a_n
            np.tanh(u_n, out=n)  # n = tanh(a_n + r * m)
            np.subtract(h_t, n, out=h_new)
            if starts is not None:
                h_new[starts[t]] = -n[starts[t]]
            h_new *= z
            h_new += n  # h[t + 1] = n + z * (h[t] - n)

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
        du_r_z = da.reshape(-1, 3 * H)[:, : 2 * H]
        du_n = workspace.m_then_du_n[:T].reshape(-1, H)
        du, functions = (du_r_z, du_n), workspace.functions
        gradient_of_Wh(read, du, grads["Wh"], functions, gates_done)
        du_n.sum(axis=0, out=grads["c"])
        dinputs = workspace.inputs.backward(params, da, grads)  # dWx, db, and dx
        return dinputs, (workspace.dh.copy(),)

    def backward_loop(
        self, params: Mapping[str, Array], dh: Array, workspace: Workspace, T: int
    ) -> None:
        """Turn the gates into da and m into du_n, for t = T - 1 … 0.

        dh (T, N, H) is the gradient from the layer above; that of step t + 1 is added.
        """
        da, m_then_du_n = workspace.a_then_gates_then_da, workspace.m_then_du_n
        gates, da_columns, du = blocks(da, 3), columns(da, 3), workspace.u_then_du
        dh_next, kept = workspace.dh, workspace.kept
        N, H = dh_next.shape
        du_WhT, starts = workspace.du_WhT, workspace.starts
        scales, h = workspace.inputs.scales, workspace.h
        du_WhT.use(params["Wh"].T)
        da_n = np.empty_like(dh_next)
        dh_next.fill(0)  # no gradient comes from after the window
        for stretch in stretches_backward(T, N, H):
            slopes = self._slopes(workspace, stretch)
            for t in reversed(range(stretch.start, stretch.stop)):
                r_slope, z_slope, n_slope = slopes[t - stretch.start]
                r, z, _ = gates[t]
                dh_next += dh[t]
                np.multiply(dh_next, z, out=kept)
                np.multiply(dh_next, n_slope, out=da_n)
                du_n = np.multiply(da_n, r, out=m_then_du_n[t])
                da_r, da_z, _ = da_t = da_columns[t]  # overwrites the gates
                np.multiply(da_n, r_slope, out=da_r)
                np.multiply(dh_next, z_slope, out=da_z)
                da_t[2] = da_n
                du[:, : 2 * H] = da[t, :, : 2 * H]
                du[:, 2 * H :] = du_n
                du_WhT(du)  # into dh_next
                if scales:
                    scales.scale_back(dh_next, h[t], t)
                dh_next += kept
                if starts is not None:
                    dh_next[starts[t]] = 0

    def _slopes(self, workspace: Workspace, stretch: slice) -> Array:
        """Return da_r / da_n, da_z / dh and da_n / dh (B, 3, N, H), for B steps."""
        gates = blocks(workspace.a_then_gates_then_da, 3)[stretch]
        m, h = workspace.m_then_du_n[stretch], workspace.h[:-1][stretch]
        r_z, n = gates[:, :2], gates[:, 2]
        slopes, tmp = workspace.slopes[: len(m), :3], workspace.slopes[: len(m), 3]
        np.subtract(1, r_z, out=slopes[:, :2])
        slopes[:, 2] = slopes[:, 1]  # 1 - z
        slopes[:, :2] *= r_z  # the slope of a sigmoid is s (1 - s)
        slopes[:, 0] *= m
        slopes[:, 1] *= np.subtract(h, n, out=tmp)
        np.multiply(n, n, out=tmp)
        slopes[:, 2] *= np.subtract(1, tmp, out=tmp)  # that of tanh is 1 - tanh²
        return slopes

    def stepper(self, params: Mapping[str, Array], texts: int) -> Step:
        h_Wh, u = multiplier(params["Wh"], texts, G=3)
        c, r_z, n = params["c"], u[:2], u[2]
        r, z = r_z

        def step(a: Array, state: State, s: Array | None) -> State:
            (h,) = state
            h_Wh(h if s is None else h * s)  # into u
            np.add(r_z, a[:2], out=r_z)
            sigmoid(r_z, out=r_z)
            np.add(n, c, out=n)
            np.multiply(n, r, out=n)
            np.add(n, a[2], out=n)
            np.tanh(n, out=n)
            h_new = h - n
            h_new *= z
            h_new += n
            return (h_new,)

        return step


class MultiplicativeGRU(GRU):
    """The GRU whose input scales the state: Q (D, H) as well."""

    multiplicative = True
