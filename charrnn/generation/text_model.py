"""Text in, text out: a network and the characters that it knows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from io import StringIO
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from charrnn.config import ModelConfig, SampleConfig, new_seed
from charrnn.errors import ConfigError, TextError
from charrnn.evaluation.loss import Score, losses
from charrnn.generation.batches import in_batches, only_new
from charrnn.generation.choices import Choices
from charrnn.generation.sampling import read_prime, sample, with_kernels
from charrnn.generation.stops import MOST_EXTRA, cut, ending_of
from charrnn.generation.unknown import known_only
from charrnn.nn.functional import softmax
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import Predictor, described, only_member
from charrnn.text.vocab import Vocabulary
from charrnn.training.dynamic import dynamic_losses


class TextModel:
    """Writes, predicts and scores text with a network and its vocabulary.

    Parameters
    ----------
    model : Model or Ensemble
        The network and its weights, or several networks.
    vocab : Vocabulary
        Its characters, in the order of their ids.
    """

    def __init__(self, model: Predictor, vocab: Vocabulary) -> None:
        self.model, self.vocab = model, vocab

    @property
    def config(self) -> ModelConfig:
        """The shape of the network: cell, hidden, layers, vocab.

        Raises ConfigError for an ensemble, whose networks have shapes of their own.
        """
        return only_member(self.model, "has no single shape").config

    @property
    def network(self) -> str:
        """The kind of network in words, or the kinds of an ensemble's networks."""
        return described(self.model)

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return self.model.params.flat.size

    @property
    def never_drawn(self) -> tuple[int, ...]:
        """The ids that are never written: that of the symbol for rare characters."""
        unknown = self.vocab.unknown_id
        return () if unknown is None else (unknown,)

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
        """Return what the model reads first if no prime is given: a line end.

        If it knows none, it is the first character. In a model of documents it is "",
        because each text starts a document.
        """
        if self.vocab.end_id is not None:
            return ""
        return "\n" if "\n" in self.vocab else self.vocab.characters[0]

    def encode_prime(self, prime: str, on_unknown: str = "error") -> Array:
        """Return the ids that the model reads first, at least one.

        They are those of the prime or, if it is empty, of the default prime. In a model
        of documents, the end mark comes before them.
        """
        text = prime or self.default_prime()
        known = known_only(text, self.vocab, on_unknown, "the prime")
        ids = self.vocab.encode(known)
        if prime and not len(ids):
            raise TextError(f"the model knows no character of the prime {prime!r}")
        if self.vocab.end_id is not None:
            ids = np.concatenate([np.array([self.vocab.end_id], ids.dtype), ids])
        return ids

    @overload
    def generate(
        self,
        prime: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        typical: float = 1.0,
        loop_penalty: float = 0.0,
        stop: str | Sequence[str] = "",
        until: str = "",
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
        min_p: float = 0.0,
        typical: float = 1.0,
        loop_penalty: float = 0.0,
        stop: str | Sequence[str] = "",
        until: str = "",
        n: int,
        unique: bool = False,
        is_known: Callable[[str], bool] | None = None,
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
        min_p: float = 0.0,
        typical: float = 1.0,
        loop_penalty: float = 0.0,
        stop: str | Sequence[str] = "",
        until: str = "",
        n: int | None = None,
        unique: bool = False,
        is_known: Callable[[str], bool] | None = None,
        seed: int | None = None,
        on_unknown: str = "error",
        kernels: str = "auto",
    ) -> str | list[str]:
        """Return the prime and the text that the model continues it with.

        Parameters
        ----------
        prime : str
            What the model reads first. If it is empty, it is `default_prime()`, which
            is not part of the text.
        length : int
            Characters to write. A model of documents may write fewer.
        temperature : float
            Divides the logits: below 1 safer, above 1 wilder, 0 always the likeliest.
        top_k : int
            Draw from the k likeliest characters only; 0 means all.
        top_p : float
            Draw from the likeliest characters that together have this probability.
        min_p : float
            Draw from characters at least this many times as likely as the likeliest.
        typical : float
            Draw from the characters whose surprisal is nearest to the entropy and that
            together have this probability.
        loop_penalty : float
            Penalty for repeating a stretch of the text, in nats for each character
            beyond 15. 0.5 keeps a text out of loops.
        stop : str or sequence of str
            A text ends before the first of these in what the model writes.
        until : {"", "sentence", "line", "paragraph"}
            After `length` characters, go on to the next end of a sentence, line or
            paragraph, for at most 2,000 characters.
        n : int, optional
            Write n texts and return a list of them.
        unique : bool
            Leave out texts that have come before; only with `n`.
        is_known : callable, optional
            Leave out texts for which `is_known(text)` is true; only with `n`. If 100
            texts in a row are left out, the list ends, with a CharRNNWarning.
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

        Warns
        -----
        CharRNNWarning
            If `until` was not reached, or fewer than `n` texts came.
        """
        config = _config(
            length,
            temperature,
            top_k,
            top_p,
            min_p,
            typical,
            loop_penalty,
            seed,
            kernels,
        )
        if n is None and (unique or is_known):
            raise ConfigError("unique and is_known choose among several texts; give n")
        texts = self.texts(
            prime,
            config,
            1 if n is None else n,
            stop=stop,
            until=until,
            on_unknown=on_unknown,
            unique=unique,
            is_known=is_known,
        )
        return next(texts) if n is None else [*texts]

    @overload
    def stream(
        self,
        prime: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        typical: float = 1.0,
        loop_penalty: float = 0.0,
        stop: str | Sequence[str] = "",
        until: str = "",
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
        min_p: float = 0.0,
        typical: float = 1.0,
        loop_penalty: float = 0.0,
        stop: str | Sequence[str] = "",
        until: str = "",
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
        min_p: float = 0.0,
        typical: float = 1.0,
        loop_penalty: float = 0.0,
        stop: str | Sequence[str] = "",
        until: str = "",
        n: int | None = None,
        seed: int | None = None,
        on_unknown: str = "error",
        kernels: str = "auto",
    ) -> Iterator[str] | Iterator[list[str]]:
        """Return an iterator over the next characters, without the prime.

        Parameters are those of `generate`. Each item is the next character; if `n` is
        given, a list of the next character of each text. If a text may end early, an
        item may also be "" or several characters, because what may be the start of a
        stop is held back.

        Examples
        --------
        >>> for character in charrnn.load().stream("ROMEO:"):
        ...     print(character, end="", flush=True)
        """
        config = _config(
            length,
            temperature,
            top_k,
            top_p,
            min_p,
            typical,
            loop_penalty,
            seed,
            kernels,
        )
        rows = self.draw(
            prime,
            config,
            texts=range(1 if n is None else _count(n)),
            stop=stop,
            until=until,
            on_unknown=on_unknown,
        )
        return (row[0] for row in rows) if n is None else rows

    def texts(
        self,
        prime: str,
        config: SampleConfig,
        n: int,
        *,
        stop: str | Sequence[str] = "",
        until: str = "",
        on_unknown: str = "error",
        unique: bool = False,
        is_known: Callable[[str], bool] | None = None,
    ) -> Iterator[str]:
        """Return an iterator over n texts, prime included, as `generate` writes them.

        They are written in batches, so that no more than one batch is in memory.
        """
        config = with_kernels(config, self.model, _count(n))
        options: Any = {"stop": stop, "until": until, "on_unknown": on_unknown}

        def write(numbers: range) -> list[str]:
            rows = self.draw(prime, config, texts=numbers, **options)
            return [prime + text for text in joined(rows, len(numbers))]

        self.draw(prime, config, **options)  # raises before the first text is written
        return in_batches(write, n, only_new(unique, is_known))

    def draw(
        self,
        prime: str,
        config: SampleConfig,
        *,
        texts: Sequence[int] = (0,),
        temperatures: Sequence[float] | None = None,
        stop: str | Sequence[str] = "",
        until: str = "",
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
        stop, until, on_unknown : optional
            As in `generate`.
        """
        ids = self.encode_prime(prime, on_unknown)
        if temperatures is not None and len(temperatures) != len(texts):
            raise ConfigError(
                f"{len(temperatures)} temperatures for {len(texts)} texts; expected "
                "one per text"
            )
        ending = ending_of(stop, until, config.length, self.vocab)
        if until:
            config = replace(config, length=config.length + MOST_EXTRA)
        end = self.vocab.end_id
        drawn = sample(
            self.model,
            ids,
            config,
            texts=texts,
            temperatures=temperatures,
            never=self.never_drawn,
            # No document is empty.
            not_first=() if end is None or prime else (end,),
        )
        symbols = self.vocab.symbols
        rows = ([symbols[i] for i in row] for row in drawn)
        # Returned, not yielded, so that errors above are raised by this call.
        if end is None and not ending.stops and not until:
            return rows
        return cut(rows, ending)

    def next(
        self, prefix: str = "", top: int | None = None, *, on_unknown: str = "error"
    ) -> Choices:
        """Return the characters that may follow and their probabilities, best first.

        A notebook shows them as bars. In a model of documents, "" stands for the end of
        the document. The symbol for rare characters is U+FFFD.

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
        ids = self.encode_prime(prefix, on_unknown)
        logits, _ = read_prime(self.model, ids)
        p = softmax(logits.astype(np.float64))[0]
        order = np.argsort(-p, kind="stable")[:top]
        return Choices((self.vocab.symbols[i], float(p[i])) for i in order)

    def losses(
        self, text: str, *, on_unknown: str = "error", dynamic: bool = False
    ) -> Array:
        """Return the loss of each character of a text, in nats.

        The first character has no loss, because nothing comes before it. So the shape
        is (len(text) - 1,), unless unknown characters were left out.
        `losses(text)[i]` is how surprising `text[i + 1]` is after `text[: i + 1]`.

        A model of documents predicts the first character, too, and the shape is
        (len(text),).

        If `dynamic` is set, a copy of the model learns the text while it reads it. Such
        losses are lower, and compare only with each other; see `training/dynamic.py`.
        """
        has_end = self.vocab.end_id is not None and text
        ids = (self.encode_prime if has_end else self.encode)(text, on_unknown)
        if dynamic:
            return dynamic_losses(self.model, ids)
        return losses(self.model, ids, threads=0)

    def evaluate(
        self, text: str, *, on_unknown: str = "error", dynamic: bool = False
    ) -> Score:
        """Return how well the model predicts a text, all of it.

        It is the mean of `losses`. Raises TextError for a text of fewer than 2
        characters.
        """
        return Score.of(self.losses(text, on_unknown=on_unknown, dynamic=dynamic))


def joined(rows: Iterable[Sequence[str]], n: int) -> list[str]:
    """Join rows, which hold the next piece of each text, into n texts."""
    texts = [StringIO() for _ in range(n)]  # characters take less memory than in lists
    for row in rows:
        for text, piece in zip(texts, row, strict=True):
            text.write(piece)
    return [text.getvalue() for text in texts]


def _count(n: int) -> int:
    if n < 1:
        raise ConfigError(f"n is {n}; expected at least 1")
    return int(n)


def _config(
    length: int,
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
    typical: float,
    loop_penalty: float,
    seed: int | None,
    kernels: str,
) -> SampleConfig:
    """Return a configuration, with a new seed if none is given."""
    if seed is None:
        seed = new_seed()
    return SampleConfig(
        length, temperature, top_k, top_p, min_p, typical, loop_penalty, seed, kernels
    )
