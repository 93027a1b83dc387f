"""Texts made of documents: lines, files, or the parts between separators.

The ids of such a text are

    end d o c 1 end d o c 2 end … end

The end mark that closes a document opens the next one: the network reads it with a
state of zero, and predicts the first character. A text begins with an end mark, so that
every document is between two of them.
"""

import numpy as np

from charrnn.nn.parameters import Array, blocks

LINES, FILES = "lines", "files"
# At most about this many units of whole documents are put in order one by one. Only
# texts of more characters have units of several documents.
_UNITS = 1 << 21
# What looks like a list has at least _LEAST_LINES lines. Of the first _LINES, half have
# at most _MEDIAN characters, and 95 % have at most _LONG.
_LINES, _LEAST_LINES = 10_000, 100
_MEDIAN, _LONG = 25, 50
_SCAN = 1 << 22  # ids that are searched for end marks at a time


class Splitter:
    """Removes separators from a text that arrives in pieces, and notes where they were.

    Line ends at the start and at the end of a document are removed, and so are empty
    documents.
    """

    def __init__(self, documents: str) -> None:
        self._separator = {LINES: "\n", FILES: ""}.get(documents, documents)
        self._held = ""  # may be the start of a separator, or the end of a document
        self._is_open = False  # whether the document has any characters yet
        self.separators = 0  # found so far

    def feed(self, text: str) -> tuple[str, Array]:
        """Return the text without separators, and the places of the end marks.

        An end mark stands before the character at its place. The end of the text may be
        held back until the next call.
        """
        *complete, rest = self._parts(self._held + text)
        self.separators += len(complete)
        safe = self._safe_length(rest)
        self._held = rest[safe:]
        return self._join(complete, rest[:safe])

    def end_file(self) -> tuple[str, Array]:
        """Return the text that was held back, and the place of its end mark."""
        rest, self._held = self._held, ""
        return self._join([rest], "")

    @property
    def is_unused(self) -> bool:
        """Whether there is a separator that has not occurred."""
        return self._separator not in ("", "\n") and not self.separators

    def _parts(self, text: str) -> list[str]:
        return text.split(self._separator) if self._separator else [text]

    def _safe_length(self, rest: str) -> int:
        """Return how much of the text after the last separator is sure to be kept."""
        separator, end = self._separator, len(rest)
        for size in range(min(len(separator) - 1, end), 0, -1):
            if rest.endswith(separator[:size]):
                end -= size
                break
        return len(rest[:end].rstrip("\n"))

    def _join(self, complete: list[str], rest: str) -> tuple[str, Array]:
        """Join the ends of documents, of which only the first may have begun before."""
        if self._separator != "\n":
            open_end = complete[:1] if self._is_open else []
            complete = [part.strip("\n") for part in complete]
            complete[: len(open_end)] = [part.rstrip("\n") for part in open_end]
            if complete or not self._is_open:
                rest = rest.lstrip("\n")
        if complete:
            # An empty part closes a document that has begun, and is none otherwise.
            closes, self._is_open = self._is_open, False
            complete = [part for part in complete[:1] if part or closes] + [
                part for part in complete[1:] if part
            ]
        self._is_open = self._is_open or bool(rest)
        lengths = np.fromiter(map(len, complete), np.int64, len(complete))
        return "".join([*complete, rest]), np.cumsum(lengths)


def unit_starts(ids: Array, end_id: int, most: int = _UNITS) -> Array:
    """Return where units of whole documents start in ids, and the end of the last.

    ids begin and end with an end mark. Unit i is ids[starts[i] : starts[i + 1]], which
    ends with an end mark. Every document is a unit, except that in long texts short
    documents share one, so that there are about `most` units at most.
    """
    least = len(ids) // most
    found = [np.array([1], np.int64)]
    for block in blocks(len(ids), _SCAN):
        ends = np.flatnonzero(ids[block] == end_id) + block.start + 1
        found.append(ends if block.start else ends[1:])  # the first opens the text
    starts = np.concatenate(found)
    if least < 2:
        return starts
    # The first start in each stretch of `least` ids.
    first = np.unique(starts[:-1] // least, return_index=True)[1]
    return np.append(starts[first], starts[-1])


def file_order(ids: Array, end_id: int, seed: int, most: int = _UNITS) -> Array | None:
    """Return where in ids the documents are that were put in the order of a seed.

    ids begin with an end mark. `ids[file_order(...)]` are the documents as they were in
    the files, each with its end mark. None for a text so long that not every document
    was a unit of `unit_starts`.
    """
    if len(ids) // most >= 2:
        return None
    starts = unit_starts(ids, end_id, most)
    places = np.argsort(np.random.default_rng(seed).permutation(len(starts) - 1))
    lengths = np.diff(starts)[places]
    moves = starts[:-1][places] - (np.cumsum(lengths) - lengths)
    order: Array = np.repeat(moves, lengths) + np.arange(lengths.sum())
    return order


def document_cut(ids: Array, cut: int, end_id: int) -> int:
    """Return the place of the first end mark at or after `cut`.

    If that is the last one, return the one before: a document follows it. ids begin and
    end with an end mark.
    """
    for start in range(cut, len(ids) - 1, _SCAN):
        ends = np.flatnonzero(ids[start : min(start + _SCAN, len(ids) - 1)] == end_id)
        if len(ends):
            return start + int(ends[0])
    for stop in range(min(cut, len(ids) - 1), 0, -_SCAN):
        start = max(stop - _SCAN, 0)
        ends = np.flatnonzero(ids[start:stop] == end_id)
        if len(ends):
            return start + int(ends[-1])
    return 0


class Ordered:
    """The units of a text of documents in another order, read when needed."""

    def __init__(self, ids: Array, starts: Array, order: Array) -> None:
        self._ids = ids
        # Where each unit starts in this order, and where the last one ends.
        self._places = np.concatenate([[1], 1 + np.cumsum(np.diff(starts)[order])])
        self._moves = starts[:-1][order] - self._places[:-1]

    def read(self, start: int, stop: int) -> Array:
        """Return the ids (stop - start,) from `start` to `stop`."""
        first, last = np.searchsorted(self._places, (start, stop - 1), "right") - 1
        units = slice(max(0, first), last + 1)
        # Each id moves as far as its unit does; the first end mark does not move.
        bounds = np.clip(self._places[units.start : units.stop + 1], start, stop)
        moves = np.repeat(self._moves[units], np.diff(bounds))
        sources = np.arange(start, stop)
        sources[stop - start - len(moves) :] += moves
        found: Array = self._ids.take(sources)
        return found


def looks_like_a_list(text: str) -> bool:
    """Return whether a text seems to be a list: short lines that differ, none blank."""
    lines = text.split("\n")[:_LINES]
    if len(lines) < _LEAST_LINES:
        return False
    lengths = sorted(map(len, lines))
    short = lengths[len(lines) // 2] <= _MEDIAN
    none_long = lengths[len(lines) * 95 // 100] <= _LONG
    few_blank = lines.count("") <= len(lines) // 100 + 1
    return short and none_long and few_blank and 2 * len(set(lines)) > len(lines)
