"""Saving a model as a checkpoint, and exporting its weights for PyTorch."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from charrnn.errors import CheckpointError, ConfigError
from charrnn.storage import checkpoint as checkpoints
from charrnn.storage.checkpoint import Checkpoint
from charrnn.storage.run_folder import BEST, FILES, HISTORY, LAST, holds_run, lock
from charrnn.storage.torch_weights import FORMATS, SUFFIXES, export_weights
from charrnn.text.sources import PathLike

_FORMAT_OF = {suffix: kind for kind, suffix in SUFFIXES.items()} | {".pth": "torch"}


def save(checkpoint: Checkpoint, path: PathLike, *, force: bool = False) -> Path:
    """Write a checkpoint to a .npz file or a folder; see `LanguageModel.save`."""
    path = Path(path)
    check_free(path, force=force)
    if _is_single(path):
        with _unused(path):
            checkpoints.save(checkpoint, path)
        return path
    with lock(path):
        check_free(path, force=force)  # another process may have been faster
        checkpoints.save(checkpoint, path / BEST)
        for name in (LAST, HISTORY):  # of the run that was replaced
            (path / name).unlink(missing_ok=True)
    return path / BEST


def check_free(path: Path, *, force: bool = False) -> None:
    """Raise unless a model can be saved at `path` without replacing anything."""
    if path.suffix in _FORMAT_OF and not path.is_dir():
        raise ConfigError(
            f"{path}: expected a file that ends in .npz, or a folder; "
            "export() writes weights for PyTorch"
        )
    if _is_single(path):
        _refuse_existing(path, force)
    elif holds_run(path) and not force:
        raise CheckpointError(f"{path}: already holds a run; {_INSTEAD}")


def _is_single(path: Path) -> bool:
    """Return whether a path stands for a file, not a folder."""
    return path.suffix == ".npz" and not path.is_dir()


def export(
    checkpoint: Checkpoint,
    path: PathLike,
    kind: str | None = None,
    *,
    force: bool = False,
) -> Path:
    """Write the weights for PyTorch; see `LanguageModel.export`."""
    path = Path(path)
    kind = kind or format_of(path)
    if kind not in FORMATS:
        raise ConfigError(
            f"{path}: cannot tell the format from the name; expected a name that ends "
            f"in {' or '.join(SUFFIXES.values())}, or format="
            f"{' or '.join(map(repr, FORMATS))}"
        )
    _refuse_existing(path, force)
    with _unused(path):
        export_weights(checkpoint, path, kind)
    return path


def _unused(path: Path) -> AbstractContextManager[None]:
    """Lock the folder of a file that a training process may write."""
    return lock(path.parent) if path.name in FILES else nullcontext()


def format_of(path: Path) -> str | None:
    """Return the format that belongs to the suffix of a path, if there is one."""
    return _FORMAT_OF.get(path.suffix)


_INSTEAD = "give another name, or replace it with --force (force=True)"


def _refuse_existing(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise CheckpointError(f"{path}: already exists; {_INSTEAD}")
