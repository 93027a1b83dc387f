"""The tanh recurrent cell (Elman 1990).

    a[t] = x[t] Wx + h[t-1] Wh + b
    h[t] = tanh(a[t])

Backwards in time, with dh[t] the gradient that reaches h[t] from the layer above and
from step t + 1, and tanh' = 1 - tanh²:

    da[t]   = dh[t] * (1 - h[t]²)
    dh[t-1] = da[t] Wh^T + (what the layer above adds)
    dWx = Σ x[t]^T da[t]      dWh = Σ h[t-1]^T da[t]      db = Σ da[t]

The sums over t and over the batch are one matrix product over T·N rows each: the loop
over time holds only what the recurrence forces into it, one product a step each way.
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
        self.a = np.empty((T, N, H), dtype)  # what x adds, and in the end da
        self.u = np.empty((N, H), dtype)  # what h[t-1] adds
        self.dh = np.empty((N, H), dtype)  # what step t + 1 hands back to step t
        self.Wh = steps.packed(H, H, dtype)
        self.WhT = steps.packed(H, H, dtype)


class RNN:
    """h' = tanh(x Wx + h Wh + b). Parameters Wx (D, H), Wh (H, H), b (H)."""

    scales: tuple[float, ...] = (1.0,)

    def shapes(self, D: int, H: int) -> dict[str, Shape]:
        return {"Wx": (D, H), "Wh": (H, H), "b": (H,)}

    def init(self, params: Mapping[str, Array], *, rng: np.random.Generator) -> None:
        uniform(params["Wx"], rng=rng)
        orthogonal(params["Wh"], rng=rng)
        params["b"].fill(0)

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
        h, a = workspace.h[: T + 1], workspace.a[:T]
        (h[0],) = state
        workspace.input.forward(inputs, params, out=a)
        Wh = steps.pack(params["Wh"], workspace.Wh)
        steps.rnn_forward(Wh, a, h, workspace.u)
        return h[1:], (h[T].copy(),)

    def backward(
        self,
        params: Mapping[str, Array],
        dh: Array,
        workspace: Workspace,
        grads: Mapping[str, Array],
    ) -> tuple[Array | None, State]:
        steps, T, H = workspace.steps, workspace.input.claim(dh), dh.shape[-1]
        h, da, dh_next = workspace.h[: T + 1], workspace.a[:T], workspace.dh
        WhT = steps.pack(params["Wh"].T, workspace.WhT)
        steps.rnn_backward(WhT, dh, h, da, dh_next)
        np.matmul(h[:-1].reshape(-1, H).T, da.reshape(-1, H), out=grads["Wh"])
        return workspace.input.backward(params, da, grads), (dh_next.copy(),)
