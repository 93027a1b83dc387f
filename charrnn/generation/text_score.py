"""How well a model predicts a text of any origin, as a whole and part by part."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.errors import TextError
from charrnn.evaluation.loss import OnProgress, OnScored, Score, evaluate, losses
from charrnn.generation.text_model import TextModel
from charrnn.generation.unknown import known_only
from charrnn.nn.parameters import Array
from charrnn.text.corpus import Corpus
from charrnn.text.documents import file_order
from charrnn.text.ids import blocks
from charrnn.text.spool import Spool
from charrnn.training.dynamic import dynamic_losses


@dataclass(frozen=True)
class ReadText:
    """A text in the ids of a model, after what a text starts with."""

    ids: Array  # (1 + n,) or more; those after the start are predicted
    start: int  # ids before the text
    skipped: int  # characters left out because the model does not know them
    replaced: int  # characters replaced by others
    end_id: int | None  # the id that ends a document, if the text is made of documents
    seed: int  # which put the documents in their order

    def file_order(self) -> Array | None:
        """Return where in ids[start - 1:] the characters are that the files hold.

        It is in the order of the files. None if that is the order of ids anyway, or is
        not known; see `charrnn.text.documents.file_order`.
        """
        if self.end_id is None:
            return None
        return file_order(self.ids[self.start - 1 :], self.end_id, self.seed)


@dataclass(frozen=True)
class PartScore:
    """The score of a line or a document."""

    number: int  # from 1
    text: str
    score: Score


def read_text(model: TextModel, corpus: Corpus, on_unknown: str = "error") -> ReadText:
    """Return a text in the ids of a model; on_unknown as in `TextModel.encode`.

    The model reads first what a text starts with by default, so that the first
    character is predicted, too.
    """
    vocab = model.vocab
    unknown = vocab.unknown("".join(corpus.vocab.characters))
    if unknown:  # all of them in one message
        known_only("".join(unknown), vocab, on_unknown)
    known = [known_only(c, vocab, on_unknown) for c in corpus.vocab.characters]
    counts = dict(zip(corpus.vocab.characters, corpus.counts.tolist(), strict=False))
    replaced = {c for c, found in zip(counts, known, strict=True) if found}
    symbols = [vocab.encode(text) for text in known]
    start, ids = model.encode_prime(""), corpus.ids
    if corpus.vocab.end_id is not None:
        symbols.append(np.array([vocab.end_id], vocab.dtype))
        ids = ids[1:]  # it is the start
    with Spool() as spool:
        spool.append(start)
        for block in blocks(ids):
            spool.append(_translated(block, symbols))
        return ReadText(
            spool.temporary(),
            len(start),
            skipped=sum(counts[c] for c in unknown if c not in replaced),
            replaced=sum(counts[c] for c in unknown if c in replaced),
            end_id=vocab.end_id,
            seed=corpus.info.seed,
        )


def _translated(ids: Array, symbols: Sequence[Array]) -> Array:
    """Return ids with each id i replaced by the ids symbols[i], of any number."""
    lengths = np.array([len(symbol) for symbol in symbols])
    places = np.cumsum(lengths) - lengths  # of each symbol among all, one after another
    repeats = lengths[ids]
    ends = np.cumsum(repeats)
    sources = np.repeat(places[ids] - (ends - repeats), repeats)
    sources += np.arange(len(sources))
    found: Array = np.concatenate(symbols)[sources]
    return found


def score_text(
    model: TextModel,
    text: ReadText,
    *,
    on_progress: OnProgress | None = None,
    on_scored: OnScored | None = None,
) -> Score:
    """Return how well a model predicts all of a text.

    on_scored gets every prediction; number 0 is the first character of the text.
    """
    return evaluate(
        model.model,
        _scored(text),
        threads=0,
        on_progress=on_progress,
        on_scored=on_scored,
    )


def _scored(text: ReadText) -> Array:
    """Return the ids of which all but the first are predicted."""
    ids = text.ids[text.start - 1 :]
    if len(ids) < 2:
        raise TextError("nothing is left to score; expected characters that it knows")
    return ids


def losses_of(
    model: TextModel,
    text: ReadText,
    *,
    dynamic: bool = False,
    on_progress: OnProgress | None = None,
) -> Array:
    """Return the loss in nats of each character of a text, (n,).

    dynamic lets the weights of a copy follow the text; see `training/dynamic.py`.
    """
    ids = _scored(text)
    if dynamic:
        return dynamic_losses(model.model, ids, on_progress=on_progress)
    return losses(model.model, ids, threads=0, on_progress=on_progress)


def score_parts(
    model: TextModel, text: ReadText, losses: Array, last: int
) -> Iterator[PartScore]:
    """Yield the score of each part of a text; the id `last` ends a part.

    losses are those of `losses_of`. Documents come in the order of the files, if
    `text.file_order` knows it.
    """
    ids = _scored(text)
    targets, order = ids[1:], text.file_order()
    if order is not None:
        targets, losses = ids[order], losses[order - 1]
    ends = np.flatnonzero(targets == last) + 1
    if not len(ends) or ends[-1] < len(targets):
        ends = np.append(ends, len(targets))
    begin = 0
    for number, end in enumerate(ends.tolist(), 1):
        part = model.vocab.decode(targets[begin:end])
        yield PartScore(number, part.rstrip("\n"), Score.of(losses[begin:end]))
        begin = end
