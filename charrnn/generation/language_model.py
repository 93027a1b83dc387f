"""A trained model with its vocabulary: from text to text."""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.config import ON_UNKNOWN, SampleConfig
from charrnn.errors import ConfigError, TextError
from charrnn.evaluation.loss import Score, evaluate
from charrnn.generation.sampling import read_prime, sample
from charrnn.nn.functional import softmax
from charrnn.nn.parameters import Array
from charrnn.storage.checkpoint import Checkpoint


class LanguageModel:
    """Writes and reads text with a checkpoint's model.

    The text of a model that was trained on bytes has the character `chr(b)` for byte b.

    >>> import charrnn
    >>> charrnn.load("checkpoints/shakespeare").generate("ROMEO:", seed=1)
    """

    def __init__(self, checkpoint: Checkpoint, path: Path | None = None) -> None:
        self.checkpoint = checkpoint
        self.path = path
        self.model, self.vocab = checkpoint.model, checkpoint.vocab

    def __repr__(self) -> str:
        config = self.model.config
        return (
            f"LanguageModel({config.cell}, {config.layers} x {config.hidden} units, "
            f"{config.vocab} characters, from {self.path or 'memory'})"
        )

    @property
    def reads_bytes(self) -> bool:
        """Whether characters stand for bytes, byte b as `chr(b)`."""
        return self.checkpoint.corpus.reads_bytes

    def encode(self, text: str, on_unknown: str = "error") -> Array:
        """Return the ids of a text; on_unknown is "error", "skip" or "map".

        Characters outside the vocabulary raise TextError, are left out, or become the
        nearest that the vocabulary has (without accents, in the other case, with plain
        quotes and dashes) and are left out only where there is none.
        """
        if on_unknown not in ON_UNKNOWN:
            raise ConfigError(
                f"on_unknown is {on_unknown!r}; expected {', '.join(ON_UNKNOWN)}"
            )
        unknown = self.vocab.unknown(text)
        if unknown and on_unknown == "error":
            raise TextError(
                f"the model has never seen {' '.join(map(repr, unknown))}; leave them "
                "out, or have them skipped or mapped (--on-unknown)"
            )
        nearest = self._nearest if on_unknown == "map" else lambda c: ""
        table = str.maketrans({c: nearest(c) for c in unknown})
        return self.vocab.encode(text.translate(table))

    def _nearest(self, character: str) -> str:
        plain = _PLAIN.get(character) or "".join(
            c
            for c in unicodedata.normalize("NFKD", character)
            if not unicodedata.combining(c)
        )
        for candidate in (plain, plain.swapcase()):
            if candidate and not self.vocab.unknown(candidate):
                return candidate
        return ""

    def start(self) -> str:
        """Return what a text starts after where no prime is given."""
        return "\n" if "\n" in self.vocab else self.vocab.characters[0]

    def stream(
        self,
        prime: str = "",
        *,
        n: int = 1,
        temperatures: Sequence[float] | None = None,
        shared: bool = False,
        on_unknown: str = "error",
        **settings: Any,
    ) -> Iterator[list[str]]:
        """Return an iterator over the next characters of n texts, after the prime.

        settings are the fields of SampleConfig. temperatures, one for each text, take
        the place of the one temperature; with `shared`, all texts draw from the same
        random numbers.
        """
        config = _sample_config(settings)
        if n < 1:
            raise ConfigError(f"n is {n}; expected at least 1")
        if temperatures is not None and len(temperatures) != n:
            raise ConfigError(
                f"{len(temperatures)} temperatures for {n} texts; expected one for each"
            )
        for temperature in temperatures or ():
            SampleConfig(temperature=temperature)  # refuses what makes no sense
        ids = self.encode(prime or self.start(), on_unknown)
        if not len(ids):
            raise TextError(f"the model knows no character of the prime {prime!r}")
        texts = [0] * n if shared else range(n)
        drawn = sample(self.model, ids, config, texts=texts, temperatures=temperatures)
        characters = self.vocab.characters
        # A generator of its own, so that what is wrong is said here and now.
        return ([characters[i] for i in row] for row in drawn)

    def generate(
        self,
        prime: str = "",
        *,
        stop: str = "",
        on_unknown: str = "error",
        **settings: Any,
    ) -> str:
        """Return the prime and the text that the model goes on with.

        settings: length (characters), temperature, top_k, top_p, seed. The text ends
        before the first `stop` in it.
        """
        _sample_config(settings)  # n and the like are of `stream` alone
        text = ""
        for (character,) in self.stream(prime, on_unknown=on_unknown, **settings):
            text += character
            if stop and text.endswith(stop):
                text = text[: -len(stop)]
                break
        return prime + text

    def next(
        self, prefix: str, *, on_unknown: str = "error"
    ) -> list[tuple[str, float]]:
        """Return each character and its chance of coming next, likeliest first."""
        ids = self.encode(prefix or self.start(), on_unknown)
        logits, _ = read_prime(self.model, ids)
        p = softmax(logits.astype(np.float64))[0]
        order = np.argsort(-p, kind="stable")
        return [(self.vocab.characters[i], float(p[i])) for i in order]

    def evaluate(self, text: str) -> Score:
        """Return how well the model predicts a text, all of it."""
        return evaluate(self.model, self.encode(text))


# Typographic signs that Unicode does not call variants of a plain one.
_PLAIN = {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "--", "\t": " "}


def _sample_config(settings: dict[str, Any]) -> SampleConfig:
    try:
        return SampleConfig(**settings)
    except TypeError as error:
        raise ConfigError(str(error).replace("SampleConfig.__init__() ", "")) from None
