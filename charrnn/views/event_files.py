"""Event files for TensorBoard, written by tensorboardX (extra `tensorboard`).

They are written without a thread, so that an error is known at once, and after each
validation, so that TensorBoard shows a run while it trains.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from time import time
from typing import Any

from charrnn.errors import ConfigError, MissingExtraError
from charrnn.training.events import Event, Rollback, Validation
from charrnn.training.state import Progress

try:
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event as Record
    from tensorboardX.proto.event_pb2 import SessionLog
    from tensorboardX.proto.summary_pb2 import Summary
except ImportError as error:
    raise MissingExtraError(
        '--tensorboard needs tensorboardX: pip install "charrnn[tensorboard]"'
    ) from error

_PATTERN = "events.out.tfevents.*"


def check_logs(folder: Path, *, resume: bool = False, force: bool = False) -> None:
    """Raise ConfigError unless the event files of a run can be written in a folder.

    Those of another run would be drawn as one line with them, unless this run resumes
    it, or `force` replaces them.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):  # can files be written there?
            taken = any(folder.glob(_PATTERN))
    except OSError as error:
        raise ConfigError(
            f"{folder}: event files cannot be written there: {error.strerror}; give "
            "another --tensorboard"
        ) from error
    if taken and not (resume or force):
        raise ConfigError(
            f"{folder}: already has the event files of a run; give another "
            "--tensorboard, or replace them with --force"
        )


class EventFiles:
    """Writes the validations of a run, which is this far, into a folder.

    characters_in tells how many characters a number of steps has. What the folder holds
    of later steps, because a run was killed after its last checkpoint or has diverged,
    is marked as void, and TensorBoard does not show it. With `replace`, the event files
    in the folder are removed first.
    """

    def __init__(
        self,
        folder: Path,
        progress: Progress,
        characters_in: Callable[[int], int],
        *,
        replace: bool = False,
    ) -> None:
        self._characters_in = characters_in
        self._step, self._seconds = progress.step, progress.seconds
        older = sorted(folder.glob(_PATTERN))
        for path in older if replace else ():
            path.unlink()
        # The number keeps files of the same second apart, and in their order. Without
        # resolve(), a folder called "s3:" would be one in the cloud.
        prefix, number = folder.resolve() / "events", len(older)
        self._writer = EventsWriter(str(prefix), f".{number:04}")
        if progress.step:
            self._void_after(progress.step - progress.steps_seen)

    def show(self, event: Event) -> None:
        """Write an event, if it is a validation or a rollback.

        Raises OSError if that fails.
        """
        if isinstance(event, Validation):
            summary = Summary()
            for tag, value in self._scalars(event).items():
                summary.value.add(tag=tag, simple_value=value)
            self._write(event.step, summary=summary)
            self._step, self._seconds = event.step, event.seconds
        elif isinstance(event, Rollback):
            self._void_after(event.to_step)
            self._step = event.to_step

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _scalars(self, event: Validation) -> dict[str, float]:
        """Return the values of a validation by their tags."""
        characters = self._characters_in(event.step) - self._characters_in(self._step)
        seconds = event.seconds - self._seconds
        found = {
            "loss/train": event.train_loss,
            "loss/validation": event.val_loss,
            "learning_rate": event.lr,
            "gradient/norm": event.grad_norm,
            "gradient/clipped": event.clipped,
            "characters_per_second": characters / seconds if seconds > 0 else None,
        }
        return {tag: value for tag, value in found.items() if value is not None}

    def _void_after(self, step: int) -> None:
        """Let TensorBoard forget what was written about later steps."""
        started = SessionLog(status=SessionLog.START)
        self._write(step + 1, session_log=started)

    def _write(self, step: int, **what: Any) -> None:
        self._writer.write_event(Record(step=step, wall_time=time(), **what))
        self._writer.flush()
