"""Texts at several temperatures, from the same random numbers, with statistics."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from charrnn.config import SampleConfig, new_seed
from charrnn.errors import CharRNNWarning, ConfigError, TextError
from charrnn.evaluation.calibration import Calibration, calibration
from charrnn.evaluation.corpus_search import search_spread
from charrnn.evaluation.loss import predictions
from charrnn.evaluation.textstats import distinct_ngrams, known_words, repetition
from charrnn.generation.language_model import LanguageModel
from charrnn.generation.text_model import joined
from charrnn.nn.filters import NO_FILTERS, Filters, distribution, without
from charrnn.nn.functional import softmax_losses_
from charrnn.nn.parameters import Array
from charrnn.nn.workers import blas_threads
from charrnn.text.corpus import Corpus
from charrnn.text.sources import PathLike
from charrnn.views.compared import Compared, Origin
from charrnn.views.copies import Copy, find_copies
from charrnn.views.expected import Expected, by_line_ends, expected, in_a_row
from charrnn.views.figures import Column
from charrnn.views.page_file import save_page
from charrnn.views.report import notebook, report

# Characters of the corpus that the texts are compared with, about five seconds' work.
# Of a longer corpus, only a part is read, spread over its length.
_SEARCHED = 1 << 25
_ROWS = 256  # texts drawn side by side


@dataclass(frozen=True)
class Comparison(Compared):
    """Columns that differ only in the temperature, as pages and notebooks show them."""

    def to_html(self) -> str:
        """Return a page that shows everything: one file that needs no other."""
        return report(self)

    def save_html(self, path: PathLike, *, force: bool = False) -> Path:
        """Write a page that shows everything, and return its path.

        Parameters
        ----------
        path : path-like
            The file to write.
        force : bool
            Replace an existing file.

        Raises
        ------
        ConfigError
            If the file already exists or cannot be written.
        """
        return save_page(Path(path), self.to_html, force=force)

    def _repr_html_(self) -> str:
        """Return the texts side by side and charts, as notebooks show them."""
        return notebook(self)


def compare(
    language_model: LanguageModel,
    prime: str,
    temperatures: Sequence[float] | Array,
    *,
    corpus: Corpus | None = None,
    on_unknown: str = "error",
    length: int = 300,
    n: int = 1,
    seed: int | None = None,
    details: bool = True,
) -> Comparison:
    """Draw n texts at each temperature and measure them.

    corpus is the text that the model was trained on, if it is available. If seed is
    None, a new one is used, and returned in the comparison. Text i uses the same random
    numbers at every temperature. Without `details`, pages show neither the
    probabilities of characters nor copied stretches.
    """
    seed = new_seed() if seed is None else seed
    config = SampleConfig(length=length, seed=seed)
    if config.length < 1:
        raise ConfigError(f"length is {length}; expected at least 1, to compare texts")
    if n < 1:
        raise ConfigError(f"n is {n}; expected at least 1 text per temperature")
    given = np.ravel(temperatures).tolist()
    if not given:
        raise ConfigError("no temperatures; expected at least one")
    values = [SampleConfig(temperature=t).temperature for t in given]
    places = [(temperature, i) for temperature in values for i in range(n)]
    drawn = [
        documents
        for start in range(0, len(places), _ROWS)
        for documents in _draw(
            language_model, prime, config, places[start : start + _ROWS], on_unknown
        )
    ]
    texts = ["\n".join(documents) for documents in drawn]
    shared, searched = None, None
    copies: list[list[Copy]] = [[] for _ in texts]
    if corpus:
        shared, searched = search_spread(texts, corpus, _SEARCHED)
        if details:
            copies = find_copies(texts, corpus, _SEARCHED)
    start = language_model.encode_prime(prime, on_unknown)
    columns = []
    for i, ((temperature, _), text) in enumerate(zip(places, texts, strict=True)):
        with blas_threads(1):  # several do not pay for one text, and wait
            read = measure(
                language_model, start, drawn[i], temperature, details=details
            )
        columns.append(
            Column(
                temperature,
                text,
                read.log_prob,
                read.entropy,
                distinct_ngrams(text),
                repetition(text),
                known_words(text, shared.words) if shared else None,
                shared.copies[i] if shared else None,
                read.expected,
                copies[i],
            )
        )
    found = _calibration(language_model, corpus) if corpus else None
    return Comparison(
        prime,
        config.seed,
        columns[::n],
        found.temperature if found else None,
        searched,
        [columns[i + 1 : i + n] for i in range(0, len(columns), n)] if n > 1 else [],
        found.curve if found else [],
        Origin(
            language_model.describe(),
            corpus.summary if corpus else None,
            language_model.vocab.symbols,
            language_model.reads_bytes,
        ),
    )


def _calibration(language_model: LanguageModel, corpus: Corpus) -> Calibration | None:
    """Return the calibration, or None without held-out text."""
    try:
        _, held_out = language_model.parts_of(corpus)
    except TextError as error:
        warnings.warn(str(error), CharRNNWarning, stacklevel=3)
        return None
    if len(held_out) < 2:
        return None
    with blas_threads(1):
        return calibration(language_model.model, held_out)


def _draw(
    language_model: LanguageModel,
    prime: str,
    config: SampleConfig,
    places: Sequence[tuple[float, int]],
    on_unknown: str,
) -> list[list[str]]:
    """Return a text for each (temperature, number) or, of documents, several.

    There are as many documents as the length has room for. Document i of a text uses
    the same random numbers at every temperature.
    """
    has_documents = language_model.vocab.end_id is not None
    apart = config.length if has_documents else 1  # documents that a text can have
    drawn: list[list[str]] = [[] for _ in places]
    rooms = [config.length] * len(drawn)
    number = 0
    while rows := [i for i, room in enumerate(rooms) if room > 0]:
        pieces = language_model.draw(
            prime,
            config,
            texts=[places[i][1] * apart + number for i in rows],
            temperatures=[places[i][0] for i in rows],
            on_unknown=on_unknown,
        )
        for i, text in zip(rows, joined(pieces, len(rows)), strict=True):
            drawn[i].append(text[: rooms[i]])
            rooms[i] -= len(text) + 1  # and a line end
        number += 1
        if not has_documents:
            break
    return drawn


@dataclass(frozen=True)
class Measured:
    """What a model finds in texts that it has written."""

    log_prob: float  # mean log-probability, nats per character
    entropy: float  # mean entropy of the draws, nats per character
    expected: Expected | None


def measure(
    language_model: LanguageModel,
    start: Array,
    texts: Sequence[str],
    temperature: float,
    filters: Filters = NO_FILTERS,
    *,
    details: bool = False,
) -> Measured:
    """Return the mean log-probability of texts, and the mean entropy of their draws.

    start is the ids before each text. With `details`, return also what was expected at
    each character of the joined texts.
    """
    loss = entropy = 0.0
    skipped = len(start) - 1  # predictions of the prime
    documents = []
    for text in texts:
        ids = np.concatenate([start, language_model.vocab.encode(text)])
        seen = []
        for window in predictions(language_model.model, ids, streams=1):
            own = slice(max(0, skipped - window.start), None)
            logits, targets = window.logits[own, 0].copy(), window.targets[own, 0]
            drawn = without(logits, language_model.never_drawn)
            temperatures = np.full((len(logits), 1), temperature)
            p = distribution(drawn, temperatures, filters)
            entropy -= float((p * np.log(np.where(p > 0, p, 1))).sum())
            losses, p = softmax_losses_(logits, targets)
            loss += float(losses.sum(dtype=np.float64))
            if details:
                seen.append(expected(losses, p, targets))
        documents.append(in_a_row(seen))
    characters = max(1, sum(map(len, texts)))
    return Measured(
        -loss / characters,
        entropy / characters + 0.0,
        by_line_ends(documents) if details else None,
    )
