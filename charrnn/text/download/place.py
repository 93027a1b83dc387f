"""The place of a downloaded file: what is there, and how it gets there."""

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from charrnn.atomic import free_space, replacing
from charrnn.errors import DownloadError

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

    size is that of the file in bytes, if known. Raises DownloadError if the file cannot
    be written, or if the disk has no room for it.
    """
    _check_room(target, size or 0)
    with replacing(target, DownloadError) as file:
        yield file


def _check_room(target: Path, size: int) -> None:
    free = free_space(target.parent)
    if free is not None and size > free:
        raise DownloadError(
            f"{target}: has {size:,} bytes, and the disk has room for {free:,}; make "
            "room there, or name another folder"
        )
