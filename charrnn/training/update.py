"""One update of the weights: gradient, clipping, optimizer, running average.

`Team` and the benchmarks call this.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite, isinf, sqrt
from typing import NamedTuple

import numpy as np

from charrnn.config import TrainConfig
from charrnn.nn.dropout import Dropout, WeightDrop
from charrnn.nn.model import Model, ModelState, PiecesDone
from charrnn.nn.parameters import Array, Parameters, blocks, scratch
from charrnn.nn.sampled import Sampler
from charrnn.nn.workers import Workers, blas_threads
from charrnn.ranks import Ranks
from charrnn.training.optimizers import make_optimizer


class Gradient(NamedTuple):
    """The result for one window."""

    loss: float  # mean nats per character
    grads: Parameters  # clipped; overwritten by the next call
    norm: float  # before clipping; with clip_mode "value" the largest magnitude
    state: ModelState  # after the window


class _Part(NamedTuple):
    """What one rank finds; its gradients are added to those of the others."""

    loss: float
    grads: Parameters
    state: ModelState
    masks: dict[str, Array]  # of the recurrent weights, and so of their gradients


class Update:
    """Computes gradients of a model and applies them.

    With a sampler, the gradients are those of the sampled softmax. N is the number of
    columns of the whole batch, of which this rank's workers compute some; by default,
    all. `averaged` holds the running average of the weights, if there is one; by
    default, it is a copy of the model. `state` is that of the optimizer.
    """

    def __init__(
        self,
        model: Model,
        config: TrainConfig,
        workers: Workers,
        sampler: Sampler | None = None,
        ranks: Ranks | None = None,
        N: int = 0,
        *,
        averaged: Model | None = None,
        state: dict[str, Array] | None = None,
    ) -> None:
        self.model, self.config, self.workers = model, config, workers
        self._sampler = sampler
        self._ranks = ranks or Ranks()
        N = N or workers.N
        self._columns = self._ranks.share(N)
        params, network = model.params, model.config
        self.optimizer = make_optimizer(params, config, model.functions, state)
        self.averaged = averaged or (model.copy() if config.average else model)
        self._clip = CLIPPERS[config.clip_mode]
        self._scratch = scratch(params.flat)
        self._dropout = self._weight_drop = None
        if config.dropout:
            shape = (network.layers, workers.T, N, network.hidden)
            self._dropout = Dropout(config.dropout, shape, model.dtype)
        if config.recurrent_dropout:
            self._weight_drop = WeightDrop(config.recurrent_dropout, params)

    def gradient(
        self,
        inputs: Array,
        targets: Array,
        state: ModelState,
        *,
        rng: np.random.Generator,
    ) -> Gradient:
        """Return the loss and the clipped gradient of a window (T, N).

        inputs, targets and state are the columns of this rank, and so is the state that
        is returned; the loss and the gradient are those of all ranks. rng draws the
        masks of dropout, and the sample of the softmax; it is the same on all ranks.
        """
        if self._sampler and self._ranks.size > 1:
            drawn_for = np.concatenate(self._ranks.gather(lambda: targets), axis=1)
        else:
            drawn_for = targets
        short = self.config.exchange == "bfloat16"
        found: list[_Part] = []

        def work() -> tuple[float]:
            window = inputs, targets, state, drawn_for
            with self._ranks.adding(self.workers.pieces, short=short) as pieces_done:
                found.append(self._loss_and_grads(*window, rng, pieces_done))
            return (found[0].loss,)

        with self.arithmetic():
            (loss,) = self._ranks.totals(work)
            _, grads, after, masks = found[0]
            for name, mask in masks.items():
                grads[name][:] *= mask
            norm = self._clip(grads.flat, self.config.clip)
        return Gradient(loss, grads, norm, after)

    def _loss_and_grads(
        self,
        inputs: Array,
        targets: Array,
        state: ModelState,
        drawn_for: Array,
        rng: np.random.Generator,
        pieces_done: PiecesDone | None,
    ) -> _Part:
        """Return this rank's part; drawn_for are the targets of all columns."""
        masks = None
        if self._dropout:  # drawn for all columns, so that R ranks draw what one does
            masks = self._dropout.draw(rng=rng)[:, :, self._columns]
        sample = self._sampler.draw(drawn_for, rng=rng) if self._sampler else None
        window = inputs, targets, state, masks, sample, pieces_done
        if not self._weight_drop:
            return _Part(*self.workers.loss_and_grads(*window), {})
        with self._weight_drop.applied(rng=rng) as dropped:
            return _Part(*self.workers.loss_and_grads(*window), dropped)

    def apply(self, grads: Parameters, lr: float, t: int) -> None:
        """Update the weights and their average; t counts updates from 1."""
        θ = self.model.params.flat
        with self.arithmetic():
            self.optimizer.update(θ, grads.flat, lr, t, self.workers.threads)
            if self.config.average:
                # It follows fast at first, to forget the initial weights.
                decay = min(self.config.average, (1 + t) / (10 + t))
                update_average(self.averaged.params.flat, θ, decay, self._scratch)

    def is_finite(self) -> bool:
        """Return whether all weights are finite, and small enough to be squared."""
        θ = self.model.params.flat
        with self.arithmetic():
            return isfinite(np.dot(θ, θ))

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Set the layout's BLAS threads, and let overflows pass without a warning.

        A diverging loss overflows; the trainer checks every loss itself.
        """
        with (
            blas_threads(self.workers.layout.blas_threads),
            np.errstate(over="ignore", invalid="ignore"),
        ):
            yield


def clip_norm(grads: Array, limit: float) -> float:
    """Scale grads (P,), in place, to a Euclidean norm of at most `limit`.

    Returns the norm before clipping. All parameters share one scale, which
    keeps the direction (Pascanu et al. 2013, algorithm 1). A limit of 0 clips nothing.
    """
    norm = float(np.sqrt(np.dot(grads, grads)))
    if isinf(norm):  # the square may have overflowed, and not the norm
        norm = _norm_in_float64(grads)
    if limit and norm > limit:
        grads *= limit / norm
    return norm


def _norm_in_float64(grads: Array) -> float:
    squares = (np.square(grads[at], dtype=np.float64) for at in blocks(len(grads)))
    return sqrt(sum(float(square.sum()) for square in squares))


def clip_value(grads: Array, limit: float) -> float:
    """Limit each element of grads (P,), in place, to [-limit, limit].

    Returns the largest magnitude before clipping. This is the clipping of the first
    char-rnn; it changes the direction. A limit of 0 clips nothing.
    """
    largest = float(max(grads.max(), -grads.min()))
    if limit and largest > limit:
        np.clip(grads, -limit, limit, out=grads)
    return largest


CLIPPERS: dict[str, Callable[[Array, float], float]] = {
    "norm": clip_norm,
    "value": clip_value,
}


def update_average(mean: Array, θ: Array, decay: float, tmp: Array) -> None:
    """Move a running average towards the weights, in place; both (P,).

    tmp is `scratch(mean)`.

    An exponential form of Polyak & Juditsky 1992: mean = decay mean + (1 - decay) θ.
    """
    for block in blocks(len(mean)):
        mean[block] *= decay
        share = np.multiply(θ[block], 1 - decay, out=tmp[: block.stop - block.start])
        mean[block] += share
