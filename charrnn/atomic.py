"""Files written completely or not at all, and locks on folders."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from charrnn.errors import CharRNNError

LOCK = ".lock"


@contextmanager
def replacing(target: Path, raises: type[CharRNNError]) -> Iterator[BinaryIO]:
    """Open a file that replaces `target` after the block, or is removed on an error.

    The file is written beside its target, flushed to the disk and then renamed, so that
    `target` is never half written. Raises `raises` if it cannot be written.
    """
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        kept = (
            "what was there is untouched"
            if target.exists()
            else "nothing was left behind"
        )
        raise raises(
            f"{target}: cannot be written ({error.strerror or error}), and {kept}; "
            "make room there, or name another folder"
        ) from error


@contextmanager
def locked(folder: Path, refusal: CharRNNError) -> Iterator[None]:
    """Lock a folder during the block; raise `refusal` if another process has locked it.

    The operating system holds the lock, on a file `.lock` in the folder, and releases
    it when the process ends, even if it is killed. The file stays: if it were removed,
    two processes could each lock a different file of that name. A forked child does not
    inherit the lock. If the folder is read-only, or its disk does not support locks,
    the block runs without a lock.
    """
    if not folder.is_dir():  # locking would create it; that is up to the block
        yield
        return
    with locked_by(folder / LOCK, refusal):
        yield


@contextmanager
def locked_by(file: Path, refusal: CharRNNError) -> Iterator[None]:
    """Lock a file, which is created if necessary, during the block; see `locked`."""
    from filelock import FileLock, Timeout

    # A generator that holds the lock may be closed by another thread. A soft lock would
    # outlive a killed process.
    lock = FileLock(file, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise refusal from None
    except OSError:  # a read-only folder, or a disk without locks
        pass
    try:
        yield
    finally:
        lock.release()


def free_space(place: Path) -> int | None:
    """Return the free bytes of the disk that a place is on, or None if unknown.

    The place need not exist.
    """
    try:
        folder = next(each for each in (place, *place.parents) if each.is_dir())
        return shutil.disk_usage(folder).free
    except (OSError, StopIteration):
        return None
