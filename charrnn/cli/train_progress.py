"""How a training looks on a terminal, and how Ctrl-C ends it."""

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import isnan
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.options import note

if TYPE_CHECKING:
    from charrnn.run import Run
    from charrnn.training.events import Event, Validation

_SAMPLE_LENGTH = 200
_REFRESH = 0.2  # seconds between changes of the bar's text
_BAR = "{percentage:3.0f}% {bar} {elapsed}<{remaining} {rate_fmt}{postfix}"


def watch(run: "Run", *, sample_every: int = 0, quiet: bool = False) -> int:
    """Train to the end or to a signal, show it, and return the exit status."""
    from tqdm import tqdm

    plan, progress = run.plan, run.trainer.progress
    a_step = plan.batch * plan.window
    if progress.step >= plan.steps:
        note(f"{run.folder} is finished; --steps or --epochs give it more")
        return 0
    with (
        _stopping(run) as caught,
        tqdm(
            total=plan.steps * a_step,
            initial=progress.step * a_step,
            unit="char",
            unit_scale=True,
            bar_format=_BAR,
            dynamic_ncols=True,
            leave=False,
            disable=True if quiet else None,  # None: where there is no terminal
        ) as bar,
    ):
        show = _Show(run, bar, sample_every, quiet)
        for event in run.events():
            show.event(event)
    if caught and show.reason == "stopped":
        note(
            f"Stopped at step {run.trainer.progress.step:,} of {plan.steps:,}, all "
            "saved. Go on with: charrnn train --resume --out "
            f"{shlex.quote(str(run.folder))}"
        )
        return 128 + caught[0]
    if show.reason == "patience" and not quiet:
        note(f"Stopped: no new best in {run.config.patience} validations.")
    _conclude(run, quiet)
    return 0


class _Show:
    """Turns events into the bar and lines above it."""

    def __init__(self, run: "Run", bar: Any, sample_every: int, quiet: bool):
        self.run = run
        self.bar = bar
        self.sample_every, self.quiet = sample_every, quiet
        self.reason = ""
        self._loss = self._val = float("nan")
        self._next_refresh = 0.0

    def event(self, event: "Event") -> None:
        from charrnn.training import events

        if isinstance(event, events.Step):
            self._step(event.step, event.loss, event.characters)
        elif isinstance(event, events.Validation):
            self._val = event.val_loss
            self._line(_validation_line(event, self.run.plan.steps))
        elif isinstance(event, events.Rollback):
            self._line(
                f"step {event.step:,}: the loss diverged ({event.loss:.3g}); back to "
                f"step {event.to_step:,} at {event.lr_scale:g} of the learning rate"
            )
            self.bar.reset()
            self.bar.update(event.to_step * self.run.plan.batch * self.run.plan.window)
        else:
            self.reason = event.reason

    def _step(self, step: int, loss: float, characters: int) -> None:
        # A running mean over some 50 steps; the first is its own.
        first = isnan(self._loss)
        self._loss = loss if first else 0.98 * self._loss + 0.02 * loss
        self.bar.update(characters)
        if not self.bar.disable and monotonic() > self._next_refresh:
            self._next_refresh = monotonic() + _REFRESH
            self.bar.set_postfix_str(f"loss {self._loss:.3f} val {self._val:.3f}")
        if self.sample_every and step % self.sample_every == 0:
            self._line(f"--- sample at step {step:,}\n{self._sample(step)}\n---")

    def _sample(self, step: int) -> str:
        from charrnn.generation.language_model import LanguageModel

        model = LanguageModel(self.run.checkpoint)
        return model.generate(length=_SAMPLE_LENGTH, seed=step).strip()

    def _line(self, line: str) -> None:
        if not self.quiet:
            self.bar.write(line, file=sys.stderr)


def _validation_line(event: "Validation", steps: int) -> str:
    return (
        f"step {event.step:>{len(f'{steps:,}')},}  epoch {event.epoch:5.2f}  "
        f"train {event.train_loss:.4f}  val {event.val_loss:.4f}"
        f"{'*' if event.best else ' '}  {_clock(event.seconds)}"
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


@contextmanager
def _stopping(run: "Run") -> Iterator[list[int]]:
    """Make SIGINT and SIGTERM end the run after its step; a second SIGINT ends it now.

    Yields the list that the signals caught go to.
    """
    caught: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if caught and number == signal.SIGINT:
            raise KeyboardInterrupt
        caught.append(number)
        run.trainer.stop()

    before = {
        number: signal.signal(number, stop)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _conclude(run: "Run", quiet: bool) -> None:
    """Print the scoreboard of the best model, and what to do with it."""
    from charrnn.cli.format import scoreboard_table
    from charrnn.evaluation.scoreboard import score

    progress = run.trainer.progress
    if not quiet:
        note(
            f"Best (*) at step {progress.best_step:,}; {_clock(progress.seconds)} of "
            "training in all."
        )
    board = score(run.best().model, run.train_ids, run.val_ids)
    click.echo(scoreboard_table(board, ("train", "validation")))
    if not quiet:
        folder = shlex.quote(str(run.folder))
        note(f"Write with it: charrnn sample {folder}")
        note(f"Compare temperatures: charrnn compare {folder}")
