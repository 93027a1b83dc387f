"""Numeric gradients, to prove the ones that were derived by hand."""

from collections.abc import Callable

import numpy as np

from charrnn.arrays import Array
from charrnn.config import ModelConfig
from charrnn.model import Model

STEP = 1e-5
TOLERANCE = 1e-6


def numeric_gradient(f: Callable[[], float], x: Array, step: float = STEP) -> Array:
    """Return df/dx by central differences, in the shape of x.

    f reads x (float64, changed in place and put back) and returns a number. The error
    falls with step² until rounding takes over; 1e-5 is near the best in float64.
    """
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        saved = x[index]
        x[index] = saved + step
        above = f()
        x[index] = saved - step
        below = f()
        x[index] = saved
        gradient[index] = (above - below) / (2 * step)
    return gradient


def relative_error(a: Array, b: Array) -> float:
    """Return the largest |a - b| / (|a| + |b|), where both are more than rounding.

    Elements are compared with the largest of their array as well, so that a zero which
    rounding made 1e-17 does not count as wholly wrong.
    """
    scale = np.abs(a) + np.abs(b)
    floor = 1e-3 * max(float(scale.max(initial=0.0)), 1e-12)
    return float((np.abs(a - b) / np.maximum(scale, floor)).max(initial=0.0))


def check_model(
    config: ModelConfig, *, T: int, N: int, rng: np.random.Generator
) -> dict[str, float]:
    """Return the relative error of every parameter's gradient, in float64.

    The network, its incoming state and a window of (T, N) characters are random.
    """
    model = Model(config, np.float64)
    model.init(rng=rng)
    for values in model.params.values():
        if values.ndim == 1:  # they start at zero, where a mistake could hide
            values[:] = rng.normal(0, 0.5, values.shape)
    ids = rng.integers(0, config.vocab, (T + 1, N)).astype(np.uint32)
    state = tuple(
        tuple(rng.normal(0, 0.5, part.shape) for part in layer)
        for layer in model.zero_state(N)
    )
    workspace = model.workspace(T, N)

    def loss() -> float:
        return model.loss_and_grads(ids[:-1], ids[1:], state, workspace)[0]

    loss()
    derived = workspace.grads.like(workspace.grads.flat)
    return {
        name: relative_error(derived[name], numeric_gradient(loss, values))
        for name, values in model.params.items()
    }
