"""Files written whole or not at all, in folders that one process has to itself."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from charrnn.errors import CharRNNError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def replacing(target: Path, raises: type[CharRNNError]) -> Iterator[BinaryIO]:
    """Open a file that becomes `target` when all has gone well, and else vanishes.

    It stands beside its target, is flushed to the disk and then renamed, so that at no
    moment there is half a file under the name. Raises `raises` where it cannot be
    written.
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
def claimed(folder: Path, refusal: CharRNNError) -> Iterator[None]:
    """Have a folder to oneself in the block; raise `refusal` where another has it.

    The lock is the system's, on the folder itself: it leaves no file behind, and a
    killed process gives it up. Where the system or the disk has none, all may enter.
    """
    if fcntl is None:
        yield
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # as whoever writes there will say
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise refusal from None
        except OSError:  # a disk without locks
            pass
        yield
    finally:
        os.close(descriptor)
