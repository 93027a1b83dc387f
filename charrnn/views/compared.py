"""Texts at several temperatures, and the figures of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from charrnn.views.figures import Column, figures, statistics


@dataclass(frozen=True)
class Origin:
    """What texts come from: a model and the text that it was trained on."""

    model: str  # in words
    corpus: str | None  # in words; None if it is not available
    symbols: Sequence[str]  # of the model's vocabulary
    reads_bytes: bool


@dataclass(frozen=True)
class Compared:
    """Columns that differ only in the temperature."""

    prime: str
    seed: int
    columns: list[Column]  # the first text at each temperature
    # The temperature that makes held-out text most likely; 1 means calibrated.
    calibrated: float | None
    # The share of the corpus in which words and copies were looked up, up to 1; None
    # without a corpus.
    searched: float | None = None
    others: list[list[Column]] = field(default_factory=list)  # the other texts of each
    # Temperatures, and the loss of held-out text at each, in nats per character.
    curve: list[tuple[float, float]] = field(default_factory=list, repr=False)
    origin: Origin | None = field(default=None, compare=False, repr=False)

    @property
    def samples(self) -> list[list[Column]]:
        """All texts at each temperature, of which `columns` are the first."""
        others = self.others or [[] for _ in self.columns]
        return [
            [first, *rest] for first, rest in zip(self.columns, others, strict=True)
        ]

    def figures(self) -> list[dict[str, str]]:
        """Return the statistics at each temperature as text, by the names of tables.

        Those of several texts are their mean ± their standard deviation.
        """
        return [figures(samples) for samples in self.samples]

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

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON can hold it.

        If there are several texts at each temperature, a column is the first one and
        also has all `texts`, and the `mean` and `spread` of their statistics.
        """
        columns = []
        for samples in self.samples:
            column = samples[0].to_dict()
            if self.others:
                column["texts"] = [each.to_dict() for each in samples]
                column |= statistics(samples)
            columns.append(column)
        return {
            "prime": self.prime,
            "seed": self.seed,
            "columns": columns,
            "calibrated": self.calibrated,
            "searched": self.searched,
        }
