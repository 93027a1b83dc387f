"""Threads that share a batch.

The columns of a batch are independent, so each worker computes the gradient of its own
columns in its own workspace, and their weighted sum is the gradient of the batch. NumPy
releases the interpreter lock inside products and ufuncs. With a single worker, BLAS may
use several threads in each product instead. Which is faster depends on the machine and
the sizes, so it is measured (`training/autotune.py`).

Python runs the handlers of signals in the main thread, between two of its instructions,
and a product or a compilation may take seconds. So work that takes long is done in
another thread, even if it is a single part, while the caller waits and can be stopped.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from threading import Barrier, Lock
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from charrnn.machine import require_threads
from charrnn.nn.model import Model, ModelState, PiecesDone
from charrnn.nn.parameters import Array, Parameters
from charrnn.nn.sampled import Sample
from charrnn.ranks import Stopped

_T = TypeVar("_T")
_QUICK = 0.1  # seconds; a single part that takes no longer is done by the caller itself
_MANY = 4  # workers that add their gradients together, each some of the elements
_LOOK = 0.1  # seconds between two looks at whether to stop


@dataclass(frozen=True)
class Layout:
    """How a step uses the cores. The same layout gives identical results."""

    workers: int = 1  # threads; each computes a part of the batch, or a network
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

    def forget_threads(self) -> None:
        """Restore the original limit in a forked process, which has one thread only.

        The blocks of the others will never end there, and one may have held the lock.
        """
        self._lock = Lock()
        self._open.clear()
        self._apply()


_limit = _BlasLimit()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_limit.forget_threads)


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
    require_threads(threads, blas=True)
    together = Barrier(threads)
    # A thread that starts when another one has ended takes its buffer. So several
    # products take longer than the system lets one of them run before the next.
    size = 1024 if threads > 1 else 256
    ones = np.ones((size, size), np.float32)

    def product(_: int) -> None:
        together.wait()
        ones @ ones

    # Products that are shared by threads of BLAS would wait for one another.
    with blas_threads(1), ThreadPoolExecutor(threads) as pool:
        try:
            list(pool.map(product, range(threads)))
        except BaseException:
            together.abort()  # some threads may wait for one that did not start
            raise


def _never() -> bool:
    return False


class Threads:
    """Threads that do the parts of some work, again and again.

    `stop` is asked, before the work and ten times a second, whether to give it up.
    """

    def __init__(self, parts: int, stop: Callable[[], bool] = _never) -> None:
        self.parts, self._stop = parts, stop
        # A pool starts its threads when they are needed: for quick work there are none.
        self._is_started = False
        self._pool = ThreadPoolExecutor(parts, thread_name_prefix="charrnn")
        self._running: list[Future[Any]] = []
        self._is_done = True  # or the work was given up
        self._is_quick = False  # whether the newest work that can be stopped was

    def run(self, work: Callable[[int], _T], *, can_stop: bool = True) -> list[_T]:
        """Return [work(0), … work(parts - 1)], computed in parallel.

        If it is given up, by Stopped or KeyboardInterrupt, the threads work on for a
        while, and the next call waits for them. Unless `can_stop`, `stop` is not asked.
        """
        if not can_stop:
            return [work(0)] if self.parts == 1 else self._share(work, _never)
        if self._stop():
            raise Stopped
        start = perf_counter()
        if self.parts == 1 and self._is_quick:
            done = [work(0)]
        else:
            done = self._share(work, self._stop)
        self._is_quick = perf_counter() - start < _QUICK
        return done

    def start(self) -> None:
        """Start the threads now, while there is memory for them."""
        together = Barrier(self.parts)
        try:
            self._share(lambda i: together.wait(), self._stop)
        except BaseException:
            together.abort()  # some threads may wait for one that did not start
            raise

    def _share(self, work: Callable[[int], _T], stop: Callable[[], bool]) -> list[_T]:
        if not self._is_started:
            if self.parts > 1:
                _allocate_buffers(self.parts)
            # A thread that starts without memory may end or block the process.
            require_threads(self.parts)
            self._is_started = True
        caller = np.geterr()  # a new thread would have the default settings

        def part(i: int) -> _T:
            with np.errstate(**caller):
                return work(i)

        self._wait(stop)
        self._is_done = False
        futures = self._running
        for i in range(self.parts):
            futures.append(self._pool.submit(part, i))
        self._wait(stop)
        return [future.result() for future in futures]

    def _wait(self, stop: Callable[[], bool]) -> None:
        # With a timeout, because on Windows nothing else lets a signal through.
        while wait(self._running, _LOOK).not_done:
            if stop():
                raise Stopped
        self._running, self._is_done = [], True

    def close(self) -> None:
        """End the threads, without waiting for work that was given up."""
        self._pool.shutdown(wait=self._is_done, cancel_futures=True)


def interruptibly(work: Callable[[], _T]) -> _T:
    """Return work(), which may take seconds, so that the caller can be interrupted."""
    with closing(Threads(1)) as thread:
        return thread.run(lambda i: work())[0]


class Workers:
    """Computes losses and gradients of a batch (T, N), split by columns.

    If the batch is a part of one with `of` columns, its loss and its gradients count in
    that proportion. `stop` is asked whether to give up a slow window, with Stopped; see
    `Threads`.
    """

    def __init__(
        self,
        model: Model,
        T: int,
        N: int,
        layout: Layout = Layout(),
        stop: Callable[[], bool] = _never,
        *,
        of: int = 0,
    ) -> None:
        self.model, self.T, self.N, self.layout = model, T, N, layout
        bounds = np.linspace(0, N, min(layout.workers, N) + 1).astype(int)
        self._parts = [slice(a, b) for a, b in pairwise(bounds)]
        _allocate_buffers(len(self._parts))
        self._shares = [(part.stop - part.start) / (of or N) for part in self._parts]
        self._workspaces = [
            model.workspace(T, part.stop - part.start) for part in self._parts
        ]
        self._pieces = [model.gradient_pieces(each.grads) for each in self._workspaces]
        self.threads = Threads(len(self._parts), stop)
        self.threads.start()

    @property
    def pieces(self) -> list[Array]:
        """The gradient of all columns, in the pieces of `Model.gradient_pieces`."""
        return self._pieces[0]

    def close(self) -> None:
        """End the threads."""
        self.threads.close()

    def loss_and_grads(
        self,
        inputs: Array,
        targets: Array,
        state: ModelState,
        masks: Array | None = None,
        sample: Sample | None = None,
        pieces_done: PiecesDone | None = None,
    ) -> tuple[float, Parameters, ModelState]:
        """Return the same as `Model.loss_and_grads`, for all columns.

        pieces_done is called by one thread at a time. Many workers do not call it: for
        them, adding all gradients together at the end is faster.
        """
        many = len(self._parts) >= _MANY
        relay: _Relay | None = None
        if pieces_done and not many:
            relay = _Relay(self._pieces, self._shares, pieces_done)

        def work(i: int) -> tuple[float, ModelState]:
            columns, share = self._parts[i], self._shares[i]
            loss, grads, after = self.model.loss_and_grads(
                inputs[:, columns],
                targets[:, columns],
                state_of(state, columns),
                self._workspaces[i],
                None if masks is None else masks[:, :, columns],
                sample,
                relay.of(i) if relay else None,
            )
            if share < 1 and not relay:
                grads.flat *= share
            return loss * share, after

        done = self.threads.run(work)
        losses, states = zip(*done, strict=True)
        if many:
            bounds = np.linspace(0, self.model.params.flat.size, len(self._parts) + 1)
            slices = [slice(a, b) for a, b in pairwise(bounds.astype(int))]
            self.threads.run(lambda i: self._add(slices[i]))
        elif not relay:
            self._add(slice(None))
        return sum(losses), self._workspaces[0].grads, join_states(states)

    def _add(self, elements: slice) -> None:
        """Add these elements of all gradients to those of the first worker."""
        # In a fixed order, whichever worker finished first, to be reproducible.
        total, *others = (workspace.grads.flat for workspace in self._workspaces)
        for grads in others:
            total[elements] += grads[elements]


class _Relay:
    """Adds each piece of the workers' gradients as soon as all of them have it.

    Each piece counts with the worker's share of the columns. The sums go to the pieces
    of the first worker, and their number to pieces_done.
    """

    def __init__(
        self,
        pieces: list[list[Array]],
        shares: list[float],
        pieces_done: PiecesDone,
    ) -> None:
        self._pieces, self._shares, self._done = pieces, shares, pieces_done
        self._counts, self._added = [0] * len(pieces), 0
        self._lock = Lock()

    def of(self, i: int) -> PiecesDone:
        """Return the function that worker i calls with its number of pieces."""

        def pieces_done(count: int) -> None:
            for piece in self._pieces[i][self._counts[i] : count]:
                piece *= self._shares[i]
            with self._lock:
                self._counts[i] = count
                self._add(min(self._counts))

        return pieces_done

    def _add(self, count: int) -> None:
        # In a fixed order, as in `Workers`.
        for k in range(self._added, count):
            total, *others = (pieces[k] for pieces in self._pieces)
            for piece in others:
                total += piece
        if count > self._added:
            self._added = count
            self._done(count)


def state_of(state: ModelState, columns: slice) -> ModelState:
    """Return the state of some columns."""
    return tuple(tuple(part[columns] for part in layer) for layer in state)


def join_states(states: Sequence[ModelState]) -> ModelState:
    """Return the state of all columns, given those of its parts."""
    return tuple(
        tuple(np.concatenate(parts) for parts in zip(*layers, strict=True))
        for layers in zip(*states, strict=True)
    )
