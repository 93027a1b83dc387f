"""Numeric gradients, to check those derived by hand."""

from collections.abc import Callable

import numpy as np

from charrnn.config import ModelConfig
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array

STEP = 1e-3
TOLERANCE = 1e-6


def numeric_gradient(f: Callable[[], float], x: Array, step: float = STEP) -> Array:
    """Return df/dx by central differences of fourth order, in the shape of x.

    f reads x (float64, changed in place and restored) and returns a number. With four
    points the error of the formula is proportional to step⁴: a step of 1e-3 leaves an
    error of about 1e-12, and rounding is as small. With two points float64 allows 1e-10
    at best, too coarse for small gradients (Abramowitz & Stegun 1964, 25.3.6).
    """
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        at = x[index]

        def beside(steps: int, index: tuple[int, ...] = index, at: float = at) -> float:
            x[index] = at + steps * step
            return f()

        near, far = beside(1) - beside(-1), beside(2) - beside(-2)
        x[index] = at
        gradient[index] = (8 * near - far) / (12 * step)
    return gradient


def relative_error(a: Array, b: Array) -> float:
    """Return the largest |a - b| / (|a| + |b|), ignoring rounding.

    The denominator is at least 1e-3 of the largest one, so that a zero that was rounded
    to 1e-17 does not count as an error of 100%.
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
        if not values.any():  # a mistake could hide at zero
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
    derived = workspace.grads.copy()
    return {
        name: relative_error(derived[name], numeric_gradient(loss, values))
        for name, values in model.params.items()
    }
