"""The course of training runs as arrays: what plots are drawn from.

A history may come from somebody else. Values in it that cannot be right are left out,
and counted.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.errors import CheckpointError, ConfigError
from charrnn.generation.language_model import LanguageModel
from charrnn.nn.parameters import Array
from charrnn.option import is_count, is_number, one_of
from charrnn.storage.checkpoint import load
from charrnn.storage.run_folder import BEST, HISTORY, LAST, find_run, history_events
from charrnn.training.state import History

# What the losses can be drawn against.
AXES = ("steps", "epochs", "minutes")
# What can be shown below the losses, by the name of its option.
MEASURES = {
    "lr": "learning rate",
    "grad-norm": "gradient norm before clipping",
    "clipped": "share of clipped steps",
    "speed": "characters per second",
}
_FIELDS = (
    *("step", "epoch", "seconds", "train_loss", "val_loss"),
    *("lr", "grad_norm", "clipped"),
)
_LARGEST = 1e12  # larger numbers are no losses, and overflow when they are drawn


@dataclass(frozen=True)
class Curves:
    """A run's losses (nats per character) and more, with a value per validation.

    All arrays have the same length. NaN stands for what is not known.
    """

    name: str
    step: Array
    epoch: Array
    seconds: Array  # of training
    train_loss: Array
    val_loss: Array
    lr: Array
    grad_norm: Array  # before clipping
    clipped: Array  # share of steps
    characters: int = 0  # per step; 0 if not known
    rollbacks: tuple[float, ...] = ()  # the steps at which the loss diverged
    ngram_loss: float | None = None  # of the best n-gram, on the validation text
    ngram_order: int = 0
    notes: list[str] = field(default_factory=list)  # for the user

    @property
    def best(self) -> int | None:
        """The index of the lowest validation loss; None if there is none."""
        if np.isnan(self.val_loss).all():
            return None
        return int(np.nanargmin(self.val_loss))

    def x(self, axis: str) -> Array:
        """Return the places of the validations on one of AXES."""
        by_axis = {
            "steps": self.step,
            "epochs": self.epoch,
            "minutes": self.seconds / 60,
        }
        return by_axis[one_of("x", axis, AXES)]

    def rollback_x(self, axis: str) -> Array:
        """Return the places of the rollbacks, between those of the validations."""
        steps, places = [0.0, *self.step], [0.0, *self.x(axis)]
        if axis == "steps":
            return np.array(self.rollbacks)
        found: Array = np.interp(self.rollbacks, steps, places)
        return found

    def measure(self, name: str) -> Array:
        """Return the values of one of MEASURES."""
        if name == "speed":
            steps = np.diff(self.step, prepend=0)
            seconds = np.diff(self.seconds, prepend=0)
            known = (seconds > 0) & (steps > 0) & (self.characters > 0)
            speed = np.full(len(steps), nan)
            speed[known] = self.characters * steps[known] / seconds[known]
            return speed
        by_name = {"lr": self.lr, "grad-norm": self.grad_norm, "clipped": self.clipped}
        return by_name[one_of("show", name, MEASURES)]


def read_curves(run: str | Path | None = None) -> Curves:
    """Return the curves of a run: a folder, a history, or a checkpoint.

    `find_run` tells what a path stands for. Only a folder has more than losses by step.
    Raises CheckpointError if there is nothing to draw.
    """
    path = find_run(run)
    if path.suffix == ".jsonl":
        return _checked(_from_history(path, name_of(path)), path)
    if not path.is_dir():
        return _checked(from_losses(load(path).history, name_of(path)), path)
    history = path / HISTORY
    if history.exists():
        curves = _from_history(history, name_of(path), _characters_per_step(path))
        if len(curves.step):
            return curves
    for name in (LAST, BEST):  # a saved model has no history of its own
        if (path / name).exists():
            return _checked(from_losses(load(path / name).history, name_of(path)), path)
    raise _nothing_to_draw(path)


def name_of(path: Path) -> str:
    """Return the name of the run that a folder or a file belongs to."""
    path = path.resolve()
    is_part = path.name in (BEST, LAST, HISTORY)
    return path.parent.name if is_part else path.stem if path.is_file() else path.name


def from_losses(history: History, name: str) -> Curves:
    """Return curves of (step, training loss, validation loss)."""
    keys = ("step", "train_loss", "val_loss")
    events = (dict(zip(keys, row, strict=True)) for row in history)
    return _collect((event | {"event": "validation"} for event in events), name)


def from_model(model: LanguageModel) -> Curves:
    """Return the curves of a trained model; those of its folder, if it has one.

    Raises CheckpointError if there is nothing to draw.
    """
    if model.path and model.path.name in (BEST, LAST) and model.path.exists():
        return read_curves(model.path.parent)
    name = name_of(model.path) if model.path else "model"
    rows = [[*row.values()] for row in model.history]
    if not rows:
        raise CheckpointError(f"{name}: no validation to draw; it has no history")
    return from_losses(rows, name)


def _checked(curves: Curves, path: Path) -> Curves:
    if not len(curves.step):
        raise _nothing_to_draw(path)
    return curves


def _nothing_to_draw(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path}: no validation to draw; a run of `charrnn train` records one after "
        "each line that it prints"
    )


def _characters_per_step(folder: Path) -> int:
    """Return how many characters a step of a run reads, or 0 if that is not known."""
    for name in (LAST, BEST):
        try:
            _, plan = load(folder / name).settings()
        except CheckpointError:  # it may not be saved yet
            continue
        return plan.batch * plan.window
    return 0


def _from_history(path: Path, name: str, characters: int = 0) -> Curves:
    return _collect(history_events(path), name, characters)


def _collect(
    events: Iterable[Mapping[str, Any] | None], name: str, characters: int = 0
) -> Curves:
    """Return the curves of the events of a run."""
    reader = _Reader()
    last: Mapping[str, Any] | None = {}
    for last in events:
        reader.read(last)
    if last is None:  # the line that a running training is writing
        reader.wrong -= 1
    rows = np.frombuffer(reader.rows).reshape(-1, len(_FIELDS))
    notes = []
    if reader.wrong:
        notes.append(
            f"{name}: {reader.wrong:,} lines or values of its history cannot be right, "
            "and are left out"
        )
    return Curves(
        name,
        **dict(zip(_FIELDS, rows.T, strict=True)),
        characters=characters,
        rollbacks=tuple(reader.rollbacks),
        ngram_loss=reader.ngram_loss,
        ngram_order=reader.ngram_order,
        notes=notes,
    )


class _Reader:
    """Collects events in flat arrays, which take little memory per validation."""

    def __init__(self) -> None:
        self.rows = array("d")  # a row of _FIELDS per validation
        self.rollbacks = array("d")
        self.ngram_loss: float | None = None
        self.ngram_order = 0
        self.wrong = 0  # lines and values that are left out

    def read(self, event: Mapping[str, Any] | None) -> None:
        """Add an event, or count it if it cannot be right."""
        known = {
            "validation": self._validation,
            "rollback": self._rollback,
            "scoreboard": self._scoreboard,
        }
        kind = event.get("event") if event else None
        add = known.get(kind) if isinstance(kind, str) else None
        if not add:
            self.wrong += 1
        else:
            assert event
            add(event)

    def _validation(self, event: Mapping[str, Any]) -> None:
        row = [self._number(event.get(name)) for name in _FIELDS]
        losses = row[_FIELDS.index("train_loss")], row[_FIELDS.index("val_loss")]
        if row[0] != row[0] or all(loss != loss for loss in losses):
            self.wrong += 1
            return
        self._back_to(row[0], including=True)
        self.rows.extend(row)

    def _rollback(self, event: Mapping[str, Any]) -> None:
        step = self._number(event.get("step"))
        to_step: Any = event.get("to_step")
        if step != step or not is_count(to_step):
            self.wrong += 1
            return
        self.rollbacks.append(step)
        self._back_to(float(to_step))

    def _scoreboard(self, event: Mapping[str, Any]) -> None:
        ngram: Any = event.get("ngram")
        order: Any = event.get("ngram_order")
        loss = self._number(ngram.get("nats")) if isinstance(ngram, dict) else nan
        if loss != loss or not is_count(order, 1):
            self.wrong += 1
            return
        self.ngram_loss, self.ngram_order = loss, int(order)

    def _back_to(self, step: float, *, including: bool = False) -> None:
        """Drop the validations after a step, which are made again."""
        width = len(_FIELDS)
        while self.rows and (
            self.rows[-width] > step or (including and self.rows[-width] == step)
        ):
            del self.rows[-width:]

    def _number(self, value: Any) -> float:
        """Return a number that can be drawn, or NaN. Anything else is counted."""
        if value is None:
            return nan
        if is_number(value) and 0 <= value <= _LARGEST:
            return float(value)
        self.wrong += 1
        return nan


def check_known(runs: Iterable[Curves], axis: str, show: Iterable[str]) -> None:
    """Raise ConfigError if something that is to be drawn is not known of any run."""
    runs = [*runs]
    for kind, values in (
        (axis, [run.x(axis) for run in runs]),
        *((name, [run.measure(name) for run in runs]) for name in show),
    ):
        if all(np.isnan(each).all() for each in values):
            raise ConfigError(
                f"{runs[0].name}: no {kind} recorded; expected the folder of a run, "
                f"with {HISTORY} and checkpoints: a checkpoint by itself has only "
                "losses by step"
            )


def loss_limits(runs: Sequence[Curves]) -> tuple[float, float]:
    """Return the lowest and the highest loss to show.

    The first losses of a long run may be so far above the others that nothing could be
    seen of these; then the lines begin above the panel.
    """
    losses = np.concatenate([[*run.train_loss, *run.val_loss] for run in runs])
    losses = losses[np.isfinite(losses)]
    low, usual = losses.min(), np.quantile(losses, 0.8)
    high = min(losses.max(), low + 3 * (usual - low)) if usual > low else losses.max()
    known = [run.ngram_loss for run in runs if run.ngram_loss is not None]
    low, high = min([low, *known]), max([high, *known])
    margin = 0.06 * (high - low) or 0.05 * max(high, 0.01)
    return float(low - margin), float(high + margin)
