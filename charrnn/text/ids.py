"""From characters to ids in one pass, before all characters of a text are known.

While a text is read, its characters get provisional ids in the order in which they
appear. At the end the vocabulary is known, and a table turns provisional ids into those
of the vocabulary. Long texts are kept in a file instead of in memory.
"""

from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from charrnn.config import AUTOMATIC
from charrnn.nn.parameters import Array
from charrnn.text.vocab import CODE_POINTS, Vocabulary, code_points

_SLICE = 1 << 20  # characters encoded at a time
_BLOCK = 1 << 22  # ids read from a file at a time
_NEW = CODE_POINTS  # stands for a character that has no provisional id yet
# With max_vocab AUTOMATIC, characters that occur at most _RARE times are left out of a
# vocabulary of more than _SMALL_VOCAB characters, if they are most of it.
_RARE, _SMALL_VOCAB = 2, 256


class Encoder:
    """Turns pieces of text into provisional ids, and counts each character."""

    def __init__(self, *, documents: bool) -> None:
        self._ids = np.full(CODE_POINTS, _NEW, np.uint32)
        self._points: list[int] = []  # code point of each provisional id
        self._first = int(documents)  # 0 is the end mark
        self._counts = np.zeros(0, np.int64)

    def encode(self, text: str, ends: Array | None = None) -> Iterator[Array]:
        """Yield the provisional ids of a text, in the smallest type that fits.

        ends are the places in the text before which an end mark stands.
        """
        for start in range(0, max(len(text), 1), _SLICE):
            points = code_points(text[start : start + _SLICE])
            ids = self._ids.take(points)
            if ids.max(initial=0) == _NEW:
                self._learn(np.unique(points[ids == _NEW]))
                ids = self._ids.take(points)
            ids = ids.astype(np.min_scalar_type(self._first + len(self._points) - 1))
            self._count(ids)
            if ends is not None:
                last = start + _SLICE >= len(text)
                here = (ends >= start) & ((ends < start + _SLICE) | last)
                self._counts[0] += here.sum()
                ids = np.insert(ids, ends[here] - start, 0)
            yield ids

    def _learn(self, points: Array) -> None:
        first = self._first + len(self._points)
        self._ids[points] = np.arange(first, first + len(points))
        self._points += points.tolist()

    def _count(self, ids: Array) -> None:
        size = self._first + len(self._points)
        counts = np.bincount(ids, minlength=size)
        counts[: len(self._counts)] += self._counts
        self._counts = counts

    @property
    def distinct(self) -> int:
        """The number of distinct characters so far."""
        return len(self._points)

    def points(self) -> Array:
        """Return the code point of each provisional id, end mark excluded."""
        return np.array(self._points, np.uint32)

    def vocabulary(
        self, max_vocab: int, fixed: Vocabulary | None = None
    ) -> tuple[Vocabulary, Array, Array]:
        """Return the vocabulary, the count of each symbol, and the table.

        The table holds the final id of each provisional one. max_vocab is the largest
        number of characters to keep, 0 for all, or AUTOMATIC. The others become the
        unknown symbol. With `fixed`, the vocabulary is that one.
        """
        points = self.points()
        vocab = fixed
        if vocab is None:
            kept = _kept(points, self._counts[self._first :], max_vocab)
            characters = map(chr, np.sort(points[kept]))
            vocab = Vocabulary(
                characters, unknown=not kept.all(), end=bool(self._first)
            )
        ids = vocab.ids_by_code_point()[points]
        end = [] if vocab.end_id is None else [vocab.end_id]
        table = np.concatenate([end, ids]).astype(vocab.dtype)
        counts = np.bincount(table, self._counts, len(vocab)).astype(np.int64)
        return vocab, counts, table


def _kept(points: Array, counts: Array, max_vocab: int) -> Array:
    """Return which characters (K,) are in the vocabulary, as a mask."""
    if max_vocab == AUTOMATIC:
        rare = counts <= _RARE
        few_left = len(points) - rare.sum() < 2  # too few to learn from
        if len(points) <= _SMALL_VOCAB or 2 * rare.sum() <= len(points) or few_left:
            return np.ones(len(points), bool)
        return ~rare
    order = np.lexsort((points, -counts))  # the most frequent first
    kept = np.ones(len(points), bool)
    kept[order[max_vocab or len(points) :]] = False
    return kept


def open_ids(path: Path, dtype: np.dtype[Any]) -> Array:
    """Return the ids in a file as an array that is read from it when needed."""
    with path.open("rb") as file:
        return map_ids(file, dtype)


def map_ids(file: BinaryIO, dtype: np.dtype[Any]) -> Array:
    """Return the ids in an open file, like `open_ids`. The file may be closed then."""
    return np.frombuffer(mmap(file.fileno(), 0, access=ACCESS_READ), dtype)


def release_memory(ids: Array) -> None:
    """Let the system drop the pages that were read from a mapped file.

    They count as memory of the process otherwise. Does nothing for an array in memory,
    or if the system cannot do that.
    """
    base: Any = ids
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if isinstance(base, mmap) and hasattr(base, "madvise"):
        from mmap import MADV_DONTNEED

        base.madvise(MADV_DONTNEED)


def position(ids: Array, wanted: Array, start: int = 0) -> int:
    """Return the first place of a sequence of ids from `start` on, or -1."""
    wanted = wanted.astype(ids.dtype)
    for begin in range(start, len(ids), _BLOCK):
        # Blocks overlap, so that nothing is cut in two.
        block = ids[begin : begin + _BLOCK + len(wanted) - 1].tobytes()
        release_memory(ids)
        at = block.find(wanted.tobytes())
        while at % ids.itemsize and at >= 0:  # not where an id begins
            at = block.find(wanted.tobytes(), at + 1)
        if at >= 0:
            return begin + at // ids.itemsize
    return -1


def blocks(ids: Array) -> Iterator[Array]:
    """Yield views of an array, a few megabytes at a time."""
    for start in range(0, len(ids), _BLOCK):
        yield ids[start : start + _BLOCK]
        release_memory(ids)
