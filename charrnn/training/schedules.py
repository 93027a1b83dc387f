"""Learning-rate schedules: the fraction of the peak rate at each step."""

from collections.abc import Callable
from math import cos, floor, pi

from charrnn.config import TrainConfig

Shape = Callable[[float, TrainConfig], float]


def _constant(progress: float, config: TrainConfig) -> float:
    return 1.0


def _cosine(progress: float, config: TrainConfig) -> float:
    """Half a cosine from 1 to the floor (Loshchilov & Hutter 2017, eq. 5)."""
    floor_ = config.lr_floor
    return floor_ + (1 - floor_) * (1 + cos(pi * progress)) / 2


def _step(progress: float, config: TrainConfig) -> float:
    drops = floor(progress * (config.lr_drops + 1))
    return float(config.lr_decay ** min(drops, config.lr_drops))


SHAPES: dict[str, Shape] = {"constant": _constant, "cosine": _cosine, "step": _step}


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """Return the rate of update number `step` (from 0) of `steps`.

    It rises linearly during the warm-up (at most a tenth of the run), then follows the
    schedule over the remaining steps.
    """
    warmup = min(config.warmup, steps // 10)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return config.lr * SHAPES[config.schedule](min(progress, 1.0), config)
