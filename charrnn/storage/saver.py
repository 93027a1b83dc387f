"""Saving a run in its folder: when it is due, and what happens if it fails.

A run is saved at validations, and whenever `save_every` minutes have passed. But after
a save that took d seconds, the next one is at least 99 d seconds later, so that saving
takes at most 1 % of the time. A save that fails is reported, and tried again when the
next one is due.
"""

from collections.abc import Iterator
from contextlib import suppress
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Protocol

import numpy as np

from charrnn.atomic import LOCK, Lock
from charrnn.errors import CheckpointError
from charrnn.nn.parameters import Array
from charrnn.storage.checkpoint import Checkpoint, load, save
from charrnn.storage.run_folder import (
    BEST,
    LAST,
    append_history,
    last_saved,
    sync_history,
)
from charrnn.training.events import (
    Event,
    Finished,
    Note,
    Rollback,
    SaveFailed,
    Step,
    Validation,
)
from charrnn.training.state import History, moment_shapes
from charrnn.training.trainer import Trainer

_SHARE = 0.01  # of the time that saving may take
# Bytes of a checkpoint besides its arrays: of a history, with the rest of the header,
# and of each character of the vocabulary.
_HEADER, _CHARACTER = 1 << 15, 12


class Pace:
    """Decides when to save. All times are in seconds, and read on the same clock."""

    def __init__(self, every: float, now: float) -> None:
        self.every = every
        self.took = 0.0  # the newest save
        self._ended = now

    @property
    def wait(self) -> float:
        """The time without a save after the newest one."""
        return self.took * (1 / _SHARE - 1)

    def is_due(self, now: float, *, validated: bool) -> bool:
        """Return whether to save now; after a validation, that may be sooner."""
        passed = now - self._ended
        return passed >= self.wait and (validated or passed >= self.every)

    def saved(self, start: float, end: float) -> None:
        """Record when a save, or the attempt, started and ended."""
        self.took, self._ended = end - start, end


class Savable(Protocol):
    """What a saver needs of a run."""

    trainer: Trainer
    val_ids: Array
    temperature: float

    def best_checkpoint(self) -> Checkpoint:
        """Return what best.npz is to hold."""

    def last_checkpoint(self) -> Checkpoint:
        """Return what last.npz is to hold."""


class Saver:
    """Saves a run after its events, in a folder that it has locked.

    saved_at is when the checkpoint that it was resumed from was written, in ns, or 0.
    """

    def __init__(self, run: Savable, folder: Path, lock: Lock, saved_at: int) -> None:
        self.saved_at = saved_at
        self._run, self._folder, self._lock = run, folder, lock
        self._pace = Pace(60 * run.trainer.config.save_every, perf_counter())
        self._pending: list[Validation | Rollback] = []  # not yet in the history
        self._saved_step = run.trainer.progress.step if saved_at else None
        # The history and the temperature in best.npz, if it is known to be right.
        self._best_saved, self._temperature = None, 1.0
        if saved_at:
            self._best_saved, self._temperature = self._best_on_disk()
        self._failure = ""  # of the newest save
        self._is_slow = False  # and the user knows

    def after(self, event: Event) -> Iterator[Event]:
        """Log an event, save if that is due, and yield what the user should know.

        If the save after the last event fails, `finish` raises an error.
        """
        if isinstance(event, Step):
            # A validation that is due is saved with its result.
            trainer = self._run.trainer
            if not trainer.validation_due and self._is_due() and trainer.can_snapshot():
                yield from self._save(event.step)
                yield from self._note_pace(event.step)
        elif isinstance(event, Validation):
            self._pending.append(event)
            if event.best:
                self._best_saved = None
            save_now = self._is_due(validated=True)
            yield from (self._save if save_now else self._log)(event.step)
        elif isinstance(event, Rollback):
            self._pending.append(event)
            # A run that diverges before its first checkpoint leaves no files behind.
            if self._saved_step is not None:
                yield from self._log(event.step)
        elif isinstance(event, Finished):
            # Without validations, the newest weights are the best. The temperature is
            # known only now.
            is_known = self._temperature == self._run.temperature
            if not len(self._run.val_ids) or not is_known:
                self._best_saved = None
            saving = self._save(event.step)
            yield from (each for each in saving if not isinstance(each, SaveFailed))

    def finish(self) -> None:
        """Raise CheckpointError if the newest save has failed."""
        if not self._failure:
            return
        ended = f"training ended at step {self._run.trainer.progress.step:,}"
        saved = (
            "and nothing of it is saved"
            if self._saved_step is None
            else f"and step {self._saved_step:,} is saved; then continue from there "
            "with --resume (charrnn.resume)"
        )
        raise CheckpointError(f"{self._failure}; {ended}, {saved}")

    def rescue(self) -> None:
        """Save the history and the best weights of a run that ends with an error."""
        if self._run.trainer.progress.best_step:  # otherwise nothing was learned
            with suppress(CheckpointError):
                self._write_history()
                self._write_best()

    def _is_due(self, *, validated: bool = False) -> bool:
        return self._pace.is_due(perf_counter(), validated=validated)

    def _log(self, step: int) -> Iterator[Event]:
        try:
            if renewed := self._renew_folder():
                yield Note(step, renewed)
            self._write_history()
        except CheckpointError as error:
            yield SaveFailed(step, str(error))

    def _save(self, step: int) -> Iterator[Event]:
        start, before = perf_counter(), self._failure
        try:
            if renewed := self._renew_folder():
                yield Note(step, renewed)
            self._failure = self._write_all()
        except CheckpointError as error:
            self._failure = str(error)
        self._pace.saved(start, perf_counter())
        if self._failure:
            yield SaveFailed(step, self._failure)
        elif before:
            yield Note(step, f"saved to {self._folder} again")

    def _note_pace(self, step: int) -> Iterator[Event]:
        """Yield a note, once, if the run is saved less often than it was asked for."""
        if self._pace.wait > self._pace.every and not self._is_slow:
            self._is_slow = True
            yield Note(
                step,
                f"saving takes {self._pace.took:.1f} s; it is done every "
                f"{self._pace.wait / 60:.1f} minutes, so that it takes at most "
                f"{_SHARE:.0%} of the time",
            )

    def _write_all(self) -> str:
        """Write whatever can be written, and return the first failure, or ""."""
        failures = []
        for write in (self._write_history, self._write_best, self._write_last):
            try:
                write()
            except CheckpointError as error:
                failures.append(str(error))
        return failures[0] if failures else ""

    def _renew_folder(self) -> str:
        """Make and lock the folder again if it was deleted; return a note, or "".

        Raises CheckpointError if another process trains there by now, or has.
        """
        if self._lock.trouble or self._lock.is_held:
            return ""
        is_gone = not self._folder.is_dir()
        with suppress(OSError):  # writing will tell
            self._folder.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            check_unchanged(self._folder, self.saved_at)
        except CheckpointError:
            self._lock.release()
            raise
        if not is_gone:
            return f"{self._folder / LOCK} was deleted; the folder is locked again"
        self._best_saved = None
        return f"{self._folder} was deleted; it is made again, with a new history"

    def _write_history(self) -> None:
        while self._pending:
            append_history(self._folder, self._pending[0])
            del self._pending[0]

    def _write_best(self) -> None:
        """Write best.npz, unless there is no best yet or the file is right."""
        progress, path = self._run.trainer.progress, self._folder / BEST
        if not progress.best_step:
            return
        if self._best_saved != progress.best_history or not path.is_file():
            save(self._run.best_checkpoint(), path)
            self._best_saved = progress.best_history
            self._temperature = self._run.temperature

    def _write_last(self) -> None:
        sync_history(self._folder)  # it must not be older than the checkpoint
        save(self._run.last_checkpoint(), self._folder / LAST)
        self._saved_step = self._run.trainer.progress.step
        self.saved_at = last_saved(self._folder)

    def _best_on_disk(self) -> tuple[History | None, float]:
        """Return what best.npz has beside the weights, if those are the best."""
        try:
            found = load(self._folder / BEST)
        except CheckpointError:
            return None, 1.0
        is_best = np.array_equal(found.model.params.flat, self._run.trainer.best_params)
        temperature = found.model.members[0].temperature
        return found.history if is_best else None, temperature


def check_unchanged(folder: Path, saved_at: int) -> None:
    """Raise CheckpointError if last.npz is there and was not written at `saved_at`."""
    if last_saved(folder) not in (0, saved_at):
        raise CheckpointError(
            f"{folder / LAST}: has changed since it was opened; another charrnn was "
            "training there; resume it again"
        )


def checkpoint_sizes(trainer: Trainer) -> tuple[int, int]:
    """Return the largest sizes of a run's best.npz and last.npz, in bytes.

    Between two validations, last.npz also has the state at the previous one.
    """
    model = trainer.model
    networks, weights = model.members, model.params.flat.nbytes
    layouts = moment_shapes(trainer.config, networks[0].params.shapes).values()
    moments = sum(prod(shape) for shapes in layouts for shape in shapes.values())
    parts = [part for layer in model.zero_state(trainer.plan.batch) for part in layer]
    state = sum(part.nbytes for part in parts)
    state += weights + len(networks) * moments * model.dtype.itemsize
    header = len(networks) * _HEADER
    characters = _CHARACTER * model.vocab
    best = weights + header + characters
    return best, 2 * state + weights + 3 * header + characters
