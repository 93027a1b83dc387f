"""Optimizers, each in a few lines.

They act on flat vectors: θ the parameters and g the gradient, both (P,). `state` holds
the vectors that a resumed run needs; `t` counts updates from 1. An update goes over the
vectors block by block, so that it stays in the cache and its scratch is small.
"""

from collections.abc import Mapping
from math import prod, sqrt
from typing import ClassVar, NamedTuple

import numpy as np

from charrnn.config import TrainConfig
from charrnn.nn.kernels import NUMPY, Functions
from charrnn.nn.model import multiplied
from charrnn.nn.parameters import Array, Parameters, Shape, blocks, scratch, views_of
from charrnn.nn.workers import Threads


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
    every: ClassVar[int] = 1  # the first of so many updates does more than the others

    def __init__(
        self,
        params: Parameters,
        config: TrainConfig,
        functions: Functions = NUMPY,
        state: dict[str, Array] | None = None,
    ) -> None:
        θ = params.flat
        self.config, self._functions = config, functions
        self.state = state or new_state(config, params)
        self._tmp, self._root = scratch(θ), scratch(θ)
        self._elementwise = [slice(0, len(θ))]  # parts of θ that `update` changes
        self._prepare(params)

    def _prepare(self, params: Parameters) -> None:
        """Make what an optimizer needs besides its state."""

    @classmethod
    def state_shapes(
        cls, shapes: Mapping[str, Shape]
    ) -> dict[str, Mapping[str, Shape]]:
        """Return, for each vector of the state, the shapes of the arrays in it.

        shapes are those of the parameters.
        """
        return dict.fromkeys(cls.moments, shapes)

    def update(
        self, θ: Array, g: Array, lr: float, t: int, threads: Threads | None = None
    ) -> None:
        """Change θ, in place, by one step at learning rate lr.

        The threads share products of matrices.
        """
        for part in self._elementwise:
            for at in blocks(part.stop, start=part.start):
                state = tuple(self.state[name][at] for name in self.moments)
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

    def _prepare(self, params: Parameters) -> None:
        self._decays = np.empty(params.flat.size, np.bool_)
        for view in params.views(self._decays).values():
            view.fill(view.ndim > 1)

    def update(
        self, θ: Array, g: Array, lr: float, t: int, threads: Threads | None = None
    ) -> None:
        for block in blocks(len(θ)):
            tmp = self._tmp[: block.stop - block.start]
            np.multiply(self._decays[block], θ[block], out=tmp)
            tmp *= lr * self.config.weight_decay
            θ[block] -= tmp
        super().update(θ, g, lr, t, threads)


class Shampoo(Adam):
    """Whitened steps for the matrices that states are multiplied with; Adam for others.

    The rows of a gradient g (D, C) belong to the D units of a layer. Units often do the
    same, and then their rows are alike. L, the second moments of the rows, takes out
    what they have in common:

        L = β L + (1 - β) g gᵀ                              (D, D)
        m = μ m + (1 - μ) g
        u = L^(-1/2) (μ m + (1 - μ) g)                      (D, C)
        W -= lr (0.2 √(D C) u / |u| + λ W)

    The root is computed anew every 10 updates. This is Shampoo (Gupta et al. 2018) from
    one side, with a running mean and the exponent 1/2 (An et al. 2025), and with
    Nesterov's momentum. The step is as long as Adam's typically is, so that one rate
    fits both (Liu et al. 2025). Since it does not shrink with the gradient, the weights
    grow without an end, and after some thousand steps the recurrent network becomes
    chaotic. The weight decay λ keeps them small.
    """

    decay, momentum = 0.95, 0.95  # β, μ
    every = 10  # updates for which a root is used
    smallest = 1e-6  # eigenvalue of L, as a fraction of the largest
    rms = 0.2  # of a step, as a fraction of the rate

    def _prepare(self, params: Parameters) -> None:
        self._shapes = params.shapes
        squares = self.state_shapes(params.shapes)["L"]
        self._L = views_of(self.state["L"], squares)
        self._roots = views_of(self.state["root"], squares)
        self._m = {name: params.views(self.state["m"])[name] for name in squares}
        self._elementwise = _between(params.shapes, squares)

    @classmethod
    def state_shapes(
        cls, shapes: Mapping[str, Shape]
    ) -> dict[str, Mapping[str, Shape]]:
        squares = {name: (shapes[name][0],) * 2 for name in multiplied(shapes)}
        return super().state_shapes(shapes) | {"L": squares, "root": squares}

    def update(
        self, θ: Array, g: Array, lr: float, t: int, threads: Threads | None = None
    ) -> None:
        super().update(θ, g, lr, t)
        threads = threads or Threads(1)
        weights, grads = views_of(θ, self._shapes), views_of(g, self._shapes)
        for name, L in self._L.items():
            self._add_moments(L, grads[name], threads)
        if t % self.every == 1:
            self._renew_roots(threads)
        for name, root in self._roots.items():
            W, m = weights[name], self._m[name]
            self._whitened_step(W, grads[name], m, root, lr, threads)

    def _add_moments(self, L: Array, g: Array, threads: Threads) -> None:
        """Move L (D, D) towards g gᵀ, in place."""
        bounds = _bounds(len(L), threads.parts)

        def add(i: int) -> None:
            rows = slice(bounds[i], bounds[i + 1])
            new = g[rows] @ g.T
            new *= 1 - self.decay
            L[rows] *= self.decay
            L[rows] += new

        threads.run(add, can_stop=False)

    def _renew_roots(self, threads: Threads) -> None:
        """Compute L^(-1/2) of all matrices, each in one thread."""
        names = list(self._L)

        def renew(i: int) -> None:
            for name in names[i :: threads.parts]:
                self._roots[name][:] = self._inverse_root(self._L[name])

        threads.run(renew, can_stop=False)

    def _inverse_root(self, L: Array) -> Array:
        """Return L^(-1/2), by L = V diag(λ) Vᵀ."""
        λ, V = np.linalg.eigh(L.astype(np.float64))
        least = max(self.smallest * λ[-1], np.finfo(np.float32).tiny)
        root: Array = (V / np.sqrt(np.maximum(λ, least))) @ V.T
        return root

    def _whitened_step(
        self, W: Array, g: Array, m: Array, root: Array, lr: float, threads: Threads
    ) -> None:
        """Change W and m (D, C), in place."""
        u, μ = np.empty_like(g), self.momentum
        bounds = _bounds(W.shape[1], threads.parts)

        def whiten(i: int) -> float:
            columns = slice(bounds[i], bounds[i + 1])
            m_i, new = m[:, columns], (1 - μ) * g[:, columns]
            m_i *= μ
            m_i += new
            new += μ * m_i
            u_i = np.matmul(root, new, out=u[:, columns])
            return float(np.vdot(u_i, u_i))

        length = sqrt(sum(threads.run(whiten, can_stop=False)))
        W *= 1 - lr * self.config.weight_decay
        if length:
            u *= lr * self.rms * sqrt(W.size) / length
            W -= u


def _bounds(size: int, parts: int) -> list[int]:
    """Return where equal parts of so many rows or columns begin and end."""
    return [size * i // parts for i in range(parts + 1)]


def _between(shapes: Mapping[str, Shape], names: Mapping[str, Shape]) -> list[slice]:
    """Return the parts of a flat vector without the arrays of these names."""
    parts, start, end = [], 0, 0
    for name, shape in shapes.items():
        size = prod(shape)
        if name in names:
            parts.append(slice(start, end))
            start = end + size
        end += size
    return [*parts, slice(start, end)]


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSProp,
    "adagrad": Adagrad,
    "sgd": SGD,
    "shampoo": Shampoo,
}


def new_state(
    config: TrainConfig, params: Parameters, networks: int = 1
) -> dict[str, Array]:
    """Return the state with which the configured optimizer starts, by name.

    For several networks with such parameters, each vector has theirs one after another.
    """
    layouts = OPTIMIZERS[config.optimizer].state_shapes(params.shapes)
    sizes = {name: sum(map(prod, each.values())) for name, each in layouts.items()}
    dtype = params.flat.dtype
    return {name: np.zeros(networks * size, dtype) for name, size in sizes.items()}


def make_optimizer(
    params: Parameters,
    config: TrainConfig,
    functions: Functions = NUMPY,
    state: dict[str, Array] | None = None,
) -> Optimizer:
    """Return the optimizer that the configuration names.

    `state` holds its state; by default, it starts with a new one.
    """
    return OPTIMIZERS[config.optimizer](params, config, functions, state)
