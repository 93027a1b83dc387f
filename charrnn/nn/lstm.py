"""Long short-term memory (Hochreiter & Schmidhuber 1997).

With the forget gate of Gers et al. 2000. The four gates stand side by side in the
columns, in the order i f o g:

    a[t] = x[t] Wx + h[t-1] Wh + b                    (N, 4H)
    i, f, o = sigmoid(a_i, a_f, a_o)      g = tanh(a_g)
    c[t] = f * c[t-1] + i * g
    h[t] = o * tanh(c[t])

Backwards in time, with dh[t] what reaches h[t] and dc what step t + 1 hands to c[t]:

    dc   += dh[t] * o * (1 - tanh(c[t])²)
    da_i  = dc * g * i (1 - i)            da_f = dc * c[t-1] * f (1 - f)
    da_o  = dh[t] * tanh(c[t]) * o (1 - o)    da_g = dc * i * (1 - g²)
    dc    = dc * f
    dh[t-1] = da[t] Wh^T + (what the layer above adds)

The gradients of Wx, Wh and b are sums over t and the batch, as in the tanh cell.
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
        self.h = np.empty((T + 1, N, H), dtype)  # h[0], c[0] are the incoming state
        self.c = np.empty((T + 1, N, H), dtype)
        self.tanh_c = np.empty((T, N, H), dtype)
        self.a = np.empty((T, N, 4 * H), dtype)  # what x adds, then the gates, then da
        self.u = np.empty((N, 4 * H), dtype)  # what h[t-1] adds
        self.dh = np.empty((N, H), dtype)  # what step t + 1 hands back to step t
        self.dc = np.empty((N, H), dtype)
        self.Wh = steps.packed(H, 4 * H, dtype, 4)
        self.WhT = steps.packed(4 * H, H, dtype)
        # What the sigmoid gates' columns are multiplied by, for the steps.
        self.scales = np.repeat(np.array(LSTM.scales, dtype), H)


def gate_views(a: Array) -> tuple[Array, Array, Array, Array]:
    """Return i, f, o, g as views (…, H) of a (…, 4H)."""
    H = a.shape[-1] // 4
    return a[..., :H], a[..., H : 2 * H], a[..., 2 * H : 3 * H], a[..., 3 * H :]


class LSTM:
    """Parameters Wx (D, 4H), Wh (H, 4H), b (4H); state (h, c)."""

    scales: tuple[float, ...] = (0.5, 0.5, 0.5, 1.0)

    def shapes(self, D: int, H: int) -> dict[str, Shape]:
        return {"Wx": (D, 4 * H), "Wh": (H, 4 * H), "b": (4 * H,)}

    def init(self, params: Mapping[str, Array], *, rng: np.random.Generator) -> None:
        for gate in gate_views(params["Wx"]):
            uniform(gate, rng=rng)
        for gate in gate_views(params["Wh"]):
            orthogonal(gate, rng=rng)
        params["b"].fill(0)
        # A forget gate that starts open lets gradients through (Jozefowicz et al.
        # 2015).
        gate_views(params["b"])[1].fill(1)

    def zero_state(self, N: int, H: int, dtype: npt.DTypeLike) -> State:
        return np.zeros((N, H), dtype), np.zeros((N, H), dtype)

    workspace = staticmethod(Workspace)

    def forward(
        self,
        params: Mapping[str, Array],
        inputs: Array,
        state: State,
        workspace: Workspace,
    ) -> tuple[Array, State]:
        steps, T = workspace.steps, len(inputs)
        h, c = workspace.h[: T + 1], workspace.c[: T + 1]
        a, tanh_c = workspace.a[:T], workspace.tanh_c[:T]
        h[0], c[0] = state
        workspace.input.forward(inputs, params, out=a, scale=workspace.scales)
        Wh = steps.pack(params["Wh"] * workspace.scales, workspace.Wh)
        steps.lstm_forward(Wh, a, h, c, tanh_c, workspace.u)
        return h[1:], (h[T].copy(), c[T].copy())

    def backward(
        self,
        params: Mapping[str, Array],
        dh: Array,
        workspace: Workspace,
        grads: Mapping[str, Array],
    ) -> tuple[Array | None, State]:
        steps, T, H = workspace.steps, workspace.input.claim(dh), dh.shape[-1]
        h, c, tanh_c = workspace.h[: T + 1], workspace.c[: T + 1], workspace.tanh_c[:T]
        da, dh_next, dc = workspace.a[:T], workspace.dh, workspace.dc
        WhT = steps.pack(params["Wh"].T, workspace.WhT)
        steps.lstm_backward(WhT, dh, da, c, tanh_c, dh_next, dc)
        np.matmul(h[:-1].reshape(-1, H).T, da.reshape(-1, 4 * H), out=grads["Wh"])
        dstate = dh_next.copy(), dc.copy()
        return workspace.input.backward(params, da, grads), dstate
