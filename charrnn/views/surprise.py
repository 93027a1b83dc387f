"""How surprised a model is by each character of a text, and by each of its lines."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

import numpy as np

from charrnn.errors import ConfigError
from charrnn.evaluation.loss import OnProgress, Score, Scored
from charrnn.generation.language_model import LanguageModel
from charrnn.generation.text_score import ReadText, read_text, score_text
from charrnn.markup.tint import Mark
from charrnn.nn.parameters import Array
from charrnn.text.corpus import Corpus
from charrnn.text.vocab import Vocabulary
from charrnn.views.expected import ALTERNATIVES, Character, expected, marks

_BLOCK = 1 << 16  # characters that become marks at a time


@dataclass(frozen=True)
class Line:
    """A line of a text, with its line end."""

    number: int  # from 1
    text: str  # without its line end
    bits: float  # per character
    characters: int


@dataclass(frozen=True)
class Surprise:
    """How surprised a model is by a text of n characters.

    Documents are in the order of their files, each with its end mark, unless
    `is_in_order` is false.
    """

    name: str
    score: Score  # as `charrnn eval` computes it
    text: ReadText
    vocab: Vocabulary
    reads_bytes: bool
    is_in_order: bool
    ids: Array  # (n,)
    nats: Array  # (n,)
    ends: Array  # (lines,), the number of characters up to the end of each line
    shown: range  # which characters are shown, and have alternatives
    others: Array  # (shown, 3 or fewer) ids of the likeliest others, or (0, 0)
    probabilities: Array  # of these

    def lines(self, most: int) -> list[Line]:
        """Return the lines with the most bits per character, the most surprising first.

        Lines shorter than half the mean are left out: a blank line or a single word is
        often the hardest to guess, and tells little.
        """
        starts = np.concatenate([[0], self.ends[:-1]])
        lengths = self.ends - starts
        means = np.add.reduceat(self.nats, starts, dtype=np.float64) / lengths
        ranked = np.flatnonzero(2 * lengths >= lengths.mean())
        best = ranked[np.argsort(-means[ranked], kind="stable")[:most]]
        return [
            Line(
                i + 1,
                self._line(starts[i], self.ends[i]),
                float(means[i]) / log(2),
                int(lengths[i]),
            )
            for i in best.tolist()
        ]

    def characters(self) -> Iterator[Character]:
        """Yield the characters that are shown, an end mark as ""."""
        symbols = self.vocab.symbols
        for block in self._blocks():
            values = zip(
                block,
                self.ids[block.start : block.stop].tolist(),
                (self.nats[block.start : block.stop] / log(2)).tolist(),
                strict=True,
            )
            for place, symbol, bits in values:
                yield Character(symbols[symbol], bits, self._others(place))

    def marks(self, *, details: bool = False) -> Iterator[Mark]:
        """Yield the characters that are shown as marks, perhaps with details."""
        return marks(self.characters(), are_bytes=self.reads_bytes, details=details)

    @property
    def left_out(self) -> str:
        """Which part is shown, in words, or "" if it is all of the text."""
        first, n = self.shown.start + 1, len(self.ids)
        if len(self.shown) == n:
            return ""
        line = int(np.searchsorted(self.ends, first)) + 1
        return (
            f"shown are {len(self.shown):,} of {n:,} characters, from line {line:,} on"
        )

    def _blocks(self) -> Iterator[range]:
        for start in range(0, len(self.shown), _BLOCK):
            yield self.shown[start : start + _BLOCK]

    def _line(self, start: int, stop: int) -> str:
        text = self._string(start, stop).rstrip("\n")
        if self.reads_bytes:
            return text.encode("latin-1").decode("utf-8", "backslashreplace")
        return text

    def _string(self, start: int, stop: int) -> str:
        """Return characters as text; an end mark is a line end."""
        symbols = self.vocab.symbols
        return "".join(symbols[i] or "\n" for i in self.ids[start:stop].tolist())

    def _others(self, place: int) -> list[tuple[str, float]]:
        if not self.others.size:
            return []
        row = place - self.shown.start
        symbols = map(self.vocab.symbols.__getitem__, self.others[row].tolist())
        return [*zip(symbols, self.probabilities[row].tolist(), strict=True)]


def surprise(
    model: LanguageModel,
    corpus: Corpus,
    *,
    on_unknown: str = "error",
    first_line: int = 1,
    length: int | None = None,
    alternatives: bool = False,
    on_progress: OnProgress | None = None,
) -> Surprise:
    """Return how surprised a model is by each character of a text.

    Parameters
    ----------
    model : LanguageModel
        The model.
    corpus : Corpus
        The text, from `charrnn.text.reading`.
    on_unknown : {"error", "skip", "map"}
        What to do with characters that the model does not know.
    first_line, length : int, optional
        The stretch to show: from this line on, and so many characters at most. The
        score and the lines are those of the whole text.
    alternatives : bool
        Keep the three likeliest others at each place that is shown, in 24 bytes.
    on_progress : callable, optional
        Called with the number of characters scored since the last call.
    """
    text = read_text(model, corpus, on_unknown)
    n, order = len(text.ids) - text.start, text.file_order()
    ids = text.ids[text.start :]
    if order is not None:
        ids = text.ids[text.start - 1 :][order]
    ends = _line_ends(ids, model.vocab)
    shown = _stretch(ends, n, first_line, length)
    seen = _Seen(model, ids, shown if alternatives else range(0))
    places: Array | None = None  # of each prediction, in the order of the files
    if order is not None:
        places = np.empty(n, np.intp)
        places[order - 1] = np.arange(n)

    def add(scored: Scored) -> None:
        here = scored.places
        seen.add(scored, here if places is None else places[here])

    score = score_text(model, text, on_progress=on_progress, on_scored=add)
    return Surprise(
        corpus.name,
        score,
        text,
        model.vocab,
        model.reads_bytes,
        text.end_id is None or order is not None,
        ids,
        seen.nats,
        ends,
        shown,
        seen.others,
        seen.probabilities,
    )


class _Seen:
    """Losses and likeliest characters, which arrive in no particular order."""

    def __init__(self, model: LanguageModel, ids: Array, shown: range) -> None:
        dtype = model.model.dtype
        size = min(ALTERNATIVES, len(model.vocab) - 1) if shown else 0
        self.nats = np.empty(len(ids), dtype)
        self.others = np.empty((len(shown), size), np.int32)
        self.probabilities = np.empty((len(shown), size), dtype)
        self._ids, self._shown = ids, shown

    def add(self, scored: Scored, places: Array) -> None:
        """Keep predictions of the characters at these places."""
        self.nats[places] = scored.losses
        shown = self._shown
        here = np.flatnonzero((places >= shown.start) & (places < shown.stop))
        if here.size:
            rows = places[here]
            found = expected(
                scored.losses[here], scored.probabilities[here], self._ids[rows]
            )
            self.others[rows - shown.start] = found.others
            self.probabilities[rows - shown.start] = found.probabilities


def _line_ends(ids: Array, vocab: Vocabulary) -> Array:
    """Return the number of characters up to each line end, and up to the last."""
    is_end = np.zeros(len(ids), bool)
    if "\n" in vocab:
        is_end |= ids == vocab.encode("\n")[0]
    if vocab.end_id is not None:
        is_end |= ids == vocab.end_id
    if len(ids):
        is_end[-1] = True
    ends: Array = np.flatnonzero(is_end) + 1
    return ends


def _stretch(ends: Array, n: int, first_line: int, length: int | None) -> range:
    if length is not None and length < 1:
        raise ConfigError(f"length is {length}; expected 1 or more")
    if not 1 <= first_line <= max(1, len(ends)):
        raise ConfigError(
            f"there is no line {first_line:,}: the text has {len(ends):,}"
        )
    start = int(ends[first_line - 2]) if first_line > 1 else 0
    return range(start, n if length is None else min(n, start + length))
