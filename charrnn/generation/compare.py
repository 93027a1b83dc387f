"""The same prime and the same random numbers at several temperatures, with figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
from charrnn.generation.language_model import LanguageModel
from charrnn.generation.writer import distribution
from charrnn.nn.functional import softmax_losses_
from charrnn.nn.parameters import Array
from charrnn.text.corpus import Corpus, split

# Logits that the calibrated temperature is found from; of 65 characters each they are
# those of 23,000 predictions, which tell it to about a hundredth.
_CALIBRATION_LOGITS = 1_500_000
_COLDEST, _HOTTEST = 0.1, 10.0


@dataclass(frozen=True)
class Column:
    """A text drawn at one temperature. Figures of the corpus are None without it."""

    temperature: float
    text: str
    log_prob: float  # mean nats per character that the model itself gives the text
    entropy: float  # mean nats of the distributions drawn from
    distinct_4grams: float  # share of the text's 4-grams that are distinct
    repetition: float  # share of characters in a stretch that the text already had
    known_words: float | None  # share of words that stand in the corpus
    longest_copy: str | None  # the longest stretch that stands in the corpus


@dataclass(frozen=True)
class Comparison:
    """Columns that differ in the temperature alone."""

    prime: str
    seed: int
    columns: list[Column]
    # The temperature that makes held-out text likeliest; 1 is a model that is right
    # about how sure it can be.
    calibrated: float | None


def compare(
    language_model: LanguageModel,
    prime: str,
    temperatures: Sequence[float],
    *,
    corpus: Corpus | None = None,
    on_unknown: str = "error",
    length: int = 300,
    seed: int = 0,
) -> Comparison:
    """Draw a text at each temperature and measure it.

    corpus is the text that the model was trained on, where it is at hand.
    """
    if not temperatures:
        raise ConfigError("no temperatures; expected at least one")
    if length < 1:
        raise ConfigError(f"length is {length}; expected at least 1, to compare texts")
    steps = language_model.stream(
        prime,
        n=len(temperatures),
        temperatures=temperatures,
        shared=True,
        on_unknown=on_unknown,
        length=length,
        seed=seed,
    )
    texts = ["".join(text) for text in zip(*steps, strict=True)]
    known = set(words(corpus.text)) if corpus else None
    start = language_model.encode(prime or language_model.start(), on_unknown)
    columns = []
    for temperature, text in zip(temperatures, texts, strict=True):
        log_prob, entropy = _surprise(language_model, start, text, temperature)
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
    return Comparison(prime, seed, columns, calibrated)


def _surprise(
    language_model: LanguageModel, start: Array, text: str, temperature: float
) -> tuple[float, float]:
    """Return the mean log-probability of a text and the mean entropy drawn from."""
    if not text:
        return 0.0, 0.0
    model, vocab = language_model.model, language_model.vocab
    ids = np.concatenate([start, vocab.encode(text)])
    pass_ = predictions(model, ids, streams=1)
    logits = np.concatenate([window.logits[:, 0].copy() for window in pass_])
    logits = logits[len(start) - 1 :]
    p = distribution(logits, np.full((len(logits), 1), temperature))
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1).mean()
    losses, _ = softmax_losses_(logits, ids[len(start) :])
    return -float(losses.mean()), float(entropy) + 0.0


def _calibrated_on(language_model: LanguageModel, corpus: Corpus) -> float | None:
    fraction = language_model.checkpoint.split.val_fraction
    _, val = split(language_model.vocab.encode(corpus.text), fraction)
    return calibrated_temperature(language_model.model, val)
