"""Text in, text out: a network and the characters that it knows."""

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from charrnn.config import ModelConfig, SampleConfig, new_seed
from charrnn.errors import ConfigError, TextError
from charrnn.evaluation.loss import Score, losses
from charrnn.generation.sampling import read_prime, sample
from charrnn.generation.stops import until
from charrnn.generation.unknown import known_only
from charrnn.nn.functional import softmax
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array
from charrnn.text.vocab import Vocabulary


class TextModel:
    """Writes, predicts and scores text with a network and its vocabulary.

    Parameters
    ----------
    model : Model
        The network and its weights.
    vocab : Vocabulary
        Its characters, in the order of their ids.
    """

    def __init__(self, model: Model, vocab: Vocabulary) -> None:
        self.model, self.vocab = model, vocab

    @property
    def config(self) -> ModelConfig:
        """The shape of the network: cell, hidden, layers, vocab."""
        return self.model.config

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return int(self.model.params.flat.size)

    def encode(self, text: str, on_unknown: str = "error") -> Array:
        """Return the ids (len(text),) of a text.

        Parameters
        ----------
        text : str
            The text to encode.
        on_unknown : {"error", "skip", "map"}
            What to do with characters outside the vocabulary: raise TextError, leave
            them out, or replace them by the nearest known ones (without accents, in
            the other case, with plain quotes and dashes) and leave out those that have
            none.
        """
        return self.vocab.encode(known_only(text, self.vocab, on_unknown))

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of ids (any shape, read in order).

        Raises TextError for an id outside the vocabulary.
        """
        found = np.asarray(ids)
        V = len(self.vocab)
        if found.size and not 0 <= found.min() <= found.max() < V:
            raise TextError(
                f"ids {found.min()} to {found.max()}; expected 0 to {V - 1}"
            )
        return self.vocab.decode(found)

    def default_prime(self) -> str:
        """Return what the model reads first if no prime is given: a line end."""
        return "\n" if "\n" in self.vocab else self.vocab.characters[0]

    @overload
    def generate(
        self,
        prime: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        stop: str = "",
        n: None = None,
        seed: int | None = None,
        on_unknown: str = "error",
        kernels: str = "auto",
    ) -> str: ...

    @overload
    def generate(
        self,
        prime: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        stop: str = "",
        n: int,
        seed: int | None = None,
        on_unknown: str = "error",
        kernels: str = "auto",
    ) -> list[str]: ...

    def generate(
        self,
        prime: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        stop: str = "",
        n: int | None = None,
        seed: int | None = None,
        on_unknown: str = "error",
        kernels: str = "auto",
    ) -> str | list[str]:
        """Return the prime and the text that the model continues it with.

        Parameters
        ----------
        prime : str
            What the model reads first. If it is empty, a text starts a new line.
        length : int
            Characters to write.
        temperature : float
            Divides the logits: below 1 safer, above 1 wilder, 0 always the likeliest.
        top_k : int
            Draw from the k likeliest characters only; 0 means all.
        top_p : float
            Draw from the likeliest characters that together have this probability.
        stop : str
            A text ends before the first occurrence of this in what the model writes.
        n : int, optional
            Write n texts at once and return a list of them.
        seed : int, optional
            The same seed gives the same text on the same machine; text i of n depends
            on the seed and i alone. None means a new seed each time.
        on_unknown : {"error", "skip", "map"}
            What to do with unknown characters of the prime; see `encode`.
        kernels : {"auto", "numpy", "numba"}
            "auto" uses Numba, if it is installed, for 50,000 characters and more.

        Returns
        -------
        str, or list of str if `n` is given

        Raises
        ------
        ConfigError
            If a setting is not valid.
        TextError
            If the prime has characters that the model does not know.
        """
        config = _config(length, temperature, top_k, top_p, seed, kernels)
        count = 1 if n is None else _count(n)
        rows = self.draw(
            prime, config, texts=range(count), stop=stop, on_unknown=on_unknown
        )
        texts = [prime + text for text in joined(rows, count)]
        return texts[0] if n is None else texts

    @overload
    def stream(
        self,
        prime: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        stop: str = "",
        n: None = None,
        seed: int | None = None,
        on_unknown: str = "error",
        kernels: str = "auto",
    ) -> Iterator[str]: ...

    @overload
    def stream(
        self,
        prime: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        stop: str = "",
        n: int,
        seed: int | None = None,
        on_unknown: str = "error",
        kernels: str = "auto",
    ) -> Iterator[list[str]]: ...

    def stream(
        self,
        prime: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        stop: str = "",
        n: int | None = None,
        seed: int | None = None,
        on_unknown: str = "error",
        kernels: str = "auto",
    ) -> Iterator[str] | Iterator[list[str]]:
        """Return an iterator over the next characters, without the prime.

        Parameters are those of `generate`. Each item is the next character; if `n` is
        given, a list of the next character of each text. With `stop`, an item may also
        be "" or several characters, because the model may be writing the stop string.

        Examples
        --------
        >>> for character in charrnn.load().stream("ROMEO:"):
        ...     print(character, end="", flush=True)
        """
        config = _config(length, temperature, top_k, top_p, seed, kernels)
        texts = range(1 if n is None else _count(n))
        rows = self.draw(prime, config, texts=texts, stop=stop, on_unknown=on_unknown)
        return (row[0] for row in rows) if n is None else rows

    def draw(
        self,
        prime: str,
        config: SampleConfig,
        *,
        texts: Sequence[int] = (0,),
        temperatures: Sequence[float] | None = None,
        stop: str = "",
        on_unknown: str = "error",
    ) -> Iterator[list[str]]:
        """Return an iterator over the next character of each text, as `stream` does.

        Parameters
        ----------
        prime : str
            What the model reads first.
        config : SampleConfig
            How to draw.
        texts : sequence of int
            The number of each text. Texts of the same number use the same random
            numbers.
        temperatures : sequence of float, optional
            One temperature per text, instead of the configuration's.
        stop, on_unknown : str
            As in `generate`.
        """
        ids = self.encode(prime or self.default_prime(), on_unknown)
        if not len(ids):
            raise TextError(f"the model knows no character of the prime {prime!r}")
        if temperatures is not None and len(temperatures) != len(texts):
            raise ConfigError(
                f"{len(temperatures)} temperatures for {len(texts)} texts; expected "
                "one per text"
            )
        drawn = sample(self.model, ids, config, texts=texts, temperatures=temperatures)
        characters = self.vocab.characters
        # Returned, not yielded, so that errors above are raised by this call.
        return until(([characters[i] for i in row] for row in drawn), stop)

    def next(
        self, prefix: str = "", top: int | None = None, *, on_unknown: str = "error"
    ) -> list[tuple[str, float]]:
        """Return the characters that may follow and their probabilities, best first.

        Parameters
        ----------
        prefix : str
            The text so far.
        top : int, optional
            The number of characters to return. None means all.
        on_unknown : {"error", "skip", "map"}
            What to do with unknown characters of the prefix; see `encode`.
        """
        if top is not None and top < 1:
            raise ConfigError(f"top is {top}; expected at least 1")
        ids = self.encode(prefix or self.default_prime(), on_unknown)
        logits, _ = read_prime(self.model, ids)
        p = softmax(logits.astype(np.float64))[0]
        order = np.argsort(-p, kind="stable")[:top]
        return [(self.vocab.characters[i], float(p[i])) for i in order]

    def losses(self, text: str, *, on_unknown: str = "error") -> Array:
        """Return the loss of each character of a text, in nats.

        The first character has no loss, because nothing comes before it. So the shape
        is (len(text) - 1,), unless unknown characters were left out.
        `losses(text)[i]` is how surprising `text[i + 1]` is after `text[: i + 1]`.
        """
        return losses(self.model, self.encode(text, on_unknown), threads=0)

    def evaluate(self, text: str, *, on_unknown: str = "error") -> Score:
        """Return how well the model predicts a text, all of it.

        Raises TextError for a text of fewer than 2 characters.
        """
        found = self.losses(text, on_unknown=on_unknown)
        return Score(float(found.mean()), len(found))


def joined(rows: Iterable[Sequence[str]], n: int) -> list[str]:
    """Join rows, which hold the next piece of each text, into n texts."""
    rows = iter(rows)
    # The model comes first: if n is far too large, its arrays fail at once, and lists
    # would first fill the memory.
    first = next(rows, [""] * n)
    texts = [[piece] for piece in first]
    for row in rows:
        for text, piece in zip(texts, row, strict=True):
            text.append(piece)
    return ["".join(text) for text in texts]


def _count(n: int) -> int:
    if n < 1:
        raise ConfigError(f"n is {n}; expected at least 1")
    return int(n)


def _config(
    length: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int | None,
    kernels: str,
) -> SampleConfig:
    """Return a configuration, with a new seed if none is given."""
    if seed is None:
        seed = new_seed()
    return SampleConfig(length, temperature, top_k, top_p, seed, kernels)
