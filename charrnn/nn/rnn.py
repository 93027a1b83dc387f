"""The tanh recurrent cell (Elman 1990).

Step t reads the input x[t] and the state h[t], and computes the state h[t + 1]:

    a[t]     = x[t] Wx + h[t] Wh + b
    h[t + 1] = tanh(a[t])

Backward, with dh[t + 1] the gradient of the loss with respect to h[t + 1], the sum of
those from the layer above and from step t + 1, and with tanh' = 1 - tanh²:

    da[t] = dh[t + 1] * (1 - h[t + 1]²)
    dh[t] = da[t] Wh^T + (the gradient from the layer above)
    dWx = Σ x[t]^T da[t]      dWh = Σ h[t]^T da[t]      db = Σ da[t]

At the first step of a document, h[t] is zero, and dh[t] goes nowhere.

Each matrix sum over all steps is a single product. The loops over time do only what
depends on the previous step: one product per step and direction. `nn/inputs.py` has the
input half, `x Wx + b` and its gradients, which needs no loop.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from charrnn.nn.cell import Cell, GatesDone, State, Step
from charrnn.nn.init import glorot_uniform, orthogonal
from charrnn.nn.inputs import Inputs
from charrnn.nn.kernels import NUMPY
from charrnn.nn.parameters import Array, Shape
from charrnn.nn.steps import (
    StepProduct,
    gradient_of_Wh,
    multiplier,
    stretches_backward,
)


class Arrays:
    """Arrays of one layer for windows of up to (T, N), whatever computes them."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs, self.functions = inputs, inputs.functions
        (T, N, H), dtype = inputs.size, inputs.dtype
        self.h = np.empty((T + 1, N, H), dtype)  # h[0] is the incoming state
        self.a_then_da = np.empty((T, N, H), dtype)
        self.u = np.empty((N, H), dtype)  # h[t] Wh
        self.dh = np.empty((N, H), dtype)  # the gradient that step t + 1 passes to t
        self.starts: Array | None = None  # (T, N), those of the last forward pass


class Workspace(Arrays):
    """The arrays, and what the loops in NumPy need besides."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        _, _, H = inputs.size
        self.h_Wh = StepProduct(H, out=self.u)
        self.da_WhT = StepProduct(H, out=self.dh)


class RNN(Cell):
    """h' = tanh(x Wx + h Wh + b). Parameters Wx (D, H), Wh (H, H), b (H)."""

    multiplicative = False  # see `nn/scales.py`

    def shapes(self, D: int, H: int) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {"Wx": (D, H), "Wh": (H, H), "b": (H,)}
        return shapes | ({"Q": (D, H)} if self.multiplicative else {})

    def init(self, params: Mapping[str, Array], *, rng: np.random.Generator) -> None:
        glorot_uniform(params["Wx"], rng=rng)
        orthogonal(params["Wh"], rng=rng)
        params["b"].fill(0)
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
        h, a = workspace.h[: T + 1], workspace.a_then_da[:T]
        (h[0],) = state
        workspace.inputs.forward(inputs, params, out=a)  # a[t] = x[t] Wx + b, all t
        self.forward_loop(params, workspace, T)
        return h[1:], (h[T].copy(),)

    def forward_loop(
        self, params: Mapping[str, Array], workspace: Workspace, T: int
    ) -> None:
        """h[t + 1] = tanh(a[t] + h[t] Wh), for t = 0 … T - 1."""
        h, a, u = workspace.h, workspace.a_then_da, workspace.u
        h_Wh, starts = workspace.h_Wh, workspace.starts
        scales = workspace.inputs.scales
        h_Wh.use(params["Wh"])
        for t in range(T):
            h_Wh(scales.scale(h[t], t) if scales else h[t])  # into u
            if starts is not None:
                u[starts[t]] = 0
            np.add(a[t], u, out=u)
            np.tanh(u, out=h[t + 1])

    def backward(
        self,
        params: Mapping[str, Array],
        dh: Array,
        workspace: Workspace,
        grads: Mapping[str, Array],
        gates_done: GatesDone | None = None,
    ) -> tuple[Array | None, State]:
        T, H = workspace.inputs.take_window(dh), dh.shape[-1]
        h, da = workspace.h[: T + 1], workspace.a_then_da[:T]
        self.backward_loop(params, dh, workspace, T)
        read = workspace.inputs.states_read(h[:-1])
        if workspace.starts is not None:
            read[workspace.starts] = 0
        du, functions = (da.reshape(-1, H),), workspace.functions
        gradient_of_Wh(read, du, grads["Wh"], functions, gates_done)
        dinputs = workspace.inputs.backward(params, da, grads)  # dWx, db, and dx
        return dinputs, (workspace.dh.copy(),)

    def backward_loop(
        self, params: Mapping[str, Array], dh: Array, workspace: Workspace, T: int
    ) -> None:
        """da[t] = dh[t + 1] * (1 - h[t + 1]²), dh[t] = da[t] Wh^T, for t = T - 1 … 0.

        dh[t] is the gradient of h[t + 1] that comes from the layer above, and dh_next
        the one that comes from step t + 1. da[t] overwrites a[t], which is no longer
        needed.
        """
        h, da, dh_next = workspace.h, workspace.a_then_da, workspace.dh
        da_WhT, starts = workspace.da_WhT, workspace.starts
        scales = workspace.inputs.scales
        da_WhT.use(params["Wh"].T)
        dh_next.fill(0)  # truncated: no gradient comes from after the window
        for stretch in stretches_backward(T, *dh_next.shape):
            slopes, h_new = da[stretch], h[1:][stretch]
            np.multiply(h_new, h_new, out=slopes)
            np.subtract(1, slopes, out=slopes)  # the slope of tanh is 1 - h²
            for t in reversed(range(stretch.start, stretch.stop)):
                da_t = da[t]
                dh_next += dh[t]
                da_t *= dh_next
                da_WhT(da_t)  # into dh_next
                if starts is not None:
                    dh_next[starts[t]] = 0
                if scales:
                    scales.scale_back(dh_next, h[t], t)

    def stepper(self, params: Mapping[str, Array], texts: int) -> Step:
        h_Wh, (u,) = multiplier(params["Wh"], texts, G=1)

        def step(a: Array, state: State, s: Array | None) -> State:
            (h,) = state
            h_Wh(h if s is None else h * s)  # into u
            return (np.tanh(u + a[0]),)

        return step


class MultiplicativeRNN(RNN):
    """The tanh cell whose input scales the state: Q (D, H) as well."""

    multiplicative = True
