"""Reading .npz files that are not trusted.

Nothing in a file is executed, and no memory is allocated for an array until its type
and shape are known to be the expected ones. A file can expand to at most _RATIO times
its size, so a small one cannot fill the memory.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from os import fstat
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np

from charrnn.errors import CheckpointError
from charrnn.nn.parameters import Array, Shape
from charrnn.shell import quote

DAMAGED = "the file is damaged or was edited; restore it from a backup"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_WIDTHS = (2, 4, 8)  # bytes of a float
# Deflate shrinks trained weights by a tenth, and JSON to a tenth.
_RATIO, _LEAST = 20, 1 << 20


class Archive:
    """An open archive, whose errors name its file."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, size: int) -> None:
        self._path, self._archive = path, archive
        self._members = {info.filename: info for info in archive.infolist()}
        self.budget = max(_LEAST, _RATIO * size)  # bytes that may still be read

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self._members

    def error(self, message: str) -> CheckpointError:
        """Return an error that names the file."""
        return CheckpointError(f"{self._path}: {message}")

    def floats(self, name: str, shape: Shape) -> Array:
        """Return a float array of this shape, of 16, 32 or 64 bits."""
        if name not in self:
            raise self.error(f"no member '{name}'; expected {shape}; {DAMAGED}")
        with self._open(name) as file:
            found, kind, order = self._read_header(name, file)
            if found != shape or kind.kind != "f" or kind.itemsize not in _WIDTHS:
                raise self.error(
                    f"'{name}' is {kind} {found}; expected {shape}; {DAMAGED}"
                )
            data = self._read_data(name, file, prod(shape) * kind.itemsize)
        return np.frombuffer(data, kind).reshape(shape, order=order)

    def raw(self, name: str, limit: int) -> bytes:
        """Return the bytes of a member that must be a uint8 vector."""
        with self._open(name) as file:
            found, kind, _ = self._read_header(name, file)
            if len(found) != 1 or kind != np.uint8 or not 0 <= found[0] <= limit:
                raise self.error(
                    f"'{name}' is {kind} {found}; expected up to {limit:,} bytes; "
                    f"{DAMAGED}"
                )
            return self._read_data(name, file, found[0])

    def _open(self, name: str) -> IO[bytes]:
        info = self._members[f"{name}.npy"]
        if info.compress_type not in _METHODS:
            raise self.error(
                f"'{name}' is compressed by method {info.compress_type}; expected a "
                "stored or deflated member"
            )
        return self._archive.open(info)

    def _read_header(
        self, name: str, file: IO[bytes]
    ) -> tuple[Shape, "np.dtype[Any]", Any]:
        """Read a member's shape, type and order (C or F)."""
        try:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("not the .npy version of plain arrays")
            found, is_fortran, kind = np.lib.format.read_array_header_1_0(file)
        except (
            *(ValueError, TypeError, AttributeError, SyntaxError, TokenError),
            *(RecursionError, MemoryError),  # if the header is deeply nested
        ):
            raise self.error(f"'{name}' is not an array; {DAMAGED}") from None
        return found, kind, "F" if is_fortran else "C"

    def _read_data(self, name: str, file: IO[bytes], size: int) -> bytes:
        """Read the rest of a member, which must be exactly this long."""
        self.budget -= size
        if self.budget < 0:
            raise self.error(
                f"'{name}' has {size:,} bytes, too many for a file of this size; "
                f"{DAMAGED}"
            )
        data = file.read(size)
        if len(data) != size or file.read(1):
            raise self.error(
                f"'{name}' does not have exactly {size:,} bytes; {DAMAGED}"
            )
        return data


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive. Raises CheckpointError, also for errors in the block."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            yield Archive(path, archive, fstat(file.fileno()).st_size)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such file; expected a checkpoint such as best.npz in a run's "
            "folder, which `charrnn train` writes"
        ) from None
    # ValueError: a name that is not UTF-8; RuntimeError: an encrypted member.
    except (
        *(zipfile.BadZipFile, zlib.error, struct.error),
        *(EOFError, ValueError, RuntimeError),
    ) as error:
        if path.suffix != ".npz":
            raise CheckpointError(
                f"{path}: not a checkpoint; expected best.npz or another file that "
                "training writes (to learn from a text, use `charrnn train "
                f"{quote(str(path))}`)"
            ) from error
        raise CheckpointError(
            f"{path}: not a readable .npz archive ({error}); expected a checkpoint "
            "that `charrnn train` wrote"
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
