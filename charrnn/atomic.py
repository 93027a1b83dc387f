"""Files that are written whole or not at all, and locks on folders."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from charrnn.errors import CharRNNError

LOCK = ".lock"


@contextmanager
def replacing(target: Path, raises: type[CharRNNError]) -> Iterator[BinaryIO]:
    """Open a file that becomes `target` after the block, or is removed on an error.

    The file is written beside its target, flushed to the disk and then renamed, so that
    there is never half a file under the name. Raises `raises` if it cannot be written.
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
    """Have a folder to oneself in the block; raise `refusal` if another process has it.

    The operating system holds the lock, on a file `.lock` there, and releases it when
    the process ends, even if it is killed. The file stays: if it were removed, two
    processes could each lock a different file of that name. A forked child does not
    inherit the lock. In a folder that is read-only, or on a disk without locks, there
    is no lock: all may enter.
    """
    if not folder.is_dir():  # left to what writes there: a lock would make the folder
        yield
        return
    from filelock import FileLock, Timeout

    # A generator that holds the lock may be closed by another thread. A soft lock would
    # outlive a killed process.
    lock = FileLock(folder / LOCK, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise refusal from None
    except OSError:  # read-only, or without locks
        pass
    try:
        yield
    finally:
        lock.release()
