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

from charrnn.arrays import Array, Shape
from charrnn.cells.contract import State
from charrnn.cells.initial import orthogonal, uniform
from charrnn.cells.projection import Projection
from charrnn.kernels import REFERENCE, Steps


class Workspace:
    """Arrays of one layer for windows of up to (T, N)."""

    def __init__(
        self, T: int, N: int, D: int, H: int, dtype: npt.DTypeLike, steps: Steps
    ) -> None:
        self.steps = steps
        self.input = Projection(T, N, D, dtype)
        self.T = 0  # of the window that forward ran last
        self.h = np.empty((T + 1, N, H), dtype)  # h[0] is the incoming state
        self.a = np.empty((T, N, H), dtype)
        self.u = np.empty((N, H), dtype)  # what h[t-1] adds
        self.da = np.empty((T, N, H), dtype)
        self.dh = np.empty((N, H), dtype)  # what step t + 1 hands back to step t
        self.WhT = np.empty((H, H), dtype)


class RNN:
    """h' = tanh(x Wx + h Wh + b). Parameters Wx (D, H), Wh (H, H), b (H)."""

    def shapes(self, D: int, H: int) -> dict[str, Shape]:
        return {"Wx": (D, H), "Wh": (H, H), "b": (H,)}

    def init(self, params: Mapping[str, Array], *, rng: np.random.Generator) -> None:
        uniform(params["Wx"], rng=rng)
        orthogonal(params["Wh"], rng=rng)
        params["b"].fill(0)

    def zero_state(self, N: int, H: int, dtype: npt.DTypeLike) -> State:
        return (np.zeros((N, H), dtype),)

    def workspace(
        self,
        T: int,
        N: int,
        D: int,
        H: int,
        dtype: npt.DTypeLike,
        steps: Steps = REFERENCE,
    ) -> Workspace:
        return Workspace(T, N, D, H, dtype, steps)

    def forward(
        self,
        params: Mapping[str, Array],
        inputs: Array,
        state: State,
        workspace: Workspace,
    ) -> tuple[Array, State]:
        Wh, T = params["Wh"], len(inputs)
        h, a = workspace.h[: T + 1], workspace.a[:T]
        workspace.T = T
        (h[0],) = state
        workspace.input.forward(inputs, params, out=a)
        u, step = workspace.u, workspace.steps.rnn_forward
        for h_last, a_t, h_t in zip(h, a, h[1:], strict=False):
            np.matmul(h_last, Wh, out=u)
            step(u, a_t, h_t)
        return h[1:], (h[T].copy(),)

    def backward(
        self,
        params: Mapping[str, Array],
        dh: Array,
        workspace: Workspace,
        grads: Mapping[str, Array],
    ) -> tuple[Array | None, State]:
        T, H = workspace.T, dh.shape[-1]
        h, da, dh_next = workspace.h[: T + 1], workspace.da[:T], workspace.dh
        # A product with a transposed view repacks it at each call; a copy does so once.
        WhT = workspace.WhT
        WhT[:] = params["Wh"].T
        dh_next.fill(0)
        step = workspace.steps.rnn_backward
        for dh_t, h_t, da_t in zip(dh[::-1], h[:0:-1], da[::-1], strict=True):
            step(dh_t, dh_next, h_t, da_t)
            np.matmul(da_t, WhT, out=dh_next)
        np.matmul(h[:-1].reshape(-1, H).T, da.reshape(-1, H), out=grads["Wh"])
        return workspace.input.backward(params, da, grads), (dh_next.copy(),)
