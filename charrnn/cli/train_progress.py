"""What `charrnn train` shows while it trains, and how Ctrl-C stops it."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.options import note
from charrnn.shell import quote

if TYPE_CHECKING:
    from charrnn.run import Run
    from charrnn.training.events import Event, Validation

_SAMPLE_LENGTH = 200
_BAR = "{percentage:3.0f}% {bar} {elapsed}<{remaining} {rate_fmt}{postfix}"


def train_with_progress(
    run: "Run", *, sample_every: int = 0, quiet: bool = False
) -> int:
    """Train to the end or until a signal, and return the exit status."""
    plan, progress = run.plan, run.trainer.progress
    if progress.step >= plan.steps:
        note(f"{run.folder} is finished; give it more with --steps or --epochs")
        return 0
    with (
        _stopping_on_signals(run) as signals,
        make_bar(run, disable=True if quiet else None) as bar,  # None: if no terminal
    ):
        display = ProgressDisplay(run, bar, sample_every, quiet)
        for event in run.events():
            display.show(event)
    if signals and display.reason == "stopped":
        note(
            f"Stopped at step {run.trainer.progress.step:,} of {plan.steps:,}, all "
            "saved. Continue with: charrnn train --resume --out "
            f"{quote(str(run.folder))}"
        )
        return 128 + signals[0]
    if display.reason == "patience" and not quiet:
        note(f"Stopped: no new best in {run.config.patience} validations.")
    _print_results(run, quiet)
    return 0


def make_bar(run: "Run", **options: Any) -> Any:
    """Return a tqdm bar that counts the characters of a run."""
    from tqdm import tqdm

    from charrnn.interactive import bar_options

    return tqdm(bar_format=_BAR, leave=False, **bar_options(run), **options)


class ProgressDisplay:
    """Shows a run's events: a bar, and lines above it."""

    def __init__(self, run: "Run", bar: Any, sample_every: int, quiet: bool) -> None:
        from charrnn.interactive import BarUpdater

        self.run = run
        self.bar = bar
        self.sample_every, self.quiet = sample_every, quiet
        self.reason = ""  # why training ended
        self._updater = BarUpdater(bar, run.trainer, "{} {:.3f}", " ")

    def show(self, event: "Event") -> None:
        """Show one event."""
        from charrnn.training.events import Finished, Rollback, Step, Validation

        if isinstance(event, Step):
            if self.sample_every and event.step % self.sample_every == 0:
                sample = self._sample(event.step)
                self._print(f"--- sample at step {event.step:,}\n{sample}\n---")
        elif isinstance(event, Validation):
            self._print(_validation_line(event, self.run.plan.steps))
        elif isinstance(event, Rollback):
            self._print(
                f"step {event.step:,}: the loss diverged ({event.loss:.3g}); back to "
                f"step {event.to_step:,} at {event.lr_scale:g} of the learning rate"
            )
        elif isinstance(event, Finished):
            self.reason = event.reason
        self._updater.show(event)  # last: the bar is below the lines

    def _sample(self, step: int) -> str:
        """Return a sample from the weights that are validated and saved."""
        from charrnn.generation.language_model import LanguageModel

        weights = replace(self.run.checkpoint, model=self.run.trainer.averaged_model)
        model = LanguageModel.from_checkpoint(weights)
        return model.generate(length=_SAMPLE_LENGTH, seed=step).strip()

    def _print(self, line: str) -> None:
        if not self.quiet:
            self.bar.write(line, file=sys.stderr)


def _validation_line(event: "Validation", steps: int) -> str:
    val = ""
    if event.val_loss is not None:
        val = f"  val {event.val_loss:.4f}{'*' if event.best else ' '}"
    return (
        f"step {event.step:>{len(f'{steps:,}')},}  epoch {event.epoch:5.2f}  "
        f"train {event.train_loss:.4f}{val}  {_clock(event.seconds)}"
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


@contextmanager
def _stopping_on_signals(run: "Run") -> Iterator[list[int]]:
    """Let a signal stop the run after its step, and a second Ctrl-C stop it at once.

    The signals are SIGINT, SIGTERM, and SIGHUP, which a closed terminal sends. Yields
    the list of those received.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)
        run.trainer.stop()
        if number == signal.SIGINT:
            _announce_stop()

    before = {number: signal.signal(number, stop) for number in _stopping_signals()}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stopping_signals() -> list[signal.Signals]:
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # nohup ignores SIGHUP, and so should a run under it.
    return [n for n in numbers if signal.getsignal(n) != signal.SIG_IGN]


def _announce_stop() -> None:
    # Not through Python's buffers: the signal may have interrupted a write to them.
    line = "Stopping after this step; press Ctrl-C again to stop at once.\n"
    start = "\n" if sys.stderr.isatty() else ""  # after the bar and ^C
    os.write(sys.stderr.fileno(), (start + line).encode())


def _print_results(run: "Run", quiet: bool) -> None:
    """Print the scoreboard of the best model, and which commands use it."""
    from charrnn.cli.format import scoreboard_table
    from charrnn.cli.options import scoring_bar
    from charrnn.evaluation.scoreboard import score

    progress = run.trainer.progress
    if not len(run.val_ids):
        note(
            f"Trained on the whole text for {_clock(progress.seconds)}; the last "
            "weights are kept. Without a validation part, nothing shows how well they "
            "predict other text, or when they began to memorise this one."
        )
        _print_commands(run, quiet)
        return
    if not quiet:
        note(
            f"Best (*) at step {progress.best_step:,}; {_clock(progress.seconds)} of "
            "training in all."
        )
    model = run.best_checkpoint().model
    run.trainer.close()  # the n-gram needs as much memory as training did
    with scoring_bar(quiet=quiet) as on_progress:
        board = score(
            model,
            run.train_ids,
            run.val_ids,
            limit=run.plan.val_characters,
            on_progress=on_progress,
        )
    click.echo(scoreboard_table(board, ("train", "validation")))
    _print_commands(run, quiet)


def _print_commands(run: "Run", quiet: bool) -> None:
    """Print which commands use the model."""
    if not quiet:
        folder = quote(str(run.folder))
        note(f"Write with it: charrnn sample {folder}")
        note(f"Compare temperatures: charrnn compare {folder}")
