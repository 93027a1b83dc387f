"""Texts at several temperatures, from the same random numbers, with statistics."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.config import SampleConfig, new_seed
from charrnn.errors import CharRNNWarning, ConfigError, TextError
from charrnn.evaluation.calibration import calibrated_temperature
from charrnn.evaluation.corpus_search import search_corpus
from charrnn.evaluation.loss import predictions
from charrnn.evaluation.textstats import distinct_ngrams, known_words, repetition
from charrnn.generation.language_model import LanguageModel
from charrnn.generation.text_model import joined
from charrnn.nn.filters import NO_FILTERS, Filters, distribution, without
from charrnn.nn.functional import softmax_losses_
from charrnn.nn.parameters import Array
from charrnn.text.corpus import Corpus
from charrnn.views.columns import html_columns

# Characters of the corpus that the texts are compared with, about five seconds' work.
# Of a longer corpus, only a part is read, spread over its length.
_SEARCHED = 1 << 25


@dataclass(frozen=True)
class Column:
    """A text drawn at one temperature, and its statistics.

    The statistics that need the corpus are None if it is not available.
    """

    temperature: float
    text: str
    log_prob: float  # mean log-probability under the model, nats per character
    entropy: float  # mean entropy of the distributions drawn from, nats per character
    distinct_4grams: float  # share of the text's 4-grams that are distinct
    repetition: float  # share of characters that repeat an earlier stretch of the text
    known_words: float | None  # share of words that occur in the corpus
    longest_copy: str | None  # the longest stretch that occurs in the corpus

    def figures(self) -> dict[str, str]:
        """Return the statistics as text, by the names that tables show."""
        figures = {
            "log p": f"{self.log_prob:.3f}",
            "entropy": f"{self.entropy:.3f}",
            "distinct": f"{self.distinct_4grams:.0%}",
            "repeated": f"{self.repetition:.0%}",
        }
        if self.longest_copy is not None:
            known = self.known_words
            figures["known"] = "none" if known is None else f"{known:.0%}"
            figures["copied"] = f"{len(self.longest_copy)}"
        return figures


@dataclass(frozen=True)
class Comparison:
    """Columns that differ only in the temperature."""

    prime: str
    seed: int
    columns: list[Column]
    # The temperature that makes held-out text most likely; 1 means calibrated.
    calibrated: float | None
    # The share of the corpus in which words and copies were looked up, up to 1; None
    # without a corpus.
    searched: float | None = None

    def last_line(self) -> str:
        """Return what is to be read below the columns, or "" if there is nothing."""
        sentences = []
        if self.searched is not None and self.searched < 1:
            sentences.append(
                f"known and copied refer to {self.searched:.1%} of the corpus."
            )
        if self.calibrated is not None:
            sentences.append(
                f"Held-out text is likeliest at temperature {self.calibrated:.2f}."
            )
        return " ".join(sentences)

    def _repr_html_(self) -> str:
        """Return the texts side by side, as notebooks show them."""
        figures = [column.figures() for column in self.columns]
        return html_columns(
            [f"temperature {column.temperature:g}" for column in self.columns],
            [self.prime + column.text for column in self.columns],
            {name: [each[name] for each in figures] for name in figures[0]},
            footer=self.last_line(),
        )


def compare(
    language_model: LanguageModel,
    prime: str,
    temperatures: Sequence[float] | Array,
    *,
    corpus: Corpus | None = None,
    on_unknown: str = "error",
    length: int = 300,
    seed: int | None = None,
) -> Comparison:
    """Draw a text at each temperature and measure it.

    corpus is the text that the model was trained on, if it is available. If seed is
    None, a new one is used, and returned in the comparison.
    """
    seed = new_seed() if seed is None else seed
    config = SampleConfig(length=length, seed=seed)
    if config.length < 1:
        raise ConfigError(f"length is {length}; expected at least 1, to compare texts")
    given = np.ravel(temperatures).tolist()
    if not given:
        raise ConfigError("no temperatures; expected at least one")
    values = [SampleConfig(temperature=t).temperature for t in given]
    drawn = _draw(language_model, prime, config, values, on_unknown)
    texts = ["\n".join(documents) for documents in drawn]
    shared, searched = None, None
    if corpus:
        searched = min(1.0, _SEARCHED / corpus.characters)
        shared = search_corpus(texts, corpus.spread(_SEARCHED), gaps=searched < 1)
    start = language_model.encode_prime(prime, on_unknown)
    columns = []
    for i, (temperature, text) in enumerate(zip(values, texts, strict=True)):
        log_prob, entropy = log_prob_and_entropy(
            language_model, start, drawn[i], temperature
        )
        columns.append(
            Column(
                temperature,
                text,
                log_prob,
                entropy,
                distinct_ngrams(text),
                repetition(text),
                known_words(text, shared.words) if shared else None,
                shared.copies[i] if shared else None,
            )
        )
    calibrated = _calibrated(language_model, corpus) if corpus else None
    return Comparison(prime, config.seed, columns, calibrated, searched)


def _calibrated(language_model: LanguageModel, corpus: Corpus) -> float | None:
    """Return the calibrated temperature, or None without held-out text."""
    try:
        _, held_out = language_model.parts_of(corpus)
    except TextError as error:
        warnings.warn(str(error), CharRNNWarning, stacklevel=3)
        return None
    if len(held_out) < 2:
        return None
    return calibrated_temperature(language_model.model, held_out)


def _draw(
    language_model: LanguageModel,
    prime: str,
    config: SampleConfig,
    temperatures: Sequence[float],
    on_unknown: str,
) -> list[list[str]]:
    """Return a text for each temperature or, from a model of documents, several.

    There are as many documents as the length has room for. Document i uses the same
    random numbers at every temperature.
    """
    drawn: list[list[str]] = [[] for _ in temperatures]
    rooms = [config.length] * len(drawn)
    number = 0
    while columns := [i for i, room in enumerate(rooms) if room > 0]:
        rows = language_model.draw(
            prime,
            config,
            texts=[number] * len(columns),
            temperatures=[temperatures[i] for i in columns],
            on_unknown=on_unknown,
        )
        for i, text in zip(columns, joined(rows, len(columns)), strict=True):
            drawn[i].append(text[: rooms[i]])
            rooms[i] -= len(text) + 1  # and a line end
        number += 1
        if language_model.vocab.end_id is None:
            break
    return drawn


def log_prob_and_entropy(
    language_model: LanguageModel,
    start: Array,
    texts: Sequence[str],
    temperature: float,
    filters: Filters = NO_FILTERS,
) -> tuple[float, float]:
    """Return the mean log-probability of texts, and the mean entropy of their draws.

    start is the ids before each text. Both are in nats per character.
    """
    loss = entropy = 0.0
    skipped = len(start) - 1  # predictions of the prime
    for text in texts:
        ids = np.concatenate([start, language_model.vocab.encode(text)])
        for window in predictions(language_model.model, ids, streams=1):
            own = slice(max(0, skipped - window.start), None)
            logits, targets = window.logits[own, 0].copy(), window.targets[own, 0]
            drawn = without(logits, language_model.never_drawn)
            temperatures = np.full((len(logits), 1), temperature)
            p = distribution(drawn, temperatures, filters)
            entropy -= float((p * np.log(np.where(p > 0, p, 1))).sum())
            losses, _ = softmax_losses_(logits, targets)
            loss += float(losses.sum(dtype=np.float64))
    characters = max(1, sum(map(len, texts)))
    return -loss / characters, entropy / characters + 0.0
