"""Training runs from Python: the progress bar, Ctrl-C and the result."""

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite
from types import FrameType
from typing import Any

from charrnn.errors import CharRNNWarning
from charrnn.generation.language_model import LanguageModel
from charrnn.run import Run
from charrnn.storage.run_folder import BEST
from charrnn.training.events import Event, Rollback, Step, Validation
from charrnn.training.trainer import Trainer

OnEvent = Callable[[Event], Any]
_log = logging.getLogger("charrnn")


def finish(run: Run, *, progress: bool, on_event: OnEvent | None) -> LanguageModel:
    """Train to the end, and return the best model.

    Notes are logged. Settings that were adapted to the text and an interrupted run are
    CharRNNWarnings, at the line of the caller's caller.
    """
    changes = _changes(run)
    for note in run.notes:
        _log.info("%s", note)
    for change in changes:
        warnings.warn(change, CharRNNWarning, stacklevel=3)
    interrupted = _follow(run, progress=progress, on_event=on_event)
    checkpoint, state = run.best_checkpoint(), run.trainer.progress
    validated = isfinite(state.best_loss)
    if not validated:
        newest = run.trainer.averaged_model.params
        checkpoint.model.params.flat[:] = newest.flat
    if interrupted and state.step < run.plan.steps:
        found = (
            f"the best model so far, from step {state.best_step:,}"
            if validated
            else "the newest weights, which have not been validated"
        )
        more = f"; charrnn.resume({str(run.folder)!r}) continues" if run.folder else ""
        changes.append(
            f"interrupted at step {state.step:,} of {run.plan.steps:,}; this is "
            f"{found}{more}"
        )
        warnings.warn(changes[-1], CharRNNWarning, stacklevel=3)
    path = run.folder / BEST if run.folder and validated else None
    model = LanguageModel.from_checkpoint(checkpoint, path)
    model.notes = [*run.notes, *changes]
    return model


def _changes(run: Run) -> list[str]:
    """Return a message for each change of the settings to fit the text."""
    changes = [str(run.adaptation)] if run.adaptation else []
    plan, asked = run.plan, run.config
    if (plan.batch, plan.window) != (asked.batch, asked.window):
        changes.append(
            f"the text is short: batch {plan.batch} and window {plan.window} instead "
            f"of {asked.batch} and {asked.window}"
        )
    return changes


def _follow(run: Run, *, progress: bool, on_event: OnEvent | None) -> bool:
    """Train to the end, and return whether the user interrupted it.

    Ctrl-C, or the stop button of a notebook, ends the run after the current step, with
    everything saved. A second one raises KeyboardInterrupt at once.
    """
    with _stop_on_ctrl_c(run) as caught, _bar(run, progress) as show:
        events = run.events()
        while True:
            try:
                for event in events:
                    show(event)
                    if on_event:
                        on_event(event)
                break
            except KeyboardInterrupt:  # the second, or raised by on_event
                if caught:
                    raise
                caught.append(signal.SIGINT)
                run.trainer.stop()
    return bool(caught)


@contextmanager
def _stop_on_ctrl_c(run: Run) -> Iterator[list[int]]:
    """Make the first SIGINT stop the trainer, and the second raise.

    Yields the list of signals caught. A handler that the program itself has set stays
    in place.
    """
    caught: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        caught.append(number)
        run.trainer.stop()

    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) != signal.default_int_handler:
        yield caught
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield caught
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _bar(run: Run, wanted: bool) -> Iterator[Callable[[Event], None]]:
    """Yield a function that shows an event on a bar, if it is wanted and visible."""
    if not wanted or not _is_visible():
        yield lambda event: None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ipywidgets tqdm draws a plain bar
        from tqdm.auto import tqdm

    trainer = run.trainer
    with tqdm(
        total=trainer.characters_in(run.plan.steps),
        initial=trainer.characters_in(trainer.progress.step),
        desc="training",
        unit="char",
        unit_scale=True,
        dynamic_ncols=True,
    ) as bar:
        yield _BarUpdater(bar, trainer)


def _is_visible() -> bool:
    """Return whether stderr is a terminal or the output of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return sys.stderr.isatty() or "IPKernelApp" in getattr(shell, "config", ())


class _BarUpdater:
    """Moves the bar, and shows the losses (nats per character) after it."""

    def __init__(self, bar: Any, trainer: Trainer) -> None:
        self._bar, self._trainer = bar, trainer
        self._loss: float | None = None
        self._val: float | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Step):
            # A running mean over about 50 steps.
            loss = self._loss if self._loss is not None else event.loss
            self._loss = 0.98 * loss + 0.02 * event.loss
            self._bar.set_postfix(self._losses(), refresh=False)
            self._bar.update(event.characters)
        elif isinstance(event, Validation):
            self._val = event.val_loss
            self._bar.set_postfix(self._losses())
        elif isinstance(event, Rollback):
            # A negative step: tqdm then keeps the rate, and with it the time left.
            done = self._trainer.characters_in(event.to_step)
            self._bar.update(done - self._bar.n)

    def _losses(self) -> dict[str, str]:
        known = {"loss": self._loss, "val": self._val}
        return {k: f"{loss:.3f}" for k, loss in known.items() if loss is not None}
