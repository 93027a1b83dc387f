"""Run folders: their files, lock and history, and how a folder is found.

best.npz        the weights of the lowest validation loss
last.npz        the newest weights and everything that resuming needs
history.jsonl   one line per validation or rollback
"""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from itertools import count
from math import inf, isfinite
from pathlib import Path
from typing import Any

from charrnn.atomic import locked, replacing
from charrnn.errors import CheckpointError
from charrnn.nn.parameters import Array
from charrnn.storage.checkpoint import Checkpoint, load
from charrnn.training.events import Rollback, Validation
from charrnn.training.state import Progress, Snapshot

BEST, LAST, HISTORY = "best.npz", "last.npz", "history.jsonl"
CHECKPOINTS = Path("checkpoints")  # where runs are by default
# The trained model that comes with the package. Its stem is its name.
PRETRAINED = Path(__file__).parents[1] / "pretrained" / "shakespeare.npz"


def holds_run(folder: Path) -> bool:
    """Return whether a folder holds a file that a run writes."""
    return any((folder / name).exists() for name in (BEST, LAST, HISTORY))


def check_folder(folder: Path, *, force: bool = False) -> None:
    """Raise CheckpointError if a folder already holds a run, unless `force`."""
    if holds_run(folder) and not force:
        raise CheckpointError(
            f"{folder}: already holds a run; continue it with --resume "
            "(charrnn.resume), give another --out, or replace it with --force "
            "(force=True)"
        )


def make_folder(folder: Path, *, force: bool = False) -> Path:
    """Create the folder of a new run, and return it.

    Raises CheckpointError if it already holds a run. With `force`, that run's files are
    removed, and no others.
    """
    check_folder(folder, force=force)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock(folder):
            for name in (BEST, LAST, HISTORY):
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_make(folder, error.strerror) from error
    return folder


def new_folder(name: str, root: Path = CHECKPOINTS) -> Path:
    """Create a new folder in `root`: name, name-2, name-3 and so on."""
    for number in count(1):
        folder = root / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            if not root.is_dir():
                raise _cannot_make(folder, "there is a file in the way") from None
        except OSError as error:
            raise _cannot_make(folder, error.strerror) from error
    return folder


def _cannot_make(folder: Path, why: str | None) -> CheckpointError:
    return CheckpointError(f"{folder}: cannot be created: {why}; give another --out")


def lock(folder: Path) -> AbstractContextManager[None]:
    """Lock a folder for the `with` block, against other training processes.

    Raises CheckpointError if another one has locked it.
    """
    refusal = CheckpointError(
        f"{folder}: another charrnn is training there; wait for it, or give another "
        "--out"
    )
    return locked(folder, refusal)


def newest_run(root: Path = CHECKPOINTS) -> Path:
    """Return the folder of the run that was saved last.

    Raises CheckpointError if there is no run that can be resumed.
    """
    folder = _newest(root, (LAST,))
    if folder is None:
        raise CheckpointError(
            f"no run to resume in {root}/; start one with `charrnn train`, or name its "
            "folder with --out"
        )
    return folder


def _newest(root: Path, names: Sequence[str] = (BEST, LAST)) -> Path | None:
    files = [file for name in names for file in root.glob(f"*/{name}")]
    return max(files, key=_saved_at).parent if files else None


def _saved_at(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:  # removed since it was listed
        return 0


def find_checkpoint(path: str | Path | None = None) -> Path:
    """Return the checkpoint that a path stands for: a file, or the best in a folder.

    Without a path, it is the newest run's or, if there is no run, the model that comes
    with the package. Unless there is a file or folder of that name, the name of a run
    in checkpoints/ stands for that run, and "shakespeare" for the packaged model.
    """
    path = Path(path) if path else _newest(CHECKPOINTS) or PRETRAINED
    if len(path.parts) == 1 and not path.exists():
        if holds_run(CHECKPOINTS / path):
            path = CHECKPOINTS / path
        elif path.name == PRETRAINED.stem:
            return PRETRAINED
    if not path.is_dir():
        return path
    for name in (BEST, LAST):
        if (path / name).exists():
            return path / name
    raise CheckpointError(
        f"{path}: no checkpoint in this folder; expected {BEST} or {LAST}"
    )


def load_last(folder: Path) -> Checkpoint:
    """Return the checkpoint that a folder's run is resumed from."""
    if not (folder / LAST).exists():
        raise CheckpointError(
            f"{folder}: no run to resume here; expected a folder with {LAST}, which "
            "`charrnn train` writes"
        )
    return load(folder / LAST, snapshot=True)


def last_saved(folder: Path) -> int:
    """Return when a folder's last checkpoint was written, in ns; 0 if there is none."""
    return _saved_at(folder / LAST)


def with_best_weights(snapshot: Snapshot, folder: Path) -> tuple[Snapshot, list[str]]:
    """Return a snapshot with its best weights, and notes for the user.

    Checkpoints of older versions do not hold these weights; they are then read from
    best.npz. If that is missing or from another run, the search for the best starts
    over.
    """
    if snapshot.best is not None:
        return snapshot, []
    progress, path = snapshot.progress, folder / BEST
    newest = snapshot.moments.get("average", snapshot.params)
    if not isfinite(progress.best_loss):  # nothing was validated yet
        return replace(snapshot, best=newest), []
    if _is_best(path, progress):
        best = weights_in(path)
        if best is not None and best.shape == newest.shape:
            return replace(snapshot, best=best), []
    good = snapshot.last_good
    if good:
        good = replace(good, progress=_without_best(good.progress))
    progress = _without_best(progress)
    snapshot = replace(snapshot, progress=progress, best=newest, last_good=good)
    return snapshot, [
        f"{path} is missing or comes from another run, and {LAST}, which an older "
        "charrnn wrote, does not hold the best weights; the search for the best starts "
        "over"
    ]


def _is_best(path: Path, progress: Progress) -> bool:
    """Return whether a checkpoint was saved at the best validation so far."""
    try:
        history = load(path).history
    except CheckpointError:
        return False
    if not history:
        return False
    step, _, val_loss = history[-1]
    return (step, val_loss) == (progress.best_step, progress.best_loss)


def weights_in(path: Path) -> Array | None:
    """Return the weights in a checkpoint, flat; None if it cannot be read."""
    try:
        return load(path).model.params.flat
    except CheckpointError:
        return None


def _without_best(progress: Progress) -> Progress:
    return replace(progress, best_loss=inf, best_step=0, since_best=0)


def append_history(folder: Path, event: Validation | Rollback) -> None:
    """Add a line to a folder's history."""
    line = {"event": type(event).__name__.lower()} | asdict(event)
    if isinstance(event, Rollback) and not isfinite(event.loss):
        line["loss"] = None  # JSON has no NaN
    try:
        with (folder / HISTORY).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
    except OSError as error:
        raise CheckpointError(
            f"{folder / HISTORY}: cannot be written: {error.strerror}; the last "
            "checkpoints are untouched"
        ) from error


def truncate_history(folder: Path, progress: Progress) -> None:
    """Drop what a killed run logged after its last checkpoint; it is repeated."""
    lines = _history_lines(folder)
    kept = [line for line in lines if _is_before(line, progress)]
    if len(kept) < len(lines):
        with replacing(folder / HISTORY, CheckpointError) as file:
            file.write("".join(line + "\n" for line in kept).encode())


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Return a folder's validations and rollbacks, oldest first.

    Each is a dict of the event's fields, with its kind under "event". A line that a
    killed run left incomplete is skipped.
    """
    events = map(_event, _history_lines(folder))
    return [event for event in events if event is not None]


def _history_lines(folder: Path) -> list[str]:
    try:
        text = (folder / HISTORY).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(
            f"{folder / HISTORY}: cannot be read: {error.strerror}"
        ) from error
    return text.splitlines()


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _is_before(line: str, progress: Progress) -> bool:
    """Return whether a line of the history was logged before a checkpoint was saved."""
    event = _event(line) or {}
    try:
        if event["event"] == "rollback":  # its step is the one that it went back from
            return bool(event["number"] <= progress.rollbacks)
        return bool(event["step"] <= progress.step - progress.steps_seen)
    except (KeyError, TypeError):
        return False
