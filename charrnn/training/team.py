"""Networks that learn the same windows side by side, each by updates of its own.

A single network is a team of one. The members of an ensemble share nothing but the
text: each has its own initial weights, dropout, gradient and optimizer. So they do not
wait for each other within a step. A thread per network is faster than threads that
share the columns of each network.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np

from charrnn.config import TrainConfig
from charrnn.nn.model import ModelState
from charrnn.nn.parameters import Array, Parameters
from charrnn.nn.predictor import Predictor, state_by_member
from charrnn.nn.sampled import Sampler
from charrnn.nn.workers import Layout, Threads, Workers, join_states, state_of
from charrnn.ranks import Ranks
from charrnn.training.optimizers import new_state
from charrnn.training.update import Gradient, Update

_T = TypeVar("_T")


class TeamGradient(NamedTuple):
    """The result for one window."""

    loss: float  # mean of the networks, in nats per character
    norm: float  # mean of the networks
    diverged: bool  # whether any of the networks has
    clipped: bool  # whether the gradient of any network was
    grads: list[Parameters]  # of each network of this rank; see `Gradient`
    state: ModelState  # after the window, of the networks of this rank


class Team:
    """Updates the networks of a predictor; `Update` documents what it does to each.

    All networks have the same shape. T and N are the steps and the columns of a window.
    The ranks divide the networks among them; if there are more ranks than networks,
    several ranks divide the columns of one network. `stop` is asked whether to give up
    a slow window, with Stopped, and `diverges` whether a network with this loss and
    norm has diverged.

    Attributes
    ----------
    averaged : Predictor
        The weights to validate and save: running averages, or the networks' own.
    moments : dict of str to array
        The flat vectors, besides the weights, that an update changes: those of the
        networks one after another.
    """

    def __init__(
        self,
        predictor: Predictor,
        config: TrainConfig,
        T: int,
        N: int,
        layout: Layout,
        *,
        sampler: Sampler | None = None,
        ranks: Ranks | None = None,
        stop: Callable[[], bool] = lambda: False,
        diverges: Callable[[float, float], bool] = lambda loss, norm: False,
    ) -> None:
        self._predictor, self._ranks = predictor, ranks or Ranks()
        self._stop, self._diverges = stop, diverges
        self._T, self._N, self._clip = T, N, config.clip
        networks, k = predictor.members, len(predictor.members)
        self._own, self._group = self._ranks.divide(k)
        columns = self._group.share(N)
        self._columns, self._width = columns, columns.stop - columns.start
        self.averaged = predictor.copy() if config.average else predictor
        states = new_state(config, networks[0].params, networks=k)
        self.moments = dict(states)
        if config.average:
            self.moments["average"] = self.averaged.params.flat
        self._vectors = [predictor.params.flat, *self.moments.values()]
        workers = iter(self._start(layout))
        self._updates = [
            Update(
                *(networks[i], config, next(workers), sampler, self._group, N),
                averaged=self.averaged.members[i],
                state={name: np.split(each, k)[i] for name, each in states.items()},
            )
            for i in self._own
        ]

    def _start(self, layout: Layout) -> list[Workers]:
        """Start the threads, and return the workers of each network of this rank.

        The networks are computed in rounds, one per thread. If the last round has fewer
        networks than threads, each gets an equal number of threads.
        """
        k, W = len(self._own), layout.workers
        self._rounds = [range(i, min(i + W, k)) for i in range(0, k, W)]
        self._threads = Threads(min(W, k))
        if self._threads.parts > 1:
            self._threads.start()
        found = []
        for numbers in self._rounds:
            shared = Layout(W // len(numbers), layout.blas_threads)
            for i in numbers:
                model = self._predictor.members[self._own[i]]
                window = model, self._T, self._width
                found.append(Workers(*window, shared, self._stop, of=self._N))
        return found

    def use(self, layout: Layout) -> None:
        """Go on with the threads of another layout."""
        self.close()
        for update in self._updates:  # before their successors need as much memory
            del update.workers
        for update, workers in zip(self._updates, self._start(layout), strict=True):
            update.workers = workers

    def close(self) -> None:
        """End the threads."""
        self._threads.close()
        for update in self._updates:
            update.workers.close()

    def gradient(
        self,
        inputs: Array,
        targets: Array,
        state: ModelState,
        *,
        rng: np.random.Generator,
    ) -> TeamGradient:
        """Return the loss and the clipped gradients of a window (T, N).

        inputs, targets and state are those of this rank's columns and networks. Each of
        several networks draws from a generator of its own, with a seed from rng.
        """
        k = len(self._predictor.members)
        if k == 1:
            found = self._updates[0].gradient(inputs, targets, state, rng=rng)
            return TeamGradient(
                found.loss, found.norm, *self._flags(found), [found.grads], found.state
            )
        seeds = rng.integers(1 << 63, size=k)
        layers = len(state) // len(self._own)

        def one(i: int) -> Gradient:
            own = state[i * layers : (i + 1) * layers]
            rng = np.random.default_rng(seeds[self._own[i]])
            return self._updates[i].gradient(inputs, targets, own, rng=rng)

        done: list[Gradient] = []

        def work() -> tuple[float, ...]:
            done[:] = self._each(one)
            facts = [(each.loss, each.norm, *self._flags(each)) for each in done]
            # Each network counts once, even if several ranks compute it.
            count = k * self._group.size
            return tuple(sum(column) / count for column in zip(*facts, strict=True))

        loss, norm, diverged, clipped = self._ranks.totals(work)
        after = tuple(chain.from_iterable(each.state for each in done))
        grads = [each.grads for each in done]
        return TeamGradient(loss, norm, diverged > 0, clipped > 0, grads, after)

    def _flags(self, found: Gradient) -> tuple[bool, bool]:
        """Return whether a network has diverged, and whether it was clipped."""
        return self._diverges(found.loss, found.norm), 0 < self._clip < found.norm

    def _each(self, work: Callable[[int], _T]) -> list[_T]:
        """Return work(i) for each network i of this rank."""
        if self._threads.parts == 1:
            return [work(i) for i in range(len(self._updates))]
        done: list[_T] = []
        # The limit is set once, here: setting it in each thread made steps take twice
        # as long.
        with self.arithmetic():
            for numbers in self._rounds:
                done += self._together(work, numbers)
        return done

    def _together(self, work: Callable[[int], _T], numbers: range) -> list[_T]:
        """Return work(i) for these numbers, each in a thread of its own."""

        def part(j: int) -> list[_T]:  # empty if there is no network for this thread
            return [work(i) for i in numbers[j : j + 1]]

        try:
            found = self._threads.run(part)
        except KeyboardInterrupt:
            self._threads.run(lambda j: None)  # until no weights are masked any more
            raise
        return list(chain.from_iterable(found))

    def apply(self, grads: Sequence[Parameters], lr: float, t: int) -> None:
        """Update the weights and their averages; t counts updates from 1."""
        self._each(lambda i: self._updates[i].apply(grads[i], lr, t))

    def is_finite(self) -> bool:
        """Return whether all weights are finite, and small enough to be squared."""
        wrong = float(sum(not update.is_finite() for update in self._updates))
        if len(self._predictor.members) > 1:  # other ranks have other networks
            (wrong,) = self._ranks.totals(lambda: (wrong,))
        return not wrong

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Compute as updates do during the block; see `Update.arithmetic`."""
        with self._updates[0].arithmetic():
            yield

    def zero_state(self) -> ModelState:
        """Return the state of this rank before the first character."""
        networks = [self._predictor.members[i] for i in self._own]
        return tuple(
            layer for each in networks for layer in each.zero_state(self._width)
        )

    def part_of(self, state: ModelState) -> ModelState:
        """Return this rank's part of the state of all networks and columns."""
        if self._ranks.size == 1:
            return state
        by_network = state_by_member(self._predictor, state)
        own = tuple(chain.from_iterable(by_network[i] for i in self._own))
        return state_of(own, self._columns)

    def gathered(self, state: ModelState) -> ModelState:
        """Return the state of all networks and columns; all ranks call this.

        `state` is this rank's part. All ranks get the weights and the moments of each
        network as well, from the first of the ranks that compute it: the others have
        not computed it, or their processors may round differently.
        """
        if self._ranks.size == 1:
            return state
        found = self._ranks.gather(lambda: (self._own, state))
        parts: dict[int, list[ModelState]] = defaultdict(list)
        k, sent = len(self._predictor.members), 0
        for rank, (own, part) in enumerate(found):
            parts[own.start].append(part)
            for i in range(sent, own.stop):
                for vector in self._vectors:
                    self._ranks.copy_from(rank, np.split(vector, k)[i])
            sent = max(sent, own.stop)
        return tuple(chain.from_iterable(map(join_states, parts.values())))
