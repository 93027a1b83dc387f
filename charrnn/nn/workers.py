"""Threads that share a batch.

The columns of a batch are independent, so each worker computes the gradient of its own
columns in its own workspace, and their weighted sum is the gradient of the batch. NumPy
releases the interpreter lock inside products and ufuncs. With a single worker, BLAS may
use several threads in each product instead. Which is faster depends on the machine and
the sizes, so it is measured (`training/autotune.py`).
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from threading import Barrier, Lock
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from charrnn.machine import BLAS_THREAD, require
from charrnn.nn.model import Model, ModelState
from charrnn.nn.parameters import Array, Parameters
from charrnn.nn.sampled import Sample

_T = TypeVar("_T")


@dataclass(frozen=True)
class Layout:
    """How a step uses the cores. The same layout gives identical results."""

    workers: int = 1  # parts of the batch, one thread per part
    blas_threads: int = 1  # threads inside each matrix product


class _BlasLimit:
    """The limit set by all open `blas_threads` blocks of the process.

    BLAS has one limit for the whole process. If several threads are in such blocks, the
    lowest limit applies, and the end of the last block restores the original one.
    """

    def __init__(self) -> None:
        self._lock, self._open = Lock(), Counter[int]()
        self._before: dict[Any, int] = {}

    def enter(self, count: int) -> None:
        with self._lock:
            if not self._open:
                blas = _blas_libraries()
                self._before = {library: library.num_threads for library in blas}
            self._open[count] += 1
            self._apply()

    def leave(self, count: int) -> None:
        with self._lock:
            self._open -= Counter({count: 1})
            self._apply()

    def _apply(self) -> None:
        lowest = min(self._open, default=None)
        for library, before in self._before.items():
            wanted = before if lowest is None else lowest
            if library.num_threads != wanted:
                library.set_num_threads(wanted)


_limit = _BlasLimit()


@contextmanager
def blas_threads(count: int) -> Iterator[None]:
    """Limit the threads in each matrix product during the block."""
    _limit.enter(count)
    try:
        yield
    finally:
        _limit.leave(count)


@cache
def _blas_libraries() -> list[Any]:
    # Finding the libraries takes a thousand times longer than setting a limit.
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


@cache
def _allocate_buffers(threads: int) -> None:
    """Let BLAS allocate its buffers for so many threads. Raises MemoryError.

    It keeps them for the next product. If it cannot allocate them later, when the
    memory is full, it ends the process.
    """
    require(threads * BLAS_THREAD, "BLAS")
    together = Barrier(threads)
    ones = np.ones((256, 256), np.float32)

    def product(_: int) -> None:
        together.wait()
        ones @ ones

    with ThreadPoolExecutor(threads) as pool:
        try:
            list(pool.map(product, range(threads)))
        except BaseException:
            together.abort()  # some threads may wait for one that did not start
            raise


def in_threads(
    work: Callable[[int], _T], parts: int, pool: Executor | None = None
) -> list[_T]:
    """Return [work(0), … work(parts - 1)], computed in parallel.

    The threads are those of the pool, or new ones for this call.
    """
    if parts == 1:
        return [work(0)]
    _allocate_buffers(parts)
    caller = np.geterr()  # a new thread would have the default settings

    def part(i: int) -> _T:
        with np.errstate(**caller):
            return work(i)

    with ExitStack() as stack:
        pool = pool or stack.enter_context(ThreadPoolExecutor(parts))
        return list(pool.map(part, range(parts)))


class Workers:
    """Computes losses and gradients of a batch (T, N), split by columns."""

    def __init__(self, model: Model, T: int, N: int, layout: Layout = Layout()) -> None:
        self.model, self.T, self.N, self.layout = model, T, N, layout
        bounds = np.linspace(0, N, min(layout.workers, N) + 1).astype(int)
        self._parts = [slice(a, b) for a, b in pairwise(bounds)]
        _allocate_buffers(len(self._parts))
        self._shares = [(part.stop - part.start) / N for part in self._parts]
        self._workspaces = [
            model.workspace(T, part.stop - part.start) for part in self._parts
        ]
        # A pool starts its threads at the first task: with one part there are none.
        self._pool = ThreadPoolExecutor(len(self._parts), thread_name_prefix="charrnn")

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def loss_and_grads(
        self,
        inputs: Array,
        targets: Array,
        state: ModelState,
        masks: Array | None = None,
        sample: Sample | None = None,
    ) -> tuple[float, Parameters, ModelState]:
        """Return the same as `Model.loss_and_grads`, for all columns."""
        if len(self._parts) == 1:
            return self.model.loss_and_grads(
                inputs, targets, state, self._workspaces[0], masks, sample
            )

        def work(i: int) -> tuple[float, ModelState]:
            columns, share = self._parts[i], self._shares[i]
            loss, grads, after = self.model.loss_and_grads(
                inputs[:, columns],
                targets[:, columns],
                _map_state(state, columns),
                self._workspaces[i],
                None if masks is None else masks[:, :, columns],
                sample,
            )
            grads.flat *= share
            return loss * share, after

        done = in_threads(work, len(self._parts), self._pool)
        losses, states = zip(*done, strict=True)
        # Added in a fixed order, whichever finished first, to be reproducible.
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
