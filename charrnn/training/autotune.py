"""Measure this machine: the fastest layout, the speed of presets and of products."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter, sleep

import numpy as np

from charrnn.config import ModelConfig, TrainConfig, known_settings
from charrnn.machine import available_cores, physical_cores
from charrnn.nn.ensemble import as_one
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import Predictor
from charrnn.nn.sampled import Sampler
from charrnn.nn.workers import Layout, blas_threads
from charrnn.presets import resolve_settings
from charrnn.ranks import Ranks
from charrnn.training.optimizers import OPTIMIZERS
from charrnn.training.team import Team

# BLAS threads wait for each other by spinning. As soon as another program needs a core,
# they are many times slower than threads that sleep, so a layout with BLAS threads must
# be this much faster to be chosen.
_SPIN_FACTOR = 1.4
_SPIN_SECONDS = 0.05  # BLAS threads spin on after a product, and slow what comes next
_TURN_SECONDS = 0.05  # of one layout, before the next has its turn
_HOPELESS = 1.25  # times as slow as the fastest: a layout that gets no further turn
# At least _FEWEST updates are timed. Fewer are enough if they take _LONGER times the
# usual time, or if _ALIKE of them, after the first, agree within _SPREAD.
_FEWEST, _LONGER = 10, 10
_ALIKE, _SPREAD = 5, 0.15
_USUAL = 2  # the number of an update that takes no longer than most
_VOCAB = 65  # of tiny Shakespeare; the step time depends little on it
_PRODUCTS = 9  # products timed for a rate


def candidate_layouts(threads: int, N: int, kernels: str) -> list[Layout]:
    """Return the layouts worth measuring, or only that of `threads` threads.

    If `threads` is 0, they are one thread, all cores inside each product of NumPy, and
    the batch split over 2, 4, 8 … threads, over all cores, and over all that are no
    hyper-threads of others. Compiled kernels make most products themselves, so threads
    inside those of NumPy are not tried with them.
    """
    if threads:
        return [Layout(min(threads, N), 1)]
    cores = available_cores()
    if cores == 1:
        return [Layout()]
    counts = {2**k for k in range(1, cores.bit_length())} | {cores, physical_cores()}
    split = sorted({min(count, N) for count in counts} - {1})
    inside = [Layout(1, cores)] if kernels == "numpy" or not split else []
    return [Layout(), *inside, *(Layout(workers, 1) for workers in split)]


def fastest_layout(
    model: Predictor,
    config: TrainConfig,
    T: int,
    N: int,
    layouts: Sequence[Layout],
    *,
    seconds: float = 0.2,
    sampler: Sampler | None = None,
) -> tuple[Layout, float]:
    """Return the layout with the fastest update, and its seconds per update.

    `seconds` is the time spent on the fastest layout. The updates are made on a copy of
    the model, with arbitrary characters, or those of the sampler. The layouts take
    turns, so that a short disturbance affects them all, and those that are far behind
    get no further one.
    """
    team = Team(model.copy(), config, T, N, layouts[0], sampler=sampler)
    once = _updates_of(team, model.vocab, T, sampler)
    every = OPTIMIZERS[config.optimizer].every
    spent: dict[Layout, list[float]] = {layout: [] for layout in layouts}
    costs: dict[Layout, float] = {}
    left, used = list(layouts), None
    while not costs or _is_short(spent[left[0]], seconds):
        for layout in left:
            if layout != used:
                team.use(layout)
                used = layout
                once(_USUAL)  # not timed: the caches are as another layout left them
            times, turn = spent[layout], perf_counter() + _TURN_SECONDS
            while perf_counter() < turn:
                times.append(once(len(times) + 1))
            costs[layout] = seconds_per_update(times, every)
            if layout.blas_threads > 1:
                costs[layout] *= _SPIN_FACTOR
                sleep(_SPIN_SECONDS)
        left.sort(key=costs.__getitem__)
        left = [one for one in left if costs[one] <= _HOPELESS * costs[left[0]]]
    team.close()
    return left[0], seconds_per_update(spent[left[0]], every)


def seconds_together(
    model: Predictor,
    config: TrainConfig,
    T: int,
    N: int,
    layout: Layout,
    ranks: Ranks,
    *,
    sampler: Sampler | None = None,
) -> float:
    """Return the seconds per update of all ranks together, with a batch of N columns.

    All ranks call this, and get the same.
    """
    every = OPTIMIZERS[config.optimizer].every
    with ranks.together():
        team = Team(model.copy(), config, T, N, layout, sampler=sampler, ranks=ranks)
        once = _updates_of(team, model.vocab, T, sampler)
    once(_USUAL)  # not timed: MPI connects the ranks when needed
    times = [once(t) for t in range(1, max(every, _FEWEST) + 1)]
    team.close()
    return max(ranks.gather(lambda: seconds_per_update(times, every)))


def _updates_of(
    team: Team, V: int, T: int, sampler: Sampler | None
) -> Callable[[int], float]:
    """Return a function that makes update t, and returns its seconds."""
    rng, state = np.random.default_rng(0), team.zero_state()
    N = len(state[0][0])  # columns of this rank
    ids = _characters((T + 1) * N, V, sampler).reshape(T + 1, N)

    def once(t: int) -> float:
        start = perf_counter()
        found = team.gradient(ids[:-1], ids[1:], state, rng=rng)
        team.apply(found.grads, 0.0, t)  # a rate of 0 changes no weights
        return perf_counter() - start

    return once


def seconds_per_update(times: Sequence[float], every: int) -> float:
    """Return the mean time of an update, without outliers.

    times are those of the first updates. The first of every `every` updates takes
    longer than the others.
    """
    long = times[::every]
    others = [each for i, each in enumerate(times) if i % every] or long
    return (median(long) + (every - 1) * median(others)) / every


def _is_short(times: Sequence[float], seconds: float) -> bool:
    """Return whether more updates should be timed than those that took `times`."""
    spent, others = sum(times), times[1:]
    if spent < seconds:
        return True
    alike = len(others) >= _ALIKE and max(others) <= (1 + _SPREAD) * min(others)
    return not alike and len(times) < _FEWEST and spent < _LONGER * seconds


def _characters(n: int, V: int, sampler: Sampler | None) -> Array:
    """Return n ids to train on; how many differ determines the speed of a sample."""
    if sampler:
        return sampler.characters(n, rng=np.random.default_rng(0))
    return np.arange(n, dtype=np.uint32) % V


@dataclass(frozen=True)
class Speed:
    """How fast this machine trains a preset."""

    characters: float  # per second
    layout: Layout  # the fastest


def preset_speed(name: str, kernels: str, *, seconds: float = 1.0) -> Speed:
    """Measure the training of a preset with "numpy" or "numba" kernels."""
    settings = resolve_settings(name, {})
    config = TrainConfig(**known_settings(TrainConfig, settings))
    network = ModelConfig(_VOCAB, **known_settings(ModelConfig, settings))
    models = [Model(network, kernels=kernels) for _ in range(config.members)]
    for seed, model in enumerate(models):
        model.init(rng=np.random.default_rng(seed))
    T, N = config.window, config.batch
    layouts = candidate_layouts(config.threads, config.members * N, kernels)
    together = as_one(models)
    layout, step = fastest_layout(together, config, T, N, layouts, seconds=seconds)
    return Speed(T * N / step, layout)


def product_rate(M: int, K: int, N: int, threads: int) -> float:
    """Return the rate of a product (M, K) by (K, N) in float32, in GFLOP/s."""
    rng = np.random.default_rng(0)
    A, W = (rng.standard_normal(s, dtype=np.float32) for s in ((M, K), (K, N)))
    C = np.empty((M, N), np.float32)
    times = []
    with blas_threads(threads):
        for _ in range(_PRODUCTS):
            start = perf_counter()
            np.matmul(A, W, out=C)
            times.append(perf_counter() - start)
    if threads > 1:
        sleep(_SPIN_SECONDS)
    return 2 * M * K * N / median(times) / 1e9
