"""Networks that learn the same windows side by side, each by updates of its own.

A single network is a team of one. The members of an ensemble share nothing but the
text: each has its own initial weights, dropout, gradient and optimizer. So they need
not wait for each other within a step, and a thread that computes one network alone
loses less time than one that computes some of the columns of each.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np

from charrnn.config import TrainConfig
from charrnn.nn.model import ModelState
from charrnn.nn.parameters import Array, Parameters
from charrnn.nn.predictor import Predictor, by_member, parts_of, state_by_member
from charrnn.nn.sampled import Sampler
from charrnn.nn.workers import Layout, Threads, Workers, join_states, state_of
from charrnn.ranks import Ranks
from charrnn.training.optimizers import empty_state
from charrnn.training.update import Gradient, Update

_T = TypeVar("_T")


class TeamGradient(NamedTuple):
    """The result for one window."""

    loss: float  # mean of the networks, in nats per character
    grads: list[Parameters]  # of each network of this rank; see `Gradient`
    norm: float  # mean of the networks
    state: ModelState  # after the window, of the networks of this rank


class Team:
    """Updates the networks of a predictor; `Update` documents what it does to each.

    All networks have the same shape. T and N are the steps and the columns of a window.
    The ranks divide the networks among them; if there are more ranks than networks,
    several ranks divide the columns of one network. `stop` is asked whether to give up
    a slow window, with Stopped.

    Attributes
    ----------
    averaged : Predictor
        The weights to validate and save: running averages, or the networks' own.
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
    ) -> None:
        self._predictor, self._ranks, self._stop = predictor, ranks or Ranks(), stop
        self._T, self._N = T, N
        self._own, self._group = self._ranks.divide(len(predictor.members))
        self._columns = self._group.share(N)
        self.averaged = predictor.copy() if config.average else predictor
        networks, averages = predictor.members, self.averaged.members
        self._updates = [
            Update(*(network, config, workers, sampler, self._group, N), averaged)
            for network, averaged, workers in zip(
                networks[self._own],
                averages[self._own],
                self._start(layout),
                strict=True,
            )
        ]
        own = iter(self._updates)
        # Of all networks, because rank 0 saves what the other ranks compute.
        self._states = [
            next(own).optimizer.state if is_own else empty_state(config, network.params)
            for network, is_own in zip(networks, self._is_own(), strict=True)
        ]

    def _is_own(self) -> list[bool]:
        """Return, for each network, whether this rank computes it."""
        k = len(self._predictor.members)
        return [self._own.start <= i < self._own.stop for i in range(k)]

    def _start(self, layout: Layout) -> list[Workers]:
        """Start the threads, and return the workers of each network of this rank.

        There are rounds: each computes as many networks as there are threads. If fewer
        are left for the last round, each of them gets several threads.
        """
        networks, W = self._predictor.members[self._own], layout.workers
        k = len(networks)
        self._rounds = [range(i, min(i + W, k)) for i in range(0, k, W)]
        self._threads = Threads(min(W, k))
        if self._threads.parts > 1:
            self._threads.start()
        width = self._columns.stop - self._columns.start
        found = []
        for numbers in self._rounds:
            shared = Layout(W // len(numbers), layout.blas_threads)
            found += [
                Workers(*(networks[i], self._T, width), shared, self._stop, of=self._N)
                for i in numbers
            ]
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
            return TeamGradient(found.loss, [found.grads], found.norm, found.state)
        seeds = rng.integers(1 << 63, size=k)[self._own]
        states = parts_of(state, [each.model.config.layers for each in self._updates])

        def one(i: int) -> Gradient:
            rng = np.random.default_rng(seeds[i])
            return self._updates[i].gradient(inputs, targets, states[i], rng=rng)

        done: list[Gradient] = []

        def work() -> tuple[float, float]:
            done[:] = self._each(one)
            # Of each network once, also if several ranks have its columns.
            share = k * self._group.size
            losses, norms = zip(*((each.loss, each.norm) for each in done), strict=True)
            return sum(losses) / share, sum(norms) / share

        loss, norm = self._ranks.totals(work)
        after = tuple(layer for each in done for layer in each.state)
        return TeamGradient(loss, [each.grads for each in done], norm, after)

    def _each(self, work: Callable[[int], _T]) -> list[_T]:
        """Return work(i) for each network i of this rank."""
        if self._threads.parts == 1:
            return [work(i) for i in range(len(self._updates))]
        done: list[_T] = []
        # Here, and not in each thread by itself: then steps took twice as long.
        with self.arithmetic():
            for numbers in self._rounds:
                done += self._together(work, numbers)
        return done

    def _together(self, work: Callable[[int], _T], numbers: range) -> list[_T]:
        """Return work(i) for these numbers, each in a thread of its own."""

        def part(j: int) -> list[_T]:  # nothing, if a thread has no number
            return [work(i) for i in numbers[j : j + 1]]

        return [each for found in self._threads.run(part) for each in found]

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

    def moments(self) -> dict[str, Array]:
        """Return the flat vectors, besides the weights, that an update changes.

        Those of several networks are copied, one after another.
        """
        first, *others = self._states
        moments = {
            name: np.concatenate([state[name] for state in self._states])
            if others
            else vector
            for name, vector in first.items()
        }
        if self.averaged is not self._predictor:
            moments["average"] = self.averaged.params.flat
        return moments

    def restore(self, moments: Mapping[str, Array]) -> None:
        """Set what `moments` returns."""
        for name, vector in moments.items():
            if name == "average":
                self.averaged.params.flat[:] = vector
                continue
            parts = np.split(vector, len(self._states))
            for state, part in zip(self._states, parts, strict=True):
                state[name][:] = part

    def zero_state(self) -> ModelState:
        """Return the state of this rank before the first character."""
        width = self._columns.stop - self._columns.start
        networks = self._predictor.members[self._own]
        return tuple(layer for each in networks for layer in each.zero_state(width))

    def part_of(self, state: ModelState) -> ModelState:
        """Return this rank's part of the state of all networks and columns."""
        if self._ranks.size == 1:
            return state
        parts = state_by_member(self._predictor, state)[self._own]
        return state_of(tuple(chain.from_iterable(parts)), self._columns)

    def gathered(self, state: ModelState) -> ModelState:
        """Return the state of all networks and columns; all ranks call this.

        `state` is this rank's part. If the ranks have different networks, they exchange
        the weights and the moments too.
        """
        if self._ranks.size == 1:
            return state
        if len(self._predictor.members) > 1:
            self.agree()
        parts: dict[int, list[ModelState]] = defaultdict(list)
        for first, part in self._ranks.gather(lambda: (self._own.start, state)):
            parts[first].append(part)
        return tuple(chain.from_iterable(map(join_states, parts.values())))

    def agree(self) -> None:
        """Let all ranks have the weights and the moments of all networks.

        Those of each network come from the first of the ranks that compute it. The
        others have rounded otherwise, if they have another processor, or not computed
        it.
        """
        if self._ranks.size == 1:
            return
        weights = [self._predictor.params.flat]
        if self.averaged is not self._predictor:
            weights.append(self.averaged.params.flat)
        parts = [by_member(self._predictor, vector) for vector in weights]
        owners = self._ranks.gather(lambda: self._is_own())
        for i, state in enumerate(self._states):
            first = next(rank for rank, is_own in enumerate(owners) if is_own[i])
            for vector in (*(part[i] for part in parts), *state.values()):
                self._ranks.copy_from(first, vector)
