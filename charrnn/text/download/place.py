"""The place of a downloaded file: what is there, and how it gets there."""

import glob
import hashlib
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from charrnn.atomic import replacing
from charrnn.errors import DownloadError

try:
    import fcntl
except ImportError:  # Windows, which deletes no open file
    fcntl = None  # type: ignore[assignment]

_CHUNK = 1 << 16  # bytes


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise DownloadError(
            f"{path}: cannot be read: {error.strerror or error}"
        ) from error
    return digest.hexdigest()


def is_there(target: Path, sha256: str | None, force: bool) -> bool:
    """Return whether a file is there. Raises DownloadError if another is in the way."""
    if not _is_file(target):
        return False
    found = sha256_of(target)
    if found == sha256 or force:
        return found == sha256
    expected = f"a file with SHA-256 {sha256}" if sha256 else "no file"
    raise DownloadError(
        f"{target}: expected {expected}, got one with SHA-256 {found}; "
        "move it away, or replace it with --force"
    )


def _is_file(target: Path) -> bool:
    """Return whether a file is there, or nothing. Raises DownloadError otherwise."""
    try:
        mode = target.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DownloadError(f"{target}: cannot be read: {reason}") from error
    if not stat.S_ISREG(mode):
        raise DownloadError(
            f"{target}: expected a file or nothing, got a folder, pipe or device; "
            "name another place"
        )
    return True


@contextmanager
def writing(target: Path, size: int | None = None) -> Iterator[BinaryIO]:
    """Open a file that replaces `target` after the block, or is removed on an error.

    size is that of the file in bytes, if known. What killed downloads to `target` left
    is removed first. Raises DownloadError if the file cannot be written, or if the disk
    has no room for it.
    """
    _check_room(target, size or 0)
    _remove_abandoned(target)
    with replacing(target, DownloadError) as file:
        with suppress(OSError):  # a disk without locks
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file


def _check_room(target: Path, size: int) -> None:
    folder = next((each for each in target.parents if each.is_dir()), Path())
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    if size > free:
        raise DownloadError(
            f"{target}: has {size:,} bytes, and the disk has room for {free:,}; make "
            "room there, or name another folder"
        )


def _remove_abandoned(target: Path) -> None:
    """Delete the temporary files of downloads to `target` that were killed."""
    name = f".{glob.escape(target.name)}.{'[0-9a-f]' * 8}.part"
    for part in target.parent.glob(name):
        with suppress(OSError), part.open("r+b") as file:
            if fcntl:  # fails if a process holds it
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()
        if not fcntl:
            with suppress(OSError):
                part.unlink()
