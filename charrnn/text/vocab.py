"""Characters to numbers and back: the sorted distinct characters, id = rank."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from charrnn.errors import TextError
from charrnn.nn.parameters import Array

# A long text is looked up in slices, so that it never takes 4 bytes per character in
# memory all at once.
_SLICE = 1 << 20
_CODE_POINTS = 0x110000


def _code_points(text: str) -> Array:
    if text.isascii():  # a flag of the string: nothing is scanned
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _slices(text: str) -> Iterator[tuple[int, Array]]:
    for start in range(0, len(text), _SLICE):
        yield start, _code_points(text[start : start + _SLICE])


class Vocabulary:
    """The distinct characters of a corpus, in id order."""

    def __init__(self, characters: Iterable[str]) -> None:
        self.characters = tuple(characters)
        if any(len(c) != 1 for c in self.characters):
            raise TextError("vocabulary: every entry must be exactly one character")
        if len(set(self.characters)) != len(self.characters):
            raise TextError("vocabulary: a character occurs twice")
        if not self.characters:
            raise TextError("vocabulary: no characters; expected at least one")
        self.dtype = np.min_scalar_type(len(self.characters) - 1)
        self._points = _code_points("".join(self.characters)).astype(np.uint32)
        self._unknown = len(self.characters)
        self._ids: Array | None = None  # id by code point, made when first needed

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """Return the vocabulary of a text. Raises TextError if it is empty."""
        present = np.zeros(_CODE_POINTS, bool)
        for _, points in _slices(text):
            if points.dtype == np.uint8:
                present[: 1 << 8] |= np.bincount(points, minlength=1 << 8) > 0
            else:
                present[points] = True
        return cls(map(chr, np.flatnonzero(present)))

    @classmethod
    def of_bytes(cls) -> "Vocabulary":
        """Return the vocabulary of all 256 bytes, byte b as `chr(b)`."""
        return cls(map(chr, range(256)))

    def __len__(self) -> int:
        return len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.characters == other.characters

    def __reduce__(self) -> tuple[type["Vocabulary"], tuple[tuple[str, ...]]]:
        return Vocabulary, (self.characters,)  # without the large table of ids

    __hash__ = None  # type: ignore[assignment]  # equality is by value

    def __contains__(self, character: str) -> bool:
        return character in self.characters

    def encode(self, text: str) -> Array:
        """Return the ids (len(text),) in the smallest unsigned type that fits.

        Raises TextError naming the first character that is not in the vocabulary.
        """
        by_point = self._ids
        if by_point is None:
            by_point = np.full(_CODE_POINTS, self._unknown, np.uint32)
            by_point[self._points] = np.arange(len(self))
            self._ids = by_point  # only when complete: other threads may read it
        ids = np.empty(len(text), self.dtype)
        for start, points in _slices(text):
            found = by_point.take(points)
            if found.max() == self._unknown:
                where = start + int(np.argmax(found))
                raise TextError(
                    f"character {text[where]!r} at position {where} is not among the "
                    f"{len(self)} characters of the vocabulary"
                )
            ids[start : start + len(points)] = found
        return ids

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of ids (any shape, read in order)."""
        points = self._points[np.asarray(ids, np.intp).ravel()]
        return points.tobytes().decode("utf-32-le", "surrogatepass")

    def one_hot(self, ids: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> Array:
        """Return ids (...,) as rows (..., V) of zeros with a single one.

        This is what the network's input means. Training never makes it: it gathers
        rows of the input matrix instead, which is the same product.
        """
        rows: Array = np.eye(len(self), dtype=dtype)[np.asarray(ids, np.intp)]
        return rows

    def unknown(self, text: str) -> list[str]:
        """Return the distinct characters of `text` that are not in the vocabulary."""
        return sorted(set(text).difference(self.characters))

    def to_json(self) -> list[str]:
        """Return the characters as a list that JSON can hold."""
        return list(self.characters)

    @classmethod
    def from_json(cls, value: object) -> "Vocabulary":
        """Read what `to_json` returned. Raises TextError for anything else."""
        if not isinstance(value, list) or not all(isinstance(c, str) for c in value):
            raise TextError("vocabulary: expected a list of one-character strings")
        return cls(value)
