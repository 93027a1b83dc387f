"""Texts at several temperatures, from the same random numbers, with statistics."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.config import SampleConfig, new_seed
from charrnn.errors import ConfigError
from charrnn.evaluation.calibration import calibrated_temperature
from charrnn.evaluation.loss import predictions
from charrnn.evaluation.textstats import (
    distinct_ngrams,
    known_words,
    longest_copy,
    repetition,
    words,
)
from charrnn.generation.html_card import html_columns
from charrnn.generation.language_model import LanguageModel
from charrnn.generation.text_model import joined
from charrnn.generation.writer import distribution
from charrnn.nn.functional import softmax_losses_
from charrnn.nn.parameters import Array
from charrnn.text.corpus import Corpus, split


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

    def last_line(self) -> str:
        """Return the line below the columns, or "" without a calibrated temperature."""
        if self.calibrated is None:
            return ""
        return f"Held-out text is likeliest at temperature {self.calibrated:.2f}."

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
    rows = language_model.draw(
        prime,
        config,
        texts=[0] * len(values),
        temperatures=values,
        on_unknown=on_unknown,
    )
    texts = joined(rows, len(values))
    known = set(words(corpus.text)) if corpus else None
    start = language_model.encode(prime or language_model.default_prime(), on_unknown)
    columns = []
    for temperature, text in zip(values, texts, strict=True):
        log_prob, entropy = _log_prob_and_entropy(
            language_model, start, text, temperature
        )
        columns.append(
            Column(
                temperature,
                text,
                log_prob,
                entropy,
                distinct_ngrams(text),
                repetition(text),
                known_words(text, known) if known is not None else None,
                longest_copy(text, corpus.text) if corpus else None,
            )
        )
    calibrated = _calibrated_on(language_model, corpus) if corpus else None
    return Comparison(prime, config.seed, columns, calibrated)


def _log_prob_and_entropy(
    language_model: LanguageModel, start: Array, text: str, temperature: float
) -> tuple[float, float]:
    """Return a text's mean log-probability, and the mean entropy of its draws."""
    model, vocab = language_model.model, language_model.vocab
    ids = np.concatenate([start, vocab.encode(text)])
    windows = predictions(model, ids, streams=1)
    logits = np.concatenate([window.logits[:, 0].copy() for window in windows])
    logits = logits[len(start) - 1 :]
    p = distribution(logits, np.full((len(logits), 1), temperature))
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1).mean()
    losses, _ = softmax_losses_(logits, ids[len(start) :])
    return -float(losses.mean()), float(entropy) + 0.0


def _calibrated_on(language_model: LanguageModel, corpus: Corpus) -> float | None:
    ids = language_model.vocab.encode(corpus.text)
    _, val = split(ids, language_model.split.val_fraction)
    return calibrated_temperature(language_model.model, val)
