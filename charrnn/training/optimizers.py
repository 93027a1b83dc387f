"""Optimizers, each in a few lines.

They act on flat vectors: θ the parameters and g the gradient, both (P,). `state` holds
the vectors that a resumed run needs; `t` counts updates from 1. Scratch vectors avoid
allocations during an update.
"""

from typing import ClassVar

import numpy as np

from charrnn.config import TrainConfig
from charrnn.nn.kernels import NUMPY, Functions
from charrnn.nn.parameters import Array, Parameters


class Optimizer:
    """Base class: state vectors by name, scratch vectors, and an update in place."""

    moments: ClassVar[tuple[str, ...]]
    epsilon: ClassVar[float] = 1e-8

    def __init__(
        self, params: Parameters, config: TrainConfig, functions: Functions = NUMPY
    ) -> None:
        θ = params.flat
        self.config, self._functions = config, functions
        self.state = {name: np.zeros_like(θ) for name in self.moments}
        self._tmp, self._step = np.empty_like(θ), np.empty_like(θ)

    def update(self, θ: Array, g: Array, lr: float, t: int) -> None:
        """Change θ, in place, by one step at learning rate lr."""
        raise NotImplementedError

    def _subtract(self, θ: Array, lr: float, top: Array, square: Array) -> None:
        """θ -= lr * top / (sqrt(square) + ε), in place; top and square stay."""
        tmp = np.sqrt(square, out=self._tmp)
        tmp += self.epsilon
        np.divide(top, tmp, out=tmp)
        tmp *= lr
        θ -= tmp


class SGD(Optimizer):
    """Momentum: v = μ v + g, θ -= lr v (Sutskever et al. 2013)."""

    moments = ("v",)

    def update(self, θ: Array, g: Array, lr: float, t: int) -> None:
        v = self.state["v"]
        v *= self.config.momentum
        v += g
        θ -= np.multiply(v, lr, out=self._tmp)


class Adagrad(Optimizer):
    """s += g², θ -= lr g / (√s + ε) (Duchi et al. 2011)."""

    moments = ("s",)

    def update(self, θ: Array, g: Array, lr: float, t: int) -> None:
        s = self.state["s"]
        s += np.multiply(g, g, out=self._tmp)
        self._subtract(θ, lr, g, s)


class RMSProp(Optimizer):
    """s = ρ s + (1 - ρ) g², θ -= lr g / (√s + ε) (Tieleman & Hinton 2012)."""

    moments = ("s",)
    decay = 0.95  # ρ

    def update(self, θ: Array, g: Array, lr: float, t: int) -> None:
        s = self.state["s"]
        tmp = np.multiply(g, g, out=self._tmp)
        tmp *= 1 - self.decay
        s *= self.decay
        s += tmp
        self._subtract(θ, lr, g, s)


class Adam(Optimizer):
    """Adaptive moments (Kingma & Ba 2015, algorithm 1).

    m = β1 m + (1 - β1) g        v = β2 v + (1 - β2) g²
    θ -= lr m̂ / (√v̂ + ε),       m̂ = m / (1 - β1^t),  v̂ = v / (1 - β2^t)
    """

    moments = ("m", "v")
    betas = 0.9, 0.99

    def update(self, θ: Array, g: Array, lr: float, t: int) -> None:
        β1, β2 = self.betas
        rates = (β1, β2, self.epsilon, lr / (1 - β1**t), 1 / (1 - β2**t))
        m, v = self.state["m"], self.state["v"]
        self._functions.adam_update(θ, g, m, v, rates, (self._tmp, self._step))


class AdamW(Adam):
    """Adam with decoupled weight decay: θ -= lr λ θ first (Loshchilov & Hutter 2019).

    Only matrices decay; biases have no reason to be small.
    """

    def __init__(
        self, params: Parameters, config: TrainConfig, functions: Functions = NUMPY
    ) -> None:
        super().__init__(params, config, functions)
        decays = params.zeros_like()
        for view in decays.values():
            view.fill(view.ndim > 1)
        self._decays = decays.flat

    def update(self, θ: Array, g: Array, lr: float, t: int) -> None:
        np.multiply(self._decays, θ, out=self._tmp)
        self._tmp *= lr * self.config.weight_decay
        θ -= self._tmp
        super().update(θ, g, lr, t)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSProp,
    "adagrad": Adagrad,
    "sgd": SGD,
}


def make_optimizer(
    params: Parameters, config: TrainConfig, functions: Functions = NUMPY
) -> Optimizer:
    """Return the optimizer that the configuration names, with fresh state."""
    return OPTIMIZERS[config.optimizer](params, config, functions)
