"""Run folders: their files, lock and history, and how a folder is found.

best.npz        the weights of the lowest validation loss
last.npz        the newest weights and everything that resuming needs
history.jsonl   one line per validation or rollback, and one for each scoreboard
"""

import errno
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from itertools import count
from math import inf, isfinite
from pathlib import Path
from typing import Any, BinaryIO

from charrnn.atomic import (
    LOCK,
    Lock,
    free_space,
    locked,
    remove_abandoned,
    replacing,
)
from charrnn.errors import CheckpointError
from charrnn.evaluation.scoreboard import Scoreboard
from charrnn.nn.parameters import Array
from charrnn.option import is_number
from charrnn.storage.checkpoint import Checkpoint, load
from charrnn.training.events import Rollback, Validation
from charrnn.training.state import Progress, Snapshot

BEST, LAST, HISTORY = "best.npz", "last.npz", "history.jsonl"
FILES = (BEST, LAST, HISTORY)
CHECKPOINTS = Path("checkpoints")  # where runs are by default
_EXPECTED = (
    f"expected a checkpoint such as {BEST}, a run's folder, or the name of a run in "
    f"{CHECKPOINTS}/, which `charrnn train` writes"
)
_LONGEST_LINE = 1 << 16  # bytes of a history's line
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
# The trained model that comes with the package. Its stem is its name.
PRETRAINED = Path(__file__).parents[1] / "pretrained" / "shakespeare.npz"


def holds_run(folder: Path) -> bool:
    """Return whether a folder holds a file that a run writes."""
    return any(_exists(folder / name) for name in FILES)


def _exists(path: Path) -> bool:
    """Return whether a file is there and may be seen."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists() may raise OSError


def check_folder(folder: Path, *, force: bool = False) -> None:
    """Raise CheckpointError if a run cannot be kept in a folder.

    It may be in use, hold a run and not `force`, or be where nothing can be written.
    """
    check_writable(folder)
    if _exists(folder / LOCK):
        with lock(folder):
            pass
    _refuse_run(folder, force)


def check_writable(folder: Path) -> None:
    """Raise CheckpointError if nothing can be written in a folder, new or not."""
    above = next(filter(_exists, (folder, *folder.absolute().parents)))
    effective = os.access in os.supports_effective_ids
    if not above.is_dir():
        raise _cannot_make(folder, f"{above} is a file")
    if not os.access(above, os.W_OK | os.X_OK, effective_ids=effective):
        raise CheckpointError(
            f"{folder}: cannot be written; make {above} writable, or give another --out"
        )


def _refuse_run(folder: Path, force: bool) -> None:
    if holds_run(folder) and not force:
        raise CheckpointError(
            f"{folder}: already holds a run; continue it with --resume "
            "(charrnn.resume), give another --out, or replace it with --force "
            "(force=True)"
        )


def make_folder(folder: Path, *, force: bool = False) -> Lock:
    """Create the folder of a new run, and return the lock on it.

    Raises CheckpointError if it already holds a run. With `force`, that run's files are
    removed, and no others.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with holding(folder) as held:
            _refuse_run(folder, force)
            for name in FILES if force else ():
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_make(folder, error.strerror) from error
    return held


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
    return locked(folder, _in_use(folder))


@contextmanager
def holding(folder: Path) -> Iterator[Lock]:
    """Lock a folder until the lock is released, or until an error in the block.

    What killed processes left there is removed. Raises CheckpointError if another
    process has locked the folder, or if it cannot be written.
    """
    held = Lock(folder / LOCK, _in_use(folder))
    try:
        if held.trouble and held.trouble.errno in _NOT_WRITABLE:
            raise CheckpointError(
                f"{folder}: cannot be written: {held.trouble.strerror}; make it "
                "writable, or give another --out"
            )
        for name in FILES:
            remove_abandoned(folder / name)
        yield held
    except BaseException:
        held.release()
        raise


def _in_use(folder: Path) -> CheckpointError:
    return CheckpointError(
        f"{folder}: another charrnn is training there; wait for it, or give another "
        "--out"
    )


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
    try:
        folders = [*root.iterdir()]
    except OSError:
        return None
    saved = {
        folder: max(saved_at(folder / name) for name in names) for folder in folders
    }
    newest = max(saved, key=saved.__getitem__, default=None)
    return newest if newest and saved[newest] else None


def saved_at(file: Path) -> int:
    """Return when a file was written, in ns; 0 if it is missing."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def find_run(path: str | Path | None = None) -> Path:
    """Return the folder or the file that a path stands for.

    Without a path, it is the newest run's folder or, if there is no run, the model that
    comes with the package. Unless there is a file or folder of that name, the name of a
    run in checkpoints/ stands for that run, and "shakespeare" for the packaged model.
    Raises CheckpointError if a name stands for nothing.
    """
    path = Path(path) if path else _newest(CHECKPOINTS) or PRETRAINED
    if len(path.parts) != 1 or _exists(path):
        return path
    if holds_run(CHECKPOINTS / path):
        return CHECKPOINTS / path
    if path.name == PRETRAINED.stem:
        return PRETRAINED
    near = similar_run(path.name)
    advice = f"did you mean {near}?" if near else _EXPECTED
    raise CheckpointError(f"{path}: no such file or run; {advice}")


def similar_run(name: str) -> str:
    """Return the name of a run that is similar to this one, or "" if there is none."""
    from difflib import get_close_matches  # only for errors

    runs = [PRETRAINED.stem]
    with suppress(OSError):
        runs += [each.name for each in CHECKPOINTS.iterdir() if holds_run(each)]
    return next(iter(get_close_matches(name, runs, 1)), "")


def find_checkpoint(path: str | Path | None = None) -> Path:
    """Return the checkpoint that a path stands for: a file, or the best in a folder.

    What a path stands for, and the default, are those of `find_run`.
    """
    path = find_run(path)
    if not os.path.isdir(path):  # noqa: PTH112 - as in `_exists`
        return path
    for name in (BEST, LAST):
        if _exists(path / name):
            return path / name
    raise CheckpointError(
        f"{path}: no checkpoint in this folder; expected {BEST} or {LAST}"
    )


def check_resumable(folder: Path) -> None:
    """Raise CheckpointError if a folder holds nothing to resume from."""
    if not _exists(folder / LAST):
        raise CheckpointError(
            f"{folder}: no run to resume here; expected a folder with {LAST}, which "
            "`charrnn train` writes"
        )


def load_last(folder: Path) -> Checkpoint:
    """Return the checkpoint that a folder's run is resumed from."""
    check_resumable(folder)
    return load(folder / LAST, snapshot=True)


def last_saved(folder: Path) -> int:
    """Return when a folder's last checkpoint was written, in ns; 0 if there is none."""
    return saved_at(folder / LAST)


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


def check_room(folder: Path, best: int, last: int, advice: str) -> str:
    """Look at the free space before a run, whose checkpoints have these sizes in bytes.

    Returns a note if it may be too small while one file replaces another, or "". Raises
    CheckpointError, with the advice, if the checkpoints do not fit at all.
    """
    free = free_space(folder)
    if free is None:
        return ""
    older = sum(_size(folder / name) for name in FILES)  # they are replaced
    sizes = f"{_mb(best + last)} ({BEST} {_mb(best)}, {LAST} up to {_mb(last)})"
    if free + older < best + last:
        raise CheckpointError(
            f"{folder}: only {_mb(free + older)} can be used on that disk, and "
            f"this run saves {sizes}; {advice}"
        )
    if free + older < best + 2 * last:
        return (
            f"{_mb(free)} are free on the disk of {folder}, and this run saves "
            f"{sizes}; while {LAST} is replaced, it is there twice, so make room"
        )
    return ""


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def append_history(folder: Path, event: Validation | Rollback) -> None:
    """Add a line to a folder's history, whole or not at all."""
    line = {"event": type(event).__name__.lower()} | asdict(event)
    if isinstance(event, Rollback) and not isfinite(event.loss):
        line["loss"] = None  # JSON has no NaN
    _append(folder / HISTORY, line)


def append_scoreboard(folder: Path, step: int, board: Scoreboard) -> None:
    """Add the scoreboard of a run that has ended at `step` to its history.

    Raises CheckpointError if that fails, or if another process trains there by now.
    """
    with lock(folder):
        line = {"event": "scoreboard", "step": step} | asdict(board)
        _append(folder / HISTORY, line)


def _append(path: Path, line: dict[str, Any]) -> None:
    before = _size(path)
    try:
        with path.open("a+b") as file:
            text = json.dumps(line, allow_nan=False) + "\n"
            file.write(_line_end(file) + text.encode())
    except OSError as error:
        with suppress(OSError):
            os.truncate(path, before)
        raise CheckpointError(
            f"{path}: cannot be written: {error.strerror}; the last checkpoints are "
            "untouched"
        ) from error


def _line_end(file: BinaryIO) -> bytes:
    """Return what an open file needs before a new line: a line end, or nothing."""
    if not file.seek(0, os.SEEK_END):
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"


def sync_history(folder: Path) -> None:
    """Flush a folder's history to the disk, if there is one."""
    with suppress(OSError), (folder / HISTORY).open("r+b") as file:
        os.fsync(file.fileno())


def truncate_history(folder: Path, progress: Progress) -> None:
    """Drop what a killed run logged after its last checkpoint; it is repeated."""
    text = _history_text(folder)
    kept = "".join(line + "\n" for line in _before(text.splitlines(), progress))
    if kept != text:
        with replacing(folder / HISTORY, CheckpointError) as file:
            file.write(kept.encode())


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Return a folder's validations, rollbacks and scoreboards, oldest first.

    Each is a dict of the event's fields, with its kind under "event". A line that a
    killed run left incomplete is skipped.
    """
    return [event for event in history_events(folder / HISTORY) if event is not None]


def history_events(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield the event in each line of a history, or None if it cannot be read.

    A history that does not exist has no lines. One from somebody else may hold anything
    else in these dicts, and lines of any length, which are read in pieces.
    """
    try:
        with path.open("rb") as file:
            for line in iter(partial(file.readline, _LONGEST_LINE), b""):
                yield _event(line.decode(errors="replace"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unreadable(path, error) from error


def _history_text(folder: Path) -> str:
    try:
        return (folder / HISTORY).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _unreadable(folder / HISTORY, error) from error


def _unreadable(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(f"{path}: cannot be read: {error.strerror}")


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _before(lines: Iterable[str], progress: Progress) -> list[str]:
    """Return the lines of a history that were logged before a checkpoint was saved.

    A rollback goes back to an earlier step, so the steps that count are those after the
    last rollback before the checkpoint.
    """
    settled: list[str] = []  # up to that rollback
    since: list[tuple[float, str]] = []  # with their steps
    for line in lines:
        event = _event(line) or {}
        is_rollback = event.get("event") == "rollback"
        count: Any = event.get("number" if is_rollback else "step")
        if not is_number(count):
            continue
        if not is_rollback:
            since.append((count, line))
        elif count > progress.rollbacks:
            break
        else:
            settled += [*(earlier for _, earlier in since), line]
            since = []
    # A validation that was given up is made again.
    validated = progress.step - progress.steps_seen
    return settled + [line for step, line in since if step <= validated]
