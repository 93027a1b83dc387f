"""Files written completely or not at all, and locks on folders."""

import errno
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep, time
from typing import BinaryIO

from charrnn.errors import CharRNNError

LOCK = ".lock"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Windows refuses to replace a file that a reader or a virus scanner has open. These are
# the seconds between attempts.
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8) if sys.platform == "win32" else ()
_ABANDONED = 60.0  # seconds after which a file that nobody has open is abandoned
# Seconds to wait for a lock. `is_locked` holds one for an instant.
_PATIENCE, _POLL = 0.2, 0.02


@contextmanager
def replacing(target: Path, raises: type[CharRNNError]) -> Iterator[BinaryIO]:
    """Open a file that replaces `target` after the block, or is removed on an error.

    The file is written beside its target, flushed to the disk and then renamed, so that
    `target` is never half written. It gets the permissions of the file that it
    replaces. If `target` is a link, the link stays, and the file that it points to is
    replaced. Temporary files of killed processes are removed. Raises `raises` if the
    file cannot be written.
    """
    try:
        place = Path(os.path.realpath(target)) if target.is_symlink() else target
        mode = _mode_of(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(place)
        while True:
            part = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
            try:
                with part.open("xb") as file:
                    if not _is_own(file):
                        continue
                    # Some disks have no permissions, and refuse to set them.
                    if mode is not None and mode != _mode_of(part):
                        part.chmod(mode)
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                    if sys.platform != "win32":  # its lock is kept until it is renamed
                        part.replace(place)
                if sys.platform == "win32":  # which renames no open file
                    _rename(part, place)
                break
            finally:  # Ctrl-C may come as soon as the file is there
                part.unlink(missing_ok=True)
        _sync_folder(place.parent)
    except OSError as error:
        kept = (
            "what was there is untouched"
            if os.path.exists(target)  # noqa: PTH110 - False if it cannot be seen
            else "nothing was left behind"
        )
        advice = (
            "make room there"
            if error.errno in _FULL
            else "make it writable, or name another folder"
        )
        raise raises(
            f"{target}: cannot be written ({error.strerror or error}), and {kept}; "
            f"{advice}"
        ) from error


def remove_abandoned(target: Path) -> None:
    """Remove the temporary files that killed processes left beside a target.

    A process that writes one has locked it, so the others are abandoned. They stay if
    the disk does not support locks.
    """
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.part")
    with suppress(OSError):
        for name in os.listdir(target.parent):  # noqa: PTH208 - names are enough
            if pattern.fullmatch(name):
                _remove_if_abandoned(target.with_name(name))


def _remove_if_abandoned(part: Path) -> None:
    with suppress(OSError):  # Windows removes no file that is open
        if sys.platform == "win32":
            if time() - part.stat().st_mtime > _ABANDONED:
                part.unlink()
            return
        with part.open("r+b") as file:  # over NFS, only such a file can be locked
            if _lock_open(file):
                part.unlink()


def _mode_of(place: Path) -> int | None:
    """Return the permissions of a file that is to be replaced; None if it is new.

    Raises OSError if it is something else, such as a device or a folder.
    """
    try:
        found = place.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "there is something that is no regular file")
    return stat.S_IMODE(found.st_mode)


def _is_own(file: BinaryIO) -> bool:
    """Lock a new file; False if another process took it for abandoned before that.

    Such a process holds the lock until it has removed the file.
    """
    return _lock_open(file) is not False and os.fstat(file.fileno()).st_nlink > 0


def _lock_open(file: BinaryIO) -> bool | None:
    """Lock an open file until it is closed, and return whether that was possible.

    Returns None if the system or the disk does not support locks.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # another process has locked it
        return False
    except OSError:
        return None
    return True


def _rename(part: Path, place: Path) -> None:
    """Rename a closed file, and try again while another process has its target open."""
    for pause in _PAUSES:
        try:
            part.replace(place)
            return
        except PermissionError:
            sleep(pause)
    part.replace(place)


def _sync_folder(folder: Path) -> None:
    """Flush a rename to the disk, if the system can do that."""
    with suppress(OSError):  # Windows opens no folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Lock:
    """A lock on a file, which is created if necessary.

    The operating system holds it until `release`, or until the process ends, even if it
    is killed. The file stays: if it were removed, two processes could each lock a
    different file of that name. A forked child does not inherit the lock.

    If the file cannot be opened, or its disk does not support locks, `trouble` is the
    reason, and nothing is locked.
    """

    def __init__(self, file: Path, refusal: CharRNNError) -> None:
        """Lock a file; raise `refusal` if another process has locked it."""
        from filelock import FileLock

        self.trouble: OSError | None = None
        self._file, self._refusal = file, refusal
        self._locked: tuple[int, int] | None = None  # which file, if any
        # A generator that holds the lock may be closed by another thread. A soft lock
        # would outlive a killed process.
        self._lock = FileLock(file, thread_local=False, fallback_to_soft=False)
        self.acquire()

    def acquire(self) -> None:
        """Lock the file again, after `release` or if it is not held any more."""
        from filelock import Timeout

        self.release()
        self.trouble = None
        try:
            self._lock.acquire(timeout=_PATIENCE, poll_interval=_POLL)
            self._locked = self._identity()
        except Timeout:
            raise self._refusal from None
        except OSError as error:
            self.trouble = error

    def release(self) -> None:
        """Release the lock, if it is held."""
        self._locked = None
        self._lock.release()

    @property
    def is_held(self) -> bool:
        """Whether nobody else can lock the file.

        Somebody can if it was deleted, or its folder was.
        """
        return self._locked is not None and self._locked == self._identity()

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def is_locked(file: Path) -> bool:
    """Return whether a process has locked a file; False if there is no such file."""
    from filelock import FileLock, Timeout

    if not file.exists():  # locking would create it
        return False
    try:
        with FileLock(file, blocking=False, fallback_to_soft=False):
            return False
    except Timeout:
        return True
    except OSError:
        return False


@contextmanager
def locked(folder: Path, refusal: CharRNNError) -> Iterator[None]:
    """Lock a folder during the block; raise `refusal` if another process has locked it.

    The lock is on a file `.lock` in the folder; see `Lock`. If the folder is read-only,
    or its disk does not support locks, the block runs without a lock.
    """
    if not folder.is_dir():  # locking would create it; that is up to the block
        yield
        return
    with locked_by(folder / LOCK, refusal):
        yield


@contextmanager
def locked_by(file: Path, refusal: CharRNNError) -> Iterator[Lock]:
    """Lock a file, which is created if necessary, during the block; see `Lock`."""
    lock = Lock(file, refusal)
    try:
        yield lock
    finally:
        lock.release()


def free_space(place: Path) -> int | None:
    """Return the free bytes of the disk that a place is on, or None if unknown.

    The place need not exist.
    """
    try:
        above = (place, *place.absolute().parents)
        disk = shutil.disk_usage(next(each for each in above if each.is_dir()))
    except (OSError, StopIteration):
        return None
    return disk.free if disk.total else None  # some file systems do not know
