"""Reading .npz files that are not trusted.

Nothing in a file is executed, and no memory is allocated for an array until its type
and shape are known to be the expected ones. A file can expand to at most _RATIO times
its size, so a small one cannot fill the memory.
"""

import hashlib
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from charrnn.errors import CheckpointError
from charrnn.nn.parameters import Array, Shape
from charrnn.shell import quote
from charrnn.storage import zip_file

DAMAGED = "the file is damaged or was edited; restore it from a backup"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_FLOATS = [f"{order}f{width}" for order in ("<", ">", "=", "") for width in (2, 4, 8)]
# Deflate shrinks trained weights by a tenth, and JSON to a tenth.
_RATIO, _LEAST = 20, 1 << 20
_CHUNK = 1 << 17  # bytes read at a time
# The start of a .npy file of version 1.0, the length of its header, and the header as
# NumPy writes it. It is a Python literal, but nothing evaluates it here.
_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\s*\{\s*'descr':\s*'([^'\\]{1,20})',\s*'fortran_order':\s*(True|False),"
    rb"\s*'shape':\s*\(([0-9, ]*)\),?\s*\}\s*"
)
_DIGITS = 18  # of a size


def folder_of(name: str) -> str:
    """Return the folder of a member: optimizer/m of optimizer/m/output.b."""
    return name.rpartition("/")[0]


def digest_of(arrays: Iterable[Array]) -> str:
    """Return the SHA-256 of the contents of arrays, one after another."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class Archive:
    """An open archive, whose errors name its file.

    `digests` are the expected values of `digest_of` for the arrays of each folder, in
    the order of their names; None if they are unknown.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, size: int) -> None:
        self._path, self._archive = path, archive
        self._members = zip_file.members_of(archive)
        self.budget = max(_LEAST, _RATIO * size)  # bytes that may still be read
        self.digests: Mapping[str, Any] | None = None

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self._members

    def has(self, folder: str) -> bool:
        """Return whether a folder was saved, even if its members are damaged."""
        if self.digests is not None:
            return folder in self.digests
        return any(folder_of(name) == folder for name in self._members)

    def error(self, message: str) -> CheckpointError:
        """Return an error that names the file."""
        return CheckpointError(f"{self._path}: {message}")

    def check_room(self, folder: str, shapes: Iterable[tuple[str, Shape]]) -> None:
        """Raise unless a folder has these arrays, and room for them.

        This comes before memory is allocated for them. It takes as long as the folder
        has members, however many the shapes are.
        """
        members = self._members.items()
        sizes = [m.file_size for name, m in members if folder_of(name) == folder]
        left = min(sum(sizes), self.budget)
        for name, shape in shapes:
            if f"{folder}/{name}" not in self:
                raise self._missing(f"{folder}/{name}", shape)
            left -= 2 * prod(shape)  # a float has at least two bytes
            if left < 0:
                raise self.error(
                    f"'{folder}' is too small for '{name}' of {shape}; {DAMAGED}"
                )

    def _missing(self, name: str, shape: Shape) -> CheckpointError:
        return self.error(f"no member '{name}'; expected {shape}; {DAMAGED}")

    def floats(
        self, folder: str, shapes: Mapping[str, Shape]
    ) -> Iterator[tuple[str, Array]]:
        """Yield float arrays of these shapes, of 16, 32 or 64 bits, by name.

        Raises CheckpointError, after the last one, if they have another digest.
        """
        digest = hashlib.sha256()
        for name in sorted(shapes):
            array = self._floats(f"{folder}/{name}", shapes[name])
            if self.digests is not None:
                digest.update(np.ascontiguousarray(array).data)
            yield name, array
        if self.digests is not None and self.digests.get(folder) != digest.hexdigest():
            raise self.error(
                f"'{folder}' does not hold the arrays that were saved (their SHA-256 "
                f"differs); {DAMAGED}"
            )

    def _floats(self, name: str, shape: Shape) -> Array:
        if name not in self:
            raise self._missing(name, shape)
        with self._open(name) as file:
            found, kind, order = self._read_header(name, file)
            if found != shape or kind not in _FLOATS:
                raise self.error(
                    f"'{name}' is {kind!r} {found}; expected floats {shape}; {DAMAGED}"
                )
            data = self._read_data(name, file, prod(shape) * int(kind[-1]))
        return data.view(kind).reshape(shape, order=order)

    def raw(self, name: str, limit: int) -> bytes:
        """Return the bytes of a member that must be a uint8 vector."""
        with self._open(name) as file:
            found, kind, _ = self._read_header(name, file)
            if len(found) != 1 or kind not in ("|u1", "u1") or found[0] > limit:
                raise self.error(
                    f"'{name}' is {kind!r} {found}; expected up to {limit:,} bytes; "
                    f"{DAMAGED}"
                )
            return self._read_data(name, file, found[0]).tobytes()

    def _open(self, name: str) -> IO[bytes]:
        info = self._members[f"{name}.npy"]
        if info.compress_type not in _METHODS:
            raise self.error(
                f"'{name}' is compressed by method {info.compress_type}; expected a "
                "stored or deflated member"
            )
        return self._archive.open(info)

    def _read_header(self, name: str, file: IO[bytes]) -> tuple[Shape, str, Any]:
        """Read a member's shape, type and order (C or F)."""
        is_known = file.read(len(_MAGIC)) == _MAGIC
        length = int.from_bytes(file.read(2), "little")
        match = _HEADER.fullmatch(file.read(length)) if is_known else None
        sizes = [*map(bytes.strip, match[3].split(b","))] if match else []
        if sizes and not sizes[-1]:  # after the last comma, or in ()
            sizes.pop()
        if not match or not all(s.isdigit() and len(s) <= _DIGITS for s in sizes):
            raise self.error(f"'{name}' is not an array; {DAMAGED}")
        kind = match[1].decode("latin-1")
        return tuple(map(int, sizes)), kind, "F" if match[2] == b"True" else "C"

    def _read_data(self, name: str, file: IO[bytes], size: int) -> Array:
        """Read the rest of a member, which must be exactly this long."""
        self.budget -= size
        if self.budget < 0:
            raise self.error(
                f"'{name}' has {size:,} bytes, too many for a file of this size; "
                f"{DAMAGED}"
            )
        data, end = np.empty(size, np.uint8), 0
        # A single `read` of a deflated member copies what it has again and again.
        while chunk := file.read(min(_CHUNK, size - end)):
            data[end : end + len(chunk)] = np.frombuffer(chunk, np.uint8)
            end += len(chunk)
        if end != size or file.read(1):
            raise self.error(
                f"'{name}' does not have exactly {size:,} bytes; {DAMAGED}"
            )
        return data


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive. Raises CheckpointError, also for errors in the block."""
    try:
        with zip_file.open_zip(path) as archive:
            yield Archive(path, archive, path.stat().st_size)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such file; expected a checkpoint such as best.npz in a run's "
            "folder, which `charrnn train` writes"
        ) from None
    except zip_file.ERRORS as error:
        if path.suffix != ".npz":
            raise CheckpointError(
                f"{path}: not a checkpoint; expected best.npz or another file that "
                "training writes (to learn from a text, use `charrnn train "
                f"{quote(str(path))}`)"
            ) from error
        raise CheckpointError(
            f"{path}: not a readable .npz archive ({error!s:.200}); expected a "
            "checkpoint that `charrnn train` wrote"
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
