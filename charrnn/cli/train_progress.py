"""What `charrnn train` shows while it trains, and how signals stop it."""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.options import note
from charrnn.shell import quote
from charrnn.text.characters import escaped

if TYPE_CHECKING:
    from charrnn.evaluation.scoreboard import Scoreboard
    from charrnn.run import Run
    from charrnn.training.events import Event, SaveFailed, Validation
    from charrnn.views.event_files import EventFiles

_SAMPLE_LENGTH = 200
_BAR = "{percentage:3.0f}% {bar} {elapsed}<{remaining} {rate_fmt}{postfix}"


def train_with_progress(
    run: "Run",
    *,
    sample_every: int = 0,
    tensorboard: Path | None = None,
    force: bool = False,
    quiet: bool = False,
) -> int:
    """Train to the end or until a signal, and return the exit status.

    Of several ranks, only the first one prints. `tensorboard` is a folder for event
    files; with `force`, they replace those of an older run. Raises BrokenPipeError,
    with all saved, if nobody reads standard error any more.
    """
    ranks = run.trainer.ranks
    if run.trainer.is_complete:
        if ranks.is_first:
            steps = f"{run.trainer.progress.step:,} steps"
            note(
                f"{run.folder} is finished after {steps}; to go on, give more in all, "
                "with --steps or --epochs"
            )
        return 0
    with (
        _stopping_on_signals(run, announce=ranks.is_first) as signals,
        make_bar(run, disable=True if quiet else None) as bar,  # None: if no terminal
        _not_counting_pauses(run, bar),
        _event_files(run, tensorboard, force) as files,
    ):
        display = ProgressDisplay(run, bar, sample_every, quiet, files)
        for event in run.events():
            display.show(event)
    if display.broken_pipe:
        raise display.broken_pipe
    # One rank may have got it, or all.
    number = max(ranks.gather(lambda: signals[0] if signals else 0))
    if number:
        if ranks.is_first:
            _print_how_to_go_on(run)
        return 128 + number
    if not ranks.is_first:
        return 0
    if display.reason == "patience" and not quiet:
        note(f"Stopped: no new best in {run.config.patience} validations.")
    try:
        _print_results(run, quiet)
    except KeyboardInterrupt:
        click.echo(err=True)  # after ^C
        _print_how_to_go_on(run)
        raise
    return 0


def _print_how_to_go_on(run: "Run") -> None:
    """Print what a signal has stopped, and which command continues it."""
    folder = quote(str(run.folder))
    if run.trainer.progress.step < run.plan.steps:
        note(
            f"Stopped at step {run.trainer.progress.step:,} of {run.plan.steps:,}, all "
            f"saved. Continue with: charrnn train --resume --out {folder}"
        )
    else:
        note(f"The run is complete and saved. Score it with: charrnn eval {folder}")


@contextmanager
def _event_files(
    run: "Run", folder: Path | None, force: bool
) -> "Iterator[EventFiles | None]":
    """Yield what writes event files for TensorBoard, if they are wanted."""
    if folder is None:
        yield None
        return
    from charrnn.views.event_files import EventFiles

    trainer = run.trainer
    is_new = trainer.progress.step == 0
    files = EventFiles(
        folder, trainer.progress, trainer.characters_in, replace=force and is_new
    )
    try:
        yield files
    finally:
        with suppress(OSError):  # a full disk, which has been reported
            files.close()


def make_bar(run: "Run", **options: Any) -> Any:
    """Return a tqdm bar that counts the characters of a run."""
    from tqdm import tqdm

    from charrnn.interactive import bar_options

    return tqdm(bar_format=_BAR, leave=False, **bar_options(run), **options)


class ProgressDisplay:
    """Shows a run's events: a bar, and lines above it."""

    def __init__(
        self,
        run: "Run",
        bar: Any,
        sample_every: int,
        quiet: bool,
        files: "EventFiles | None" = None,
    ) -> None:
        from charrnn.cli.train_curve import CurveUpdater

        self.run, self.files = run, files
        self.bar = bar
        self.sample_every, self.quiet = sample_every, quiet
        self.reason = ""  # why training ended
        self.broken_pipe: BrokenPipeError | None = None
        self._updater = CurveUpdater(bar, run.trainer)

    def show(self, event: "Event") -> None:
        """Show one event, as long as there is somebody to show it to.

        If the terminal is closed, training goes on, unless SIGHUP stops it. If standard
        error is a pipe that is closed, training stops.
        """
        try:
            self._show(event)
        except BrokenPipeError as error:
            self.broken_pipe = error
            self.run.trainer.stop()
            _discard(sys.stderr.fileno())
        except OSError:
            discard_closed_terminal()

    def _show(self, event: "Event") -> None:
        from charrnn.training.events import (
            Finished,
            Note,
            Rollback,
            SaveFailed,
            Step,
            Validation,
        )

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
        elif isinstance(event, Note):
            self._print(event.text)
        elif isinstance(event, SaveFailed):  # with --quiet, too
            self._write(_not_saved(event))
        self._write_event(event)
        self._updater.show(event)  # last: the bar is below the lines

    def _write_event(self, event: "Event") -> None:
        """Write an event for TensorBoard; an error ends that, but not the training."""
        try:
            if self.files:
                self.files.show(event)
        except OSError as error:
            self.files = None
            self._write(
                f"event files for TensorBoard: {error.strerror}; training goes on "
                "without them"
            )

    def _sample(self, step: int) -> str:
        """Return a sample from the weights that are validated and saved."""
        from charrnn.generation.language_model import LanguageModel

        weights = replace(self.run.checkpoint, model=self.run.trainer.averaged_model)
        model = LanguageModel.from_checkpoint(weights)
        return model.generate(length=_SAMPLE_LENGTH, seed=step).strip()

    def _print(self, line: str) -> None:
        if not self.quiet:
            self._write(line)

    def _write(self, line: str) -> None:
        self.bar.write(escaped(line), file=sys.stderr)


def _validation_line(event: "Validation", steps: int) -> str:
    val = ""
    if event.val_loss is not None:
        val = f"  val {event.val_loss:.4f}{'*' if event.best else ' '}"
    return (
        f"step {event.step:>{len(f'{steps:,}')},}  epoch {event.epoch:5.2f}  "
        f"train {event.train_loss:.4f}{val}  {_clock(event.seconds)}"
    )


def _not_saved(event: "SaveFailed") -> str:
    return (
        f"step {event.step:,}: not saved: {event.reason}; training goes on and tries "
        "again"
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


@contextmanager
def _stopping_on_signals(run: "Run", *, announce: bool) -> Iterator[list[int]]:
    """Let a signal save and stop the run, and a second Ctrl-C stop it at once.

    The signals are SIGINT, SIGTERM, and SIGHUP, which a closed terminal sends; on
    Windows, SIGBREAK (Ctrl-Break). Yields the list of those received.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)
        run.trainer.stop()
        discard_closed_terminal()
        if announce and number == signal.SIGINT:
            _announce_stop()

    before = {number: signal.signal(number, stop) for number in _stopping_signals()}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stopping_signals() -> list[signal.Signals]:
    # Windows has no SIGHUP, and only Windows has SIGBREAK.
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # nohup ignores SIGHUP, and a shell without job control lets a command with & ignore
    # SIGINT; so should a run.
    return [n for n in numbers if signal.getsignal(n) != signal.SIG_IGN]


def _announce_stop() -> None:
    # Not through Python's buffers: the signal may have interrupted a write to them.
    line = "Saving and stopping; press Ctrl-C again to stop at once, without saving.\n"
    start = "\n" if sys.stderr.isatty() else ""  # after the bar and ^C
    with suppress(OSError):
        os.write(sys.stderr.fileno(), (start + line).encode())


def discard_closed_terminal() -> None:
    """Discard what is printed to a terminal that was closed; it would be an error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            os.write(stream.fileno(), b"")
        except OSError as error:
            if error.errno == errno.EIO:
                _discard(stream.fileno())


def _discard(output: int) -> None:
    """Discard what is written to a file descriptor from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, output)
    os.close(nowhere)


@contextmanager
def _not_counting_pauses(run: "Run", bar: Any) -> Iterator[None]:
    """Leave the time in which Ctrl-Z suspends the process out of all times shown."""
    number = getattr(signal, "SIGTSTP", None)  # Windows has none
    if number is None or signal.getsignal(number) != signal.SIG_DFL:
        yield
        return

    def pause(number: int, frame: FrameType | None) -> None:
        start = perf_counter()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)  # the process is suspended here
        signal.signal(number, pause)
        seconds = perf_counter() - start
        run.trainer.paused += seconds
        if not bar.disable:
            bar.start_t += seconds

    signal.signal(number, pause)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL)


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
        if run.temperature != 1:
            note(
                "Calibrated: from now on, the logits are divided by "
                f"{run.temperature:.2f}, the model's own temperature."
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
    _record(run, board)
    click.echo(scoreboard_table(board, ("train", "validation")))
    _print_commands(run, quiet)


def _record(run: "Run", board: "Scoreboard") -> None:
    """Keep the scoreboard in the run's history, for plots."""
    from charrnn.errors import CheckpointError
    from charrnn.storage.run_folder import append_scoreboard

    try:
        if run.folder:
            append_scoreboard(run.folder, run.trainer.progress.step, board)
    except CheckpointError as error:
        note(f"The scoreboard is not in the history: {error}")


def _print_commands(run: "Run", quiet: bool) -> None:
    """Print which commands use the model."""
    if not quiet:
        folder = quote(str(run.folder))
        note(f"Write with it: charrnn sample {folder}")
        note(f"Compare temperatures: charrnn compare {folder}")
