"""The figures of a text, and of several texts at the same temperature."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from charrnn.views.copies import Copy
from charrnn.views.expected import Expected


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
    # Details for pages: the probabilities of each character, and where copied stretches
    # come from. They follow from the rest.
    expected: Expected | None = field(default=None, compare=False, repr=False)
    copies: list[Copy] = field(default_factory=list, compare=False, repr=False)

    def figures(self) -> dict[str, str]:
        """Return the statistics as text, by the names that tables show."""
        return figures([self])

    def to_dict(self) -> dict[str, Any]:
        """Return the text and its statistics as JSON can hold them."""
        names = ("temperature", "text", *(each.field for each in MEASURES))
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Measure:
    """A statistic of a text, and how it is shown."""

    name: str  # in tables
    field: str  # of Column
    title: str  # of its chart
    form: str  # of one number
    mean_form: str  # of a mean and of a standard deviation
    needs_corpus: bool = False

    def value(self, column: Column) -> float | None:
        """Return the statistic of a text as a number, or None if it has none."""
        value: float | str | None = getattr(column, self.field)
        return len(value) if isinstance(value, str) else value

    def show(self, values: Sequence[float]) -> str:
        """Return one number, or the mean of several ± their standard deviation."""
        if len(values) < 2:
            return format(values[0], self.form) if values else "none"
        mean, spread = fmean(values), stdev(values)
        return f"{mean:{self.mean_form}}±{spread:{self.mean_form}}"


MEASURES = (
    Measure(
        *("log p", "log_prob", "Mean log-probability, nats per character"),
        *(".3f", ".2f"),
    ),
    Measure(
        *("entropy", "entropy", "Mean entropy, nats per character"),
        *(".3f", ".2f"),
    ),
    Measure(
        *("distinct", "distinct_4grams", "Share of distinct 4-grams"),
        *(".0%", ".0%"),
    ),
    Measure(
        *("repeated", "repetition", "Share of repeated characters"),
        *(".0%", ".0%"),
    ),
    Measure(
        *("known", "known_words", "Share of words that the training text has"),
        *(".0%", ".0%"),
        needs_corpus=True,
    ),
    Measure(
        *("copied", "longest_copy", "Longest copied stretch, characters"),
        *(".0f", ".0f"),
        needs_corpus=True,
    ),
)


def values_of(measure: Measure, samples: Sequence[Column]) -> list[float]:
    """Return the numbers of those texts that have one."""
    found = map(measure.value, samples)
    return [value for value in found if value is not None]


def figures(samples: Sequence[Column]) -> dict[str, str]:
    """Return the statistics of texts at one temperature, by the names of tables."""
    has_corpus = samples[0].longest_copy is not None
    return {
        measure.name: measure.show(values_of(measure, samples))
        for measure in MEASURES
        if has_corpus or not measure.needs_corpus
    }


def statistics(samples: Sequence[Column]) -> dict[str, dict[str, float | None]]:
    """Return the means and the standard deviations of several texts, by field."""
    found = {each.field: values_of(each, samples) for each in MEASURES}
    return {
        "mean": {name: fmean(each) if each else None for name, each in found.items()},
        "spread": {
            name: stdev(each) if len(each) > 1 else None for name, each in found.items()
        },
    }
