"""How fast this machine is: the products it makes, and the presets it trains."""

from dataclasses import dataclass
from statistics import median
from time import perf_counter, sleep

import numpy as np

from charrnn.config import ModelConfig, TrainConfig, known_settings
from charrnn.nn import kernels
from charrnn.nn.model import Model
from charrnn.nn.workers import (
    Layout,
    blas_threads,
    candidate_layouts,
    measure_layouts,
)
from charrnn.presets import with_preset
from charrnn.training.plan import make_dropout, weights_seconds

# Characters in tiny Shakespeare; other texts differ little in what a step costs.
_VOCAB = 65
_REPEATS = 9


@dataclass(frozen=True)
class Speed:
    """What a preset makes of this machine."""

    characters: float  # a second, in training
    layout: Layout  # the fastest


def product_rate(M: int, K: int, N: int, threads: int) -> float:
    """Return the rate of a product (M, K) by (K, N) in float32, in GFLOP/s."""
    rng = np.random.default_rng(0)
    A, W = (rng.standard_normal(s, dtype=np.float32) for s in ((M, K), (K, N)))
    C = np.empty((M, N), np.float32)
    times = []
    with blas_threads(threads):
        for _ in range(_REPEATS):
            start = perf_counter()
            np.matmul(A, W, out=C)
            times.append(perf_counter() - start)
    sleep(0.05 if threads > 1 else 0)  # until its threads no longer spin
    return 2 * M * K * N / median(times) / 1e9


def preset_speed(name: str, steps: str, *, seconds: float = 1.0) -> Speed:
    """Measure the training of a preset with "numpy" or "numba" steps."""
    settings = with_preset(name, {})
    config = TrainConfig(**known_settings(TrainConfig, settings))
    model = Model(ModelConfig(_VOCAB, **known_settings(ModelConfig, settings)))
    model.init(rng=np.random.default_rng(0))
    model.steps = kernels.steps(steps)
    T, N = config.window, config.batch
    dropout = make_dropout(model, config, T, N)
    layouts = candidate_layouts(config.threads, N)
    layout, step = measure_layouts(
        model, T, N, layouts, dropout=dropout, seconds=seconds
    )
    return Speed(T * N / (step + weights_seconds(model, config)), layout)
