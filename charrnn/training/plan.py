"""A run's plan: what the configuration comes to on this text and this machine.

It is made once, before the first step, and recorded, so that a resumed run keeps the
number of steps, and with it the schedule.
"""

from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from charrnn.config import TrainConfig
from charrnn.errors import ConfigError
from charrnn.evaluation.loss import evaluate
from charrnn.nn import kernels
from charrnn.nn.dropout import Dropout, WeightDrop
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array, Parameters
from charrnn.nn.workers import Layout, blas_threads, candidate_layouts, measure_layouts
from charrnn.text.windows import Windows, fit_windows
from charrnn.training.clipping import CLIPPERS
from charrnn.training.optimizers import follow, make_optimizer

# Validations in a run where nothing else is asked: as many as take this share of the
# time, within limits. A validated character costs a third of a trained one, and more
# around it. No clock is asked, so that a seed finds the same best weights on a slower
# machine.
_FEWEST, _MOST, _SHARE, _COST = 2, 25, 0.03, 0.5
_TIMED = 5  # updates, to know what one takes


@dataclass(frozen=True)
class Plan:
    """The numbers that a run keeps from its first step to its last."""

    steps: int
    window: int  # T, at most the configuration's
    batch: int  # N, at most the configuration's
    eval_every: int  # steps between validations
    layout: Layout
    kernels: str  # elementwise steps, "numpy" or "numba"

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Plan":
        """Return the plan that `to_json` gave."""
        return cls(**value | {"layout": Layout(**value["layout"])})

    def lengthen(self, config: TrainConfig, epoch_steps: int) -> "Plan":
        """Return the plan with another number of steps, which `config` gives."""
        if config.minutes:
            raise ConfigError(
                "a resumed run keeps its steps; to change their number give --steps "
                "or --epochs, not --minutes"
            )
        return replace(self, steps=_asked_steps(config, epoch_steps))


def _asked_steps(config: TrainConfig, epoch_steps: int) -> int:
    return config.steps or round(config.epochs * epoch_steps)


def make_plan(model: Model, train: Array, val: Array, config: TrainConfig) -> Plan:
    """Measure this machine for a moment, and plan.

    train and val are ids. The measurement changes nothing in the model. Minutes become
    steps by the measured speed, validations included.
    """
    T, N = fit_windows(len(train), config.window, config.batch)
    layouts = candidate_layouts(config.threads, N)
    if config.minutes or len(layouts) > 1:
        dropout = make_dropout(model, config, T, N)
        layout, step_seconds = measure_layouts(model, T, N, layouts, dropout=dropout)
    else:
        layout, step_seconds = layouts[0], 0.0
    if config.minutes:
        step_seconds += weights_seconds(model, config)
        val_seconds = _validation_seconds(model, val, layout)
        steps = _affordable_steps(config, T * N, len(val), step_seconds, val_seconds)
    else:
        steps = _asked_steps(config, len(Windows(train, T, N)))
    return Plan(
        steps=max(1, steps),
        window=T,
        batch=N,
        eval_every=config.eval_every
        or max(1, -(-steps // _validations(steps * T * N, len(val)))),
        layout=layout,
        kernels=kernels.resolve(config.kernels),
    )


def _validations(trained: float, validated: int) -> int:
    """Return how many validations a run affords, both lengths in characters."""
    affordable = _SHARE * trained / (_COST * validated)
    return round(min(max(affordable, _FEWEST), _MOST))


def _affordable_steps(
    config: TrainConfig,
    step_characters: int,
    val_characters: int,
    step_seconds: float,
    val_seconds: float,
) -> int:
    budget = config.minutes * 60
    if config.eval_every:
        return int(budget / (step_seconds + val_seconds / config.eval_every))
    trained = budget / step_seconds * step_characters
    return int(
        (budget - _validations(trained, val_characters) * val_seconds) / step_seconds
    )


def _validation_seconds(model: Model, val: Array, layout: Layout) -> float:
    with blas_threads(layout.blas_threads):
        start = perf_counter()
        evaluate(model, val, threads=layout.workers)
        return perf_counter() - start


def make_dropout(model: Model, config: TrainConfig, T: int, N: int) -> Dropout | None:
    """Return what draws the masks (L, T, N, H) of a step, or None without dropout."""
    if not config.dropout:
        return None
    shape = (model.config.layers, T, N, model.config.hidden)
    return Dropout(config.dropout, shape, model.dtype)


def make_weight_drop(params: Parameters, config: TrainConfig) -> WeightDrop | None:
    """Return what leaves recurrent weights out, or None where none are."""
    rate = config.recurrent_dropout
    return WeightDrop(rate, params) if rate else None


def weights_seconds(model: Model, config: TrainConfig) -> float:
    """Return what a step does with the weights beside the gradient, on copies.

    That is leaving some out, clipping, the update and the average.
    """
    params, grads = model.params.like(), model.params.like()
    mean, scratch = np.zeros_like(params.flat), np.empty_like(params.flat)
    optimizer = make_optimizer(params, config, model.steps)
    weight_drop = make_weight_drop(params, config)
    clip, rng = CLIPPERS[config.clip_mode], np.random.default_rng(0)

    def once(t: int) -> None:
        with weight_drop.applied(rng=rng) if weight_drop else nullcontext():
            pass
        clip(grads.flat, config.clip)
        optimizer.update(params.flat, grads.flat, config.lr, t)
        if config.average:
            follow(mean, params.flat, config.average, scratch)

    once(1)  # which may have to load what was compiled
    start = perf_counter()
    for t in range(2, 2 + _TIMED):
        once(t)
    return (perf_counter() - start) / _TIMED
