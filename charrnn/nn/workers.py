"""The batch's columns split over threads.

Columns do not depend on each other, so each worker computes the gradient of its own in
its own workspace, and the weighted sum is the gradient of the whole. NumPy releases the
interpreter lock inside products and ufuncs. One worker is the trivial case, and then
BLAS may use several threads in each product instead: which way is faster depends on the
machine and the sizes, so it is measured.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from statistics import median
from time import perf_counter, sleep
from typing import TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from charrnn.nn.dropout import Dropout
from charrnn.nn.model import Model, ModelState
from charrnn.nn.parameters import Array, Parameters

_T = TypeVar("_T")
# The threads inside a product wait for each other by spinning. They must be this much
# faster to be chosen: as soon as anything else wants a core, they are many times slower
# than threads that sleep.
_SPINNING = 1.4
# How long they spin on after a product; whoever is measured next would pay for it.
_SPIN_SECONDS = 0.05
_TURN_SECONDS = 0.1  # of one layout, before the next has its turn


@dataclass(frozen=True)
class Layout:
    """How a step uses the cores. Results are bit for bit equal for an equal layout."""

    workers: int = 1  # parts of the batch, a thread each
    blas_threads: int = 1  # threads inside each matrix product


@contextmanager
def blas_threads(count: int) -> Iterator[None]:
    """Limit the threads of every matrix product in the block."""
    with _libraries().limit(limits=count, user_api="blas"):
        yield


@cache
def _libraries() -> ThreadpoolController:
    # Looking for the libraries takes a thousand times longer than setting a limit.
    return ThreadpoolController()


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(
    work: Callable[[int], _T], parts: int, pool: Executor | None = None
) -> list[_T]:
    """Return work(0), … work(parts - 1), computed side by side.

    The threads are those of the pool, or made for this call.
    """
    if parts == 1:
        return [work(0)]
    caller = np.geterr()  # a thread starts with the default, not with its caller's

    def part(i: int) -> _T:
        with np.errstate(**caller):
            return work(i)

    with ExitStack() as stack:
        pool = pool or stack.enter_context(ThreadPoolExecutor(parts))
        return list(pool.map(part, range(parts)))


class Workers:
    """Computes losses and gradients of a batch (T, N), split by columns."""

    def __init__(self, model: Model, T: int, N: int, workers: int = 1) -> None:
        self.model = model
        bounds = np.linspace(0, N, min(workers, N) + 1).astype(int)
        self._parts = [slice(a, b) for a, b in pairwise(bounds)]
        self._shares = [(part.stop - part.start) / N for part in self._parts]
        self._workspaces = [
            model.workspace(T, part.stop - part.start) for part in self._parts
        ]
        self._pool = ThreadPoolExecutor(len(self._parts), thread_name_prefix="charrnn")

    def loss_and_grads(
        self,
        inputs: Array,
        targets: Array,
        state: ModelState,
        masks: Array | None = None,
    ) -> tuple[float, Parameters, ModelState]:
        """Do what `Model.loss_and_grads` does, on all columns."""
        if len(self._parts) == 1:
            return self.model.loss_and_grads(
                inputs, targets, state, self._workspaces[0], masks
            )

        def work(i: int) -> tuple[float, ModelState]:
            columns, share = self._parts[i], self._shares[i]
            loss, grads, after = self.model.loss_and_grads(
                inputs[:, columns],
                targets[:, columns],
                _map_state(state, columns),
                self._workspaces[i],
                None if masks is None else masks[:, :, columns],
            )
            grads.flat *= share
            return loss * share, after

        done = in_threads(work, len(self._parts), self._pool)
        losses, states = zip(*done, strict=True)
        # Summed in a fixed order, whoever finished first: the same numbers every time.
        total = self._workspaces[0].grads
        for workspace in self._workspaces[1:]:
            total.flat += workspace.grads.flat
        return sum(losses), total, _join_states(states)


def _map_state(state: ModelState, columns: slice) -> ModelState:
    return tuple(tuple(part[columns] for part in layer) for layer in state)


def _join_states(states: tuple[ModelState, ...]) -> ModelState:
    return tuple(
        tuple(np.concatenate(parts) for parts in zip(*layers, strict=True))
        for layers in zip(*states, strict=True)
    )


def measure_layouts(
    model: Model,
    T: int,
    N: int,
    layouts: list[Layout],
    *,
    dropout: Dropout | None = None,
    seconds: float = 0.5,
) -> tuple[Layout, float]:
    """Return the fastest layout and the seconds of its gradients, a step.

    The steps are made on arbitrary characters and change nothing in the model. Rounds
    go through the layouts in turn, so that a passing disturbance strikes them all.
    """
    rng = np.random.default_rng(0)

    def step(workers: Workers) -> None:
        masks = dropout.draw(rng=rng) if dropout else None
        workers.loss_and_grads(ids[:-1], ids[1:], state, masks)

    ids = np.arange((T + 1) * N, dtype=np.uint32).reshape(T + 1, N) % model.config.vocab
    spent: dict[Layout, list[float]] = {layout: [] for layout in layouts}
    workers = {layout: Workers(model, T, N, layout.workers) for layout in layouts}
    state = model.zero_state(N)
    end = perf_counter() + seconds * len(layouts)
    rounds = 0
    while rounds < 2 or perf_counter() < end:
        rounds += 1
        for layout in layouts:
            with blas_threads(layout.blas_threads):
                # The first step finds caches and threads as the others left them.
                step(workers[layout])
                turn = perf_counter() + _TURN_SECONDS
                while perf_counter() < turn:
                    start = perf_counter()
                    step(workers[layout])
                    spent[layout].append(perf_counter() - start)
            if layout.blas_threads > 1:
                sleep(_SPIN_SECONDS)
    usual = {layout: median(times) for layout, times in spent.items()}
    fastest = min(
        layouts, key=lambda one: usual[one] * (_SPINNING if one.blas_threads > 1 else 1)
    )
    return fastest, usual[fastest]


def candidate_layouts(threads: int, N: int) -> list[Layout]:
    """Return the layouts worth measuring, or the one that `threads` asks for."""
    if threads:
        return [Layout(min(threads, N), 1)]
    cores = available_cores()
    if cores == 1:
        return [Layout()]
    return [Layout(), Layout(1, cores), Layout(min(cores, N), 1)]
