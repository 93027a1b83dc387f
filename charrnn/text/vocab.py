"""Characters to numbers and back: the sorted distinct characters, id = rank.

Special symbols come after the characters.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import TextError
from charrnn.nn.parameters import Array

# A long text is looked up in slices, so that it never takes 4 bytes per character in
# memory all at once.
_SLICE = 1 << 20
CODE_POINTS = 0x110000
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def code_points(text: str) -> Array:
    """Return the code points (len(text),) of a text, uint8 if it is ASCII."""
    if text.isascii():  # a flag of the string: nothing is scanned
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _slices(text: str) -> Iterator[tuple[int, Array]]:
    for start in range(0, len(text), _SLICE):
        yield start, code_points(text[start : start + _SLICE])


# How a checkpoint writes the special symbols. No character has such a long name.
_UNKNOWN, _END = "<unknown>", "<end>"


class Vocabulary:
    """The symbols of a model, in id order: characters, and up to two special symbols.

    Parameters
    ----------
    characters : iterable of str
        The K characters, with the ids 0 to K - 1.
    unknown : bool
        Whether there is a symbol that stands for every other character. It is read but
        never written.
    end : bool
        Whether there is an end mark, which closes a document. It has the last id.
    """

    def __init__(
        self, characters: Iterable[str], *, unknown: bool = False, end: bool = False
    ) -> None:
        self.characters = tuple(characters)
        if any(len(c) != 1 for c in self.characters):
            raise TextError("vocabulary: every entry must be exactly one character")
        if len(set(self.characters)) != len(self.characters):
            raise TextError("vocabulary: a character occurs twice")
        if not self.characters:
            raise TextError("vocabulary: no characters; expected at least one")
        K = len(self.characters)
        self.unknown_id = K if unknown else None
        self.end_id = K + unknown if end else None
        # What each symbol looks like in a text.
        self.symbols = self.characters + (_REPLACEMENT,) * unknown + ("",) * end
        self.dtype = np.min_scalar_type(len(self) - 1)
        self._points = code_points("".join(self.symbols)).astype(np.uint32)
        self._ids: Array | None = None  # id by code point, made when first needed

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """Return the vocabulary of a text. Raises TextError if it is empty."""
        present = np.zeros(CODE_POINTS, bool)
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

    @property
    def end(self) -> int:
        """The id of the end mark, or -1 if there is none, as in `ModelConfig`."""
        return -1 if self.end_id is None else self.end_id

    def __len__(self) -> int:
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.to_json() == other.to_json()

    def __reduce__(self) -> tuple[Any, ...]:
        return Vocabulary.from_json, (self.to_json(),)  # without the large table of ids

    __hash__ = None  # type: ignore[assignment]  # equality is by value

    def __contains__(self, character: str) -> bool:
        return character in self.characters

    def ids_by_code_point(self) -> Array:
        """Return a table (0x110000,) of ids; a character that has none gets len(self).

        With an unknown symbol, every character has an id.
        """
        by_point = self._ids
        if by_point is None:
            missing = len(self) if self.unknown_id is None else self.unknown_id
            by_point = np.full(CODE_POINTS, missing, np.uint32)
            K = len(self.characters)
            by_point[self._points[:K]] = np.arange(K)
            self._ids = by_point  # only when complete: other threads may read it
        return by_point

    def encode(self, text: str) -> Array:
        """Return the ids (len(text),) in the smallest unsigned type that fits.

        Raises TextError naming the first character that is not in the vocabulary, if
        there is no unknown symbol to stand for it.
        """
        by_point = self.ids_by_code_point()
        ids = np.empty(len(text), self.dtype)
        for start, points in _slices(text):
            found = by_point.take(points)
            if found.max() == len(self):
                where = start + int(np.argmax(found))
                raise TextError(
                    f"character {text[where]!r} at position {where} is not among the "
                    f"{len(self)} characters of the vocabulary"
                )
            ids[start : start + len(points)] = found
        return ids

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of ids (any shape, read in order).

        The unknown symbol becomes U+FFFD, and an end mark nothing.
        """
        found = np.asarray(ids, np.intp).ravel()
        if self.end_id is not None:
            found = found[found != self.end_id]
        return self._points[found].tobytes().decode("utf-32-le", "surrogatepass")

    def one_hot(self, ids: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> Array:
        """Return ids (...,) as rows (..., V) of zeros with a single one.

        This is what the network's input means. Training never makes it: it gathers
        rows of the input matrix instead, which is the same product.
        """
        rows: Array = np.eye(len(self), dtype=dtype)[np.asarray(ids, np.intp)]
        return rows

    def ids_in(self, other: "Vocabulary") -> Array:
        """Return the id (len(self),) that each symbol has in another vocabulary.

        Raises TextError if the other one lacks a symbol.
        """
        specials = []
        for name in ("unknown_id", "end_id"):
            if getattr(self, name) is not None:
                specials.append(getattr(other, name))
        if None in specials:
            raise TextError("vocabulary: the other one lacks a special symbol")
        ids = other.encode("".join(self.characters))
        return np.concatenate([ids, np.array(specials, other.dtype)])

    def unknown(self, text: str) -> list[str]:
        """Return the distinct characters of `text` that are not in the vocabulary."""
        return sorted(set(text).difference(self.characters))

    def to_json(self) -> list[str]:
        """Return the symbols as a list that JSON can hold."""
        return [
            *self.characters,
            *([_UNKNOWN] if self.unknown_id is not None else []),
            *([_END] if self.end_id is not None else []),
        ]

    @classmethod
    def from_json(cls, value: object) -> "Vocabulary":
        """Read what `to_json` returned. Raises TextError for anything else."""
        if not isinstance(value, list) or not all(isinstance(c, str) for c in value):
            raise TextError("vocabulary: expected a list of one-character strings")
        characters = [*value]
        end = characters[-1:] == [_END]
        del characters[len(characters) - end :]
        unknown = characters[-1:] == [_UNKNOWN]
        del characters[len(characters) - unknown :]
        return cls(characters, unknown=unknown, end=end)
