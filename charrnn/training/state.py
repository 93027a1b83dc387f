"""The state of a training: everything that changes from step to step."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from math import inf, isfinite
from typing import Any, TypeAlias

import numpy as np

from charrnn.config import TrainConfig
from charrnn.errors import CheckpointError
from charrnn.nn.model import ModelState
from charrnn.nn.parameters import Array, Shape
from charrnn.option import is_count, is_number
from charrnn.training.optimizers import OPTIMIZERS

# A checkpoint keeps at most this many validations; history.jsonl has them all.
_HISTORY = 400
_LARGEST = 1e300  # largest number accepted from a file


# Validations: step, training loss, and validation loss or None.
History: TypeAlias = list[list[float | None]]


@dataclass
class Progress:
    """The part of the state that is not arrays."""

    step: int = 0
    best_loss: float = inf
    best_step: int = 0
    since_best: int = 0  # validations since the best one
    lr_scale: float = 1.0
    rollbacks: int = 0
    seconds: float = 0.0
    steps_seen: int = 0  # since the last validation, as the next three
    loss_sum: float = 0.0
    norm_sum: float = 0.0
    clipped: int = 0
    rng: dict[str, Any] = field(default_factory=dict)  # state of dropout's generator
    # Validations, thinned out if there are many.
    history: History = field(default_factory=list)

    def remember(self, train_loss: float, val_loss: float | None) -> None:
        """Append to the history; if it has grown long, drop every second entry."""
        self.history.append([self.step, train_loss, val_loss])
        if len(self.history) > _HISTORY:
            del self.history[1::2]  # the first and the newest stay

    @property
    def best_history(self) -> History:
        """The history up to the best validation."""
        return [line for line in self.history if (line[0] or 0) <= self.best_step]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; best_loss is null if there is none yet."""
        best_loss = self.best_loss if isfinite(self.best_loss) else None
        return asdict(self) | {"best_loss": best_loss}

    @classmethod
    def from_json(cls, value: object) -> "Progress":
        """Return the progress of a JSON object from `to_json`, or an older version's.

        Raises CheckpointError if training cannot continue from it.
        """
        if not isinstance(value, dict):
            raise CheckpointError(f"progress is {value!r:.40}; expected a JSON object")
        if value.get("best_loss", inf) is None:
            value = value | {"best_loss": inf}
        known = {field.name: field.type for field in fields(cls)}
        for name, entry in value.items():
            if name not in known:
                raise CheckpointError(f"progress has an unknown entry {name!r:.40}")
            if known[name] is int and not is_count(entry):
                raise CheckpointError(
                    f"progress: {name} is {entry!r:.40}; expected a whole number"
                )
            if known[name] is float and not _is_number(entry, name == "best_loss"):
                raise CheckpointError(
                    f"progress: {name} is {entry!r:.40}; expected a number"
                )
        progress = cls(**value)
        check_history(progress.history)
        _check_generator(progress.rng)
        return progress


def _is_number(value: Any, or_infinite: bool = False) -> bool:
    if not is_number(value):
        return False
    return abs(value) <= _LARGEST or (or_infinite and value == inf)


def check_history(history: object) -> None:
    """Raise CheckpointError unless it is a list of (step, train loss, val loss)."""
    if not isinstance(history, list):
        raise CheckpointError(f"history is {history!r:.40}; expected a list")
    for entry in history:
        is_triple = isinstance(entry, list) and len(entry) == 3
        numbers = [n for n in entry if n is not None] if is_triple else []
        if len(numbers) < 2 or None in entry[:2] or not all(map(_is_number, numbers)):
            raise CheckpointError(
                f"history has {entry!r:.60}; expected a step and two losses"
            )


def _check_generator(state: Any) -> None:
    """Raise CheckpointError unless it is the state of NumPy's default generator."""
    bits = np.random.default_rng(0).bit_generator
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy 1 wraps numbers around
            bits.state = state
        same = bits.state == state
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError):
        same = False
    if not same:
        raise CheckpointError("progress: rng is not the state of a PCG64 generator")


def moment_shapes(
    config: TrainConfig, shapes: Mapping[str, Shape]
) -> dict[str, Mapping[str, Shape]]:
    """Return the vectors that a step changes, besides the weights.

    For each, the shapes of the arrays in it; `shapes` are those of the weights.
    """
    average = {"average": shapes} if config.average else {}
    return OPTIMIZERS[config.optimizer].state_shapes(shapes) | average


@dataclass(frozen=True)
class Snapshot:
    """A copy of the state: all that a resumed run needs."""

    progress: Progress
    params: Array  # flat, as are the moments and the best weights
    moments: dict[str, Array]  # see `moment_shapes`
    state: ModelState
    # The weights with the lowest validation loss; None if a file does not have them.
    best: Array | None = None
    # The state at the last good validation, to which a diverged run returns; None if it
    # is this one. Its own `best` is None.
    last_good: "Snapshot | None" = None

    @property
    def validated(self) -> Array:
        """The weights that are validated and saved: the average, if there is one."""
        return self.moments.get("average", self.params)

    def parts(self, k: int) -> list["Snapshot"]:
        """Return the snapshots of k networks of the same shape; this one joins them."""
        if k == 1:
            return [self]
        params = np.split(self.params, k)
        moments = {name: np.split(each, k) for name, each in self.moments.items()}
        layers = len(self.state) // k
        best = [None] * k if self.best is None else np.split(self.best, k)
        last_good = self.last_good.parts(k) if self.last_good else [None] * k
        return [
            Snapshot(
                self.progress,
                params[i],
                {name: each[i] for name, each in moments.items()},
                self.state[i * layers : (i + 1) * layers],
                best[i],
                last_good[i],
            )
            for i in range(k)
        ]

    @classmethod
    def joined(cls, parts: Sequence["Snapshot"]) -> "Snapshot":
        """Return the snapshot of which these are the parts."""
        first, *others = parts
        if not others:
            return first
        best = [part.best for part in parts if part.best is not None]
        good = [part.last_good for part in parts if part.last_good]
        return cls(
            first.progress,
            np.concatenate([part.params for part in parts]),
            {
                name: np.concatenate([part.moments[name] for part in parts])
                for name in first.moments
            },
            tuple(layer for part in parts for layer in part.state),
            np.concatenate(best) if len(best) == len(parts) else None,
            cls.joined(good) if good else None,
        )
