"""A text as ids."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil

import numpy as np

from charrnn.errors import TextError
from charrnn.nn.parameters import Array
from charrnn.text.corpus_info import CorpusInfo
from charrnn.text.documents import document_cut, looks_like_a_list
from charrnn.text.ids import blocks, position, release_memory
from charrnn.text.spool import Spool
from charrnn.text.streams import printable
from charrnn.text.vocab import Vocabulary

_PIECE = 1 << 20  # characters decoded at a time


@dataclass
class Corpus:
    """A text as ids, and how it was read."""

    info: CorpusInfo
    vocab: Vocabulary
    ids: Array  # (n,), in memory or mapped from a file
    counts: Array  # (V,), of each symbol
    notes: list[str] = field(default_factory=list)  # changes made on reading

    @property
    def name(self) -> str:
        """What the text is called in messages and folders."""
        return self.info.name

    @property
    def characters(self) -> int:
        """The number of characters, end marks included."""
        return len(self.ids)

    @property
    def text(self) -> str:
        """The whole text, as a string. Use `pieces` for a long one."""
        return "".join(self.pieces(0 if self.vocab.end_id is None else 1))

    @property
    def documents(self) -> int:
        """The number of documents, or 0 if it is one long text."""
        end = self.vocab.end_id
        return 0 if end is None else int(self.counts[end]) - 1

    @property
    def summary(self) -> str:
        """The name and the size, as in "names: 400 documents, 2,401 characters"."""
        count = self.documents
        documents = f"{count:,} document{'s' * (count > 1)}, " if count else ""
        return f"{printable(self.name)}: {documents}{self.characters:,} characters"

    @property
    def looks_like_a_list(self) -> bool:
        """Whether the text is read as one, but seems to be a list of short lines."""
        if self.documents or self.info.reads_bytes:
            return False
        return looks_like_a_list(next(self.pieces(), ""))

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[str]:
        """Yield ids[start:stop] as text, about a million characters at a time.

        An end mark becomes a line end.
        """
        points = np.array([ord(s or "\n") for s in self.vocab.symbols], np.uint32)
        stop = len(self.ids) if stop is None else min(stop, len(self.ids))
        for begin in range(start, stop, _PIECE):
            ids = self.ids[begin : min(begin + _PIECE, stop)]
            text = points.take(ids).tobytes().decode("utf-32-le", "surrogatepass")
            release_memory(self.ids)
            yield text

    def spread(self, characters: int) -> Iterator[str]:
        """Yield pieces of the text, spread over it, of about so many characters in all.

        They are the whole text if it is not longer.
        """
        size = self._spread_size(characters)
        for start in range(0, len(self.ids), _PIECE):
            yield from self.pieces(start, start + size)

    def place_of(self, place: int, characters: int) -> int:
        """Return where in the text a place in `spread(characters)` is."""
        piece, offset = divmod(place, self._spread_size(characters))
        return piece * _PIECE + offset

    def _spread_size(self, characters: int) -> int:
        return ceil(_PIECE * min(1.0, characters / len(self.ids)))

    def contains(self, text: str) -> bool:
        """Return whether a text is one of the documents, or whole lines of the text."""
        vocab = self.vocab
        if vocab.unknown(text):
            return False
        ids, lead = vocab.encode(text), vocab.end_id
        if lead is None:
            if "\n" not in vocab:
                return position(self.ids, ids) >= 0
            lead = int(vocab.encode("\n")[0])
            # The text may begin and end without a line end.
            first = [lead, *self.ids[: len(ids) + 1]]
            last = [*self.ids[-len(ids) - 1 :], lead]
            if [lead, *ids, lead] in (first, last):
                return True
        return position(self.ids, np.array([lead, *ids, lead])) >= 0

    def ids_in(self, vocab: Vocabulary) -> Array:
        """Return the ids of the text in another vocabulary.

        Characters that it lacks become its unknown symbol. Raises TextError if it has
        none.
        """
        if vocab == self.vocab:
            return self.ids
        lacking = vocab.unknown("".join(self.vocab.characters))
        if lacking and vocab.unknown_id is None:
            more = f" and {len(lacking) - 10} more" if len(lacking) > 10 else ""
            raise TextError(
                f"{printable(self.name)}: has characters that the model does not know: "
                f"{' '.join(map(repr, lacking[:10]))}{more}"
            )
        table = self.vocab.ids_in(vocab)
        with Spool() as spool:
            for block in blocks(self.ids):
                spool.append(table.take(block))
            return spool.temporary()

    def split(self, ids: Array, val_fraction: float) -> tuple[Array, Array]:
        """Return views of the training part (the start) and of the validation part.

        ids are those of the text in any vocabulary. Documents stay whole.
        """
        cut = int(len(ids) * (1 - val_fraction))
        end_id = self.vocab.end_id
        if end_id is None:
            return ids[:cut], ids[cut:]
        # All ids are in the same places, whatever the vocabulary.
        cut = document_cut(self.ids, cut, end_id)
        return ids[: cut + 1], ids[cut:]  # both begin and end with an end mark
