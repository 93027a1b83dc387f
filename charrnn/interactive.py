"""Training runs from Python: the progress bar, Ctrl-C and the result."""

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from math import isfinite
from time import monotonic
from types import FrameType
from typing import Any

from charrnn.errors import CharRNNWarning, CheckpointError
from charrnn.generation.language_model import LanguageModel
from charrnn.generation.model_card import loss_curve
from charrnn.run import Run
from charrnn.storage.run_folder import BEST
from charrnn.training.events import (
    Event,
    Finished,
    Note,
    Rollback,
    SaveFailed,
    Step,
    Validation,
)
from charrnn.training.trainer import Trainer

OnEvent = Callable[[Event], Any]
_log = logging.getLogger("charrnn")
_REFRESH = 0.2  # seconds between changes of the text after a bar


def finish(run: Run, *, progress: bool, on_event: OnEvent | None) -> LanguageModel:
    """Train to the end, and return the best model.

    Notes are logged. Settings that were adapted to the text and an interrupted run are
    CharRNNWarnings, at the line of the caller's caller.
    """
    changes = [
        str(change)
        for change in (
            run.adaptation,
            run.short_text,
            run.early_end,
            run.overtime,
        )
        if change
    ]
    for note in run.notes:
        _log.info("%s", note)
    for change in changes:
        warnings.warn(change, CharRNNWarning, stacklevel=3)
    ranks = run.trainer.ranks
    progress = progress and ranks.is_first
    interrupted, unsaved = _follow(run, progress=progress, on_event=on_event)
    ranks.finish()
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
    if unsaved:
        changes.append(f"{unsaved}; the model that is returned can be saved elsewhere")
        warnings.warn(changes[-1], CharRNNWarning, stacklevel=3)
    path = run.folder / BEST if run.folder and validated and not unsaved else None
    model = LanguageModel.from_checkpoint(checkpoint, path)
    model.notes = [*run.notes, *changes]
    return model


def _follow(run: Run, *, progress: bool, on_event: OnEvent | None) -> tuple[bool, str]:
    """Train to the end, and return whether the user interrupted it, and what failed.

    Ctrl-C, or the stop button of a notebook, ends the run after the current step, with
    everything saved. A second one raises KeyboardInterrupt at once. What may fail is
    saving: the model is not lost by that.
    """
    unsaved, event = "", None
    # An exception would keep the run, and with it the lock, alive.
    with closing(run), _stop_on_ctrl_c(run) as caught, _bar(run, progress) as show:
        events = run.events()
        while True:
            try:
                for event in events:
                    show(event)
                    _log_event(event)
                    if on_event:
                        on_event(event)
                break
            except KeyboardInterrupt:  # the second, or raised by on_event
                if caught:
                    raise
                caught.append(signal.SIGINT)
                run.trainer.stop()
            except CheckpointError as error:
                if not isinstance(event, Finished):
                    raise
                unsaved = str(error)
    return bool(caught), unsaved


def _log_event(event: Event) -> None:
    """Log what an event tells about the files of a run."""
    if isinstance(event, SaveFailed):
        _log.warning("step %s: not saved: %s", event.step, event.reason)
    elif isinstance(event, Note):
        _log.info("%s", event.text)


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

    with tqdm(desc="training", **bar_options(run)) as bar:
        updater, curve = BarUpdater(bar, run.trainer), _curve(run)

        def show(event: Event) -> None:
            updater.show(event)
            if isinstance(event, Validation):
                curve()

        yield show


def _curve(run: Run) -> Callable[[], None]:
    """Return a function that draws the losses so far below a notebook's bar."""
    if not _in_notebook():
        return lambda: None
    from IPython.display import HTML, display

    shown: list[Any] = []  # the picture, once there is one

    def draw() -> None:
        history = run.trainer.progress.history
        picture = HTML(loss_curve(history))
        if shown:
            shown[0].update(picture)
        elif len(history) > 1:
            shown.append(display(picture, display_id=True))

    return draw


def _is_visible() -> bool:
    """Return whether stderr is a terminal or the output of a notebook."""
    return sys.stderr.isatty() or _in_notebook()


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return "IPKernelApp" in getattr(shell, "config", ())


def bar_options(run: Run) -> dict[str, Any]:
    """Return arguments of tqdm for a bar that counts the characters of a run."""
    trainer = run.trainer
    return {
        "total": trainer.characters_in(run.plan.steps),
        "initial": trainer.characters_in(trainer.progress.step),
        "unit": "char",
        "unit_scale": True,
        "dynamic_ncols": True,
    }


class BarUpdater:
    """Moves a tqdm bar by events, and shows the losses (nats per character) after it.

    `name_and_loss` is how a loss looks, and `between` what separates two of them.
    """

    def __init__(
        self,
        bar: Any,
        trainer: Trainer,
        name_and_loss: str = "{}={:.3f}",
        between: str = ", ",
    ) -> None:
        self._bar, self._trainer = bar, trainer
        self._name_and_loss, self._between = name_and_loss, between
        self._loss: float | None = None  # running mean
        self._val_loss: float | None = None
        self._next_text = 0.0

    def show(self, event: Event) -> None:
        """Move the bar by an event, and renew its text if that is due."""
        if isinstance(event, Step):
            # A running mean over about 50 steps.
            before = event.loss if self._loss is None else self._loss
            self._loss = 0.98 * before + 0.02 * event.loss
            self._bar.update(event.characters)
            if self._trainer.validation_due:  # it comes next, and may take seconds
                self._bar.set_postfix_str("validating")
            else:
                self._show_losses(_REFRESH)
        elif isinstance(event, Validation):
            self._val_loss = event.val_loss
            self._show_losses()
        elif isinstance(event, Rollback):
            self._loss = None
            # A negative step: tqdm then keeps the rate, and with it the time left.
            done = self._trainer.characters_in(event.to_step)
            self._bar.update(done - self._bar.n)

    def _show_losses(self, wait: float = 0.0) -> None:
        """Renew the text, if that is not more often than every `wait` seconds."""
        if self._bar.disable or (wait and monotonic() < self._next_text):
            return
        self._next_text = monotonic() + wait
        self._bar.set_postfix_str(self._text(), refresh=not wait)

    def _text(self) -> str:
        """Return what is shown after the bar."""
        losses = (("loss", self._loss), ("val", self._val_loss))
        texts = [
            self._name_and_loss.format(name, loss)
            for name, loss in losses
            if loss is not None
        ]
        return self._between.join(texts)
