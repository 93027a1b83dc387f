"""The gated recurrent unit (Cho et al. 2014).

This is the form of cuDNN and PyTorch: reset acts after the product, and z keeps the old
state. The gates stand side by side in the columns, in the order r z n:

    a[t] = x[t] Wx + b          u[t] = h[t-1] Wh            (N, 3H)
    r, z = sigmoid(a_r + u_r, a_z + u_z)
    m = u_n + c
    n = tanh(a_n + r * m)
    h[t] = (1 - z) * n + z * h[t-1]

c (H) is the recurrent bias of n; r and z need none of their own. Backwards in time:

    da_n = dh[t] * (1 - z) * (1 - n²)         du_n = da_n * r
    da_r = da_n * m * r (1 - r)               du_r = da_r
    da_z = dh[t] * (h[t-1] - n) * z (1 - z)   du_z = da_z
    dh[t-1] = dh[t] * z + du[t] Wh^T + (what the layer above adds)
    dWh = Σ h[t-1]^T du[t]                    dc = Σ du_n[t]
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from charrnn.nn.cell import State
from charrnn.nn.init import orthogonal, uniform
from charrnn.nn.inputs import Projection
from charrnn.nn.kernels import REFERENCE, Steps
from charrnn.nn.parameters import Array, Shape


class Workspace:
    """Arrays of one layer for windows of up to (T, N)."""

    def __init__(
        self,
        T: int,
        N: int,
        D: int,
        H: int,
        dtype: npt.DTypeLike,
        steps: Steps = REFERENCE,
    ) -> None:
        self.steps = steps
        self.input = Projection(T, N, D, dtype, steps)
        self.h = np.empty((T + 1, N, H), dtype)  # h[0] is the incoming state
        self.m = np.empty((T, N, H), dtype)  # and then du_n
        self.a = np.empty((T, N, 3 * H), dtype)  # what x adds, then the gates, then da
        self.u = np.empty((N, 3 * H), dtype)  # what h[t-1] adds, and du[t]
        self.kept = np.empty((N, H), dtype)  # what z hands straight back
        self.dh = np.empty((N, H), dtype)  # what step t + 1 hands back to step t
        self.Wh = steps.packed(H, 3 * H, dtype, 3)
        self.WhT = steps.packed(3 * H, H, dtype)
        # What the sigmoid gates' columns are multiplied by, for the steps.
        self.scales = np.repeat(np.array(GRU.scales, dtype), H)


def gate_views(a: Array) -> tuple[Array, Array, Array]:
    """Return r, z, n as views (…, H) of a (…, 3H)."""
    H = a.shape[-1] // 3
    return a[..., :H], a[..., H : 2 * H], a[..., 2 * H :]


class GRU:
    """Parameters Wx (D, 3H), Wh (H, 3H), b (3H), c (H); state (h,)."""

    scales: tuple[float, ...] = (0.5, 0.5, 1.0)

    def shapes(self, D: int, H: int) -> dict[str, Shape]:
        return {"Wx": (D, 3 * H), "Wh": (H, 3 * H), "b": (3 * H,), "c": (H,)}

    def init(self, params: Mapping[str, Array], *, rng: np.random.Generator) -> None:
        for gate in gate_views(params["Wx"]):
            uniform(gate, rng=rng)
        for gate in gate_views(params["Wh"]):
            orthogonal(gate, rng=rng)
        params["b"].fill(0)
        params["c"].fill(0)

    def zero_state(self, N: int, H: int, dtype: npt.DTypeLike) -> State:
        return (np.zeros((N, H), dtype),)

    workspace = staticmethod(Workspace)

    def forward(
        self,
        params: Mapping[str, Array],
        inputs: Array,
        state: State,
        workspace: Workspace,
    ) -> tuple[Array, State]:
        steps, T = workspace.steps, len(inputs)
        h, m, a = workspace.h[: T + 1], workspace.m[:T], workspace.a[:T]
        (h[0],) = state
        workspace.input.forward(inputs, params, out=a, scale=workspace.scales)
        Wh = steps.pack(params["Wh"] * workspace.scales, workspace.Wh)
        steps.gru_forward(Wh, params["c"], a, h, m, workspace.u)
        return h[1:], (h[T].copy(),)

    def backward(
        self,
        params: Mapping[str, Array],
        dh: Array,
        workspace: Workspace,
        grads: Mapping[str, Array],
    ) -> tuple[Array | None, State]:
        steps, T, H = workspace.steps, workspace.input.claim(dh), dh.shape[-1]
        h, da, du_n = workspace.h[: T + 1], workspace.a[:T], workspace.m[:T]
        dh_next, kept = workspace.dh, workspace.kept
        WhT = steps.pack(params["Wh"].T, workspace.WhT)
        steps.gru_backward(WhT, dh, da, du_n, h, dh_next, kept, workspace.u)
        hT, dWh = h[:-1].reshape(-1, H).T, grads["Wh"]
        rows, rows_n = da.reshape(-1, 3 * H), du_n.reshape(-1, H)
        np.matmul(hT, rows[:, : 2 * H], out=dWh[:, : 2 * H])
        np.matmul(hT, rows_n, out=dWh[:, 2 * H :])
        rows_n.sum(axis=0, out=grads["c"])
        return workspace.input.backward(params, da, grads), (dh_next.copy(),)
