"""Ids that arrive one array after another: in memory and, if many, in a file."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from charrnn.atomic import free_space
from charrnn.nn.parameters import Array
from charrnn.text import cache
from charrnn.text.ids import map_ids, release_memory

LIMIT = 1 << 26  # bytes kept in memory
_BLOCK = 1 << 22  # ids written at a time


class Spool:
    """Collects arrays of ids. Beyond LIMIT bytes they are written to the cache.

    If the cache cannot be written, they stay in memory, and `trouble` tells why.
    """

    def __init__(self) -> None:
        self.trouble = ""
        self.share = 0.0  # how much of the text has been read, 0 if unknown
        self._size = 0  # bytes
        self._arrays: list[Array] = []  # in memory
        self._part: Path | None = None  # the folder of the file, if there is one
        self._file: _IdFile | None = None
        self._stack = ExitStack()  # deletes the part

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._discard()

    @property
    def in_file(self) -> bool:
        """Whether the ids are in a file."""
        return self._file is not None

    def append(self, ids: Array) -> None:
        """Add ids at the end."""
        self._size += ids.nbytes
        if self._file is None and self._size > LIMIT and not self.trouble:
            self._move_to_file()
        self._write(ids)

    def recode(self, table: Array) -> None:
        """Replace each id by its entry in a table."""
        if np.array_equal(table, np.arange(len(table))) and self._has_type(table.dtype):
            return
        if self._file is None:
            self._arrays = [table.take(ids) for ids in self._arrays]
        else:
            self._rewrite(table.take(ids) for ids in self._file)

    def _has_type(self, dtype: np.dtype[Any]) -> bool:
        if self._file is not None:
            return self._file.dtypes == {dtype}
        return all(ids.dtype == dtype for ids in self._arrays)

    def reorder(self, starts: Array, order: Array) -> None:
        """Put the units of a text of documents in another order.

        Unit i is ids[starts[i] : starts[i + 1]]. What stands before the first stays.
        """
        self._rewrite(_in_order(self.ids(), starts, order))

    def ids(self) -> Array:
        """Return all ids, in memory or mapped from the file."""
        if self._file is not None:
            return self._file.map()
        if len(self._arrays) != 1:
            self._arrays = [np.concatenate(self._arrays)]
        return self._arrays[0]

    def publish(self, key: str, *about: Any, **more: Any) -> cache.Entry | None:
        """Make the file an entry of the cache; see `cache.publish`.

        Returns None if that fails; the ids are then in memory.
        """
        if self._file is None or self._part is None:
            return None
        self._file.release()
        try:
            return cache.publish(self._part, key, *about, **more)
        except OSError as error:
            self._move_to_memory(error)
            return None

    def temporary(self) -> Array:
        """Return all ids; their file, if there is one, goes with the array."""
        ids = self.ids()
        self._discard()
        return ids

    def _move_to_file(self) -> None:
        arrays, self._arrays = self._arrays, []
        try:
            cache.remove_abandoned()
            self._check_room()
            self._part = self._stack.enter_context(cache.new_part())
            self._file = _IdFile(cache.ids_path(self._part))
        except OSError as error:
            self._arrays = arrays
            self._move_to_memory(error)
            return
        for ids in arrays:
            self._write(ids)

    def _check_room(self) -> None:
        """Raise OSError if the disk has too little room for the ids.

        While they get their final numbers, there are two files.
        """
        needed = 2 * self._size / (self.share or 1.0)
        free = free_space(cache.cache_folder())
        if free is not None and needed > free:
            megabytes = f"{needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB"
            raise OSError(f"about {megabytes} are free")

    def _write(self, ids: Array) -> None:
        if self._file is not None:
            try:
                self._file.append(ids)
                return
            except OSError as error:
                self._move_to_memory(error)
        self._arrays.append(ids)

    def _rewrite(self, arrays: Iterator[Array]) -> None:
        """Replace all ids by those of `arrays`, which may still read the old ones."""
        if self._file is None or self._part is None:
            self._arrays = [*arrays]
            return
        rest = iter(arrays)
        try:
            new = _IdFile(self._part / "new")
        except OSError as error:
            self._arrays = [*rest]
            self._give_up(error)
            return
        for ids in rest:
            try:
                new.append(ids)
            except OSError as error:
                self._arrays = [*new, ids, *rest]
                new.close()
                self._give_up(error)
                return
        old, self._file = self._file, new
        old.close()
        try:
            new.release()
            new.replace(old.path)
        except OSError as error:
            self._move_to_memory(error)

    def _move_to_memory(self, error: OSError) -> None:
        if self._file is not None:
            self._arrays = [*self._file]
        self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._discard()
        folder = cache.cache_folder()
        self.trouble = f"{folder}: cannot be written ({error.strerror or error})"

    def _discard(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None
        self._part = None
        self._stack.close()


class _IdFile:
    """A file of arrays of ids, each in its own type.

    It stays open, so that the ids can be read even if somebody deletes the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("x+b", buffering=0)
        self._arrays: list[tuple[np.dtype[Any], int]] = []

    def append(self, ids: Array) -> None:
        """Write an array after the others. Raises OSError."""
        end = self._file.tell()
        data = ids.tobytes()
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError:
            self._file.truncate(end)
            raise
        self._arrays.append((ids.dtype, len(ids)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def release(self) -> None:
        """Allow the file to be renamed, which Windows refuses for open files."""
        if sys.platform == "win32":
            self._file.close()

    def replace(self, path: Path) -> None:
        """Rename the file, in place of another one."""
        self.path = self.path.replace(path)

    @property
    def dtypes(self) -> set[np.dtype[Any]]:
        """The types of the arrays."""
        return {dtype for dtype, _ in self._arrays}

    def map(self) -> Array:
        """Return all ids, if they are of one type, read from the file when needed."""
        (dtype,) = self.dtypes
        with self._open() as file:
            return map_ids(file, dtype)

    def __iter__(self) -> Iterator[Array]:
        """Read the arrays again, in order."""
        with self._open() as file:
            file.seek(0)
            for dtype, length in self._arrays:
                data = file.read(length * dtype.itemsize)
                if len(data) != length * dtype.itemsize:
                    raise OSError(errno.EIO, "was cut short meanwhile", str(self.path))
                yield np.frombuffer(data, dtype)

    def _open(self) -> BinaryIO:
        """Open the file once more."""
        if self._file.closed:
            return self.path.open("rb")
        return os.fdopen(os.dup(self._file.fileno()), "rb")


def _in_order(ids: Array, starts: Array, order: Array) -> Iterator[Array]:
    """Yield ids with the units in another order, in blocks of whole units."""
    yield ids[: starts[0]].copy()
    lengths = np.diff(starts)[order]
    places = np.cumsum(lengths)  # where each unit ends in the new order
    first = 0
    while first < len(order):
        before = places[first - 1] if first else 0
        last = int(np.searchsorted(places, before + _BLOCK)) + 1
        units = slice(first, last)
        # Each id moves as far as its unit does.
        moves = starts[:-1][order[units]] - (places[units] - lengths[units])
        stop = int(places[units][-1])
        sources = np.repeat(moves, lengths[units])
        sources += np.arange(before, stop)
        yield ids.take(sources)
        release_memory(ids)
        first = last
