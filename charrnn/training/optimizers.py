"""Optimizers, each in a few lines.

They act on flat vectors: θ the parameters and g the gradient, both (P,). `state` holds
the vectors that a resumed run needs; `t` counts updates from 1. An update goes over the
vectors block by block, so that it stays in the cache and its scratch is small.
"""

from typing import ClassVar, NamedTuple

import numpy as np

from charrnn.config import TrainConfig
from charrnn.nn.kernels import NUMPY, Functions
from charrnn.nn.parameters import Array, Parameters, blocks, scratch


class Block(NamedTuple):
    """One block of every vector, and scratch of its size."""

    θ: Array
    g: Array
    state: tuple[Array, ...]  # in the order of `moments`
    tmp: Array
    root: Array


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
        self._tmp, self._root = scratch(θ), scratch(θ)

    def update(self, θ: Array, g: Array, lr: float, t: int) -> None:
        """Change θ, in place, by one step at learning rate lr."""
        for at in blocks(len(θ)):
            state = tuple(vector[at] for vector in self.state.values())
            size = at.stop - at.start
            block = Block(θ[at], g[at], state, self._tmp[:size], self._root[:size])
            self._update(block, lr, t)

    def _update(self, block: Block, lr: float, t: int) -> None:
        """Make the update in one block."""
        raise NotImplementedError

    def _subtract(
        self, θ: Array, lr: float, top: Array, square: Array, tmp: Array
    ) -> None:
        """θ -= lr * top / (sqrt(square) + ε), in place; top and square stay."""
        np.sqrt(square, out=tmp)
        tmp += self.epsilon
        np.divide(top, tmp, out=tmp)
        tmp *= lr
        θ -= tmp


class SGD(Optimizer):
    """Momentum: v = μ v + g, θ -= lr v (Sutskever et al. 2013)."""

    moments = ("v",)

    def _update(self, block: Block, lr: float, t: int) -> None:
        θ, g, (v,), tmp, _ = block
        v *= self.config.momentum
        v += g
        θ -= np.multiply(v, lr, out=tmp)


class Adagrad(Optimizer):
    """s += g², θ -= lr g / (√s + ε) (Duchi et al. 2011)."""

    moments = ("s",)

    def _update(self, block: Block, lr: float, t: int) -> None:
        θ, g, (s,), tmp, _ = block
        s += np.multiply(g, g, out=tmp)
        self._subtract(θ, lr, g, s, tmp)


class RMSProp(Optimizer):
    """s = ρ s + (1 - ρ) g², θ -= lr g / (√s + ε) (Tieleman & Hinton 2012)."""

    moments = ("s",)
    decay = 0.95  # ρ

    def _update(self, block: Block, lr: float, t: int) -> None:
        θ, g, (s,), tmp, _ = block
        np.multiply(g, g, out=tmp)
        tmp *= 1 - self.decay
        s *= self.decay
        s += tmp
        self._subtract(θ, lr, g, s, tmp)


class Adam(Optimizer):
    """Adaptive moments (Kingma & Ba 2015, algorithm 1).

    m = β1 m + (1 - β1) g        v = β2 v + (1 - β2) g²
    θ -= lr m̂ / (√v̂ + ε),       m̂ = m / (1 - β1^t),  v̂ = v / (1 - β2^t)
    """

    moments = ("m", "v")
    betas = 0.9, 0.99

    def _update(self, block: Block, lr: float, t: int) -> None:
        β1, β2 = self.betas
        rates = (β1, β2, self.epsilon, lr / (1 - β1**t), 1 / (1 - β2**t))
        θ, g, (m, v), tmp, root = block
        self._functions.adam_update(θ, g, m, v, rates, (tmp, root))


class AdamW(Adam):
    """Adam with decoupled weight decay: θ -= lr λ θ first (Loshchilov & Hutter 2019).

    Only matrices decay; biases have no reason to be small.
    """

    def __init__(
        self, params: Parameters, config: TrainConfig, functions: Functions = NUMPY
    ) -> None:
        super().__init__(params, config, functions)
        self._decays = np.empty(params.flat.size, np.bool_)
        for view in params.views(self._decays).values():
            view.fill(view.ndim > 1)

    def update(self, θ: Array, g: Array, lr: float, t: int) -> None:
        for block in blocks(len(θ)):
            tmp = self._tmp[: block.stop - block.start]
            np.multiply(self._decays[block], θ[block], out=tmp)
            tmp *= lr * self.config.weight_decay
            θ[block] -= tmp
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
