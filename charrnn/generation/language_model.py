"""A trained model with its history: what users load, save and export."""

from collections.abc import Iterable, Mapping, Sequence
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charrnn.errors import ConfigError, TextError
from charrnn.generation import files
from charrnn.generation.model_card import html_card
from charrnn.generation.text_model import TextModel
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import Predictor, only_member
from charrnn.storage.checkpoint import Checkpoint, Member
from charrnn.storage.run_folder import FILES, PRETRAINED
from charrnn.storage.torch_weights import to_torch
from charrnn.text.corpus_info import CorpusInfo, SplitInfo
from charrnn.text.sources import PathLike, Paths, Texts, same_corpus
from charrnn.text.vocab import Vocabulary

if TYPE_CHECKING:
    from charrnn.text.corpus import Corpus
    from charrnn.text.reading import Progress


class LanguageModel(TextModel):
    """Writes, predicts and scores text, one character at a time.

    A model of bytes has the character `chr(b)` for byte b.

    Parameters
    ----------
    model : Model or Ensemble
        The network and its weights, or several networks that predict together.
    vocab : Vocabulary
        Its characters, in the order of their ids.
    corpus : CorpusInfo
        The text that it was trained on.
    split : SplitInfo
        How that text was split into training and validation text.
    training : mapping
        The settings of the training run, and its plan.
    history : sequence of (step, training loss, validation loss)
        The validations of the training run, losses in nats per character.
    path : Path, optional
        The file that the model was read from.
    notes : sequence of str
        Messages from training: what was changed or noticed.
    name : str, optional
        What the model is called; by default the name of the file or of its folder.
    facts : sequence of Member
        For an ensemble, what is known about each of its networks.

    Examples
    --------
    >>> import charrnn
    >>> model = charrnn.load("shakespeare")
    >>> model.generate("ROMEO:", length=12, temperature=0)
    'ROMEO:\\nI will not '
    """

    def __init__(
        self,
        model: Predictor,
        vocab: Vocabulary,
        *,
        corpus: CorpusInfo | None = None,
        split: SplitInfo | None = None,
        training: Mapping[str, Any] | None = None,
        history: Iterable[Sequence[float | None]] = (),
        path: Path | None = None,
        notes: Iterable[str] = (),
        name: str = "",
        facts: Iterable[Member] = (),
    ) -> None:
        super().__init__(model, vocab)
        self.path = path
        self.name = name or _name_of(path)
        self.corpus = corpus or CorpusInfo()
        self.split = split or SplitInfo()
        self.training = dict(training or {})
        self.notes = [*notes]
        self._history = [[*row] for row in history]
        networks = model.members
        unknown = [Member()] * (len(networks) if len(networks) > 1 else 0)
        self._facts = tuple(facts) or tuple(unknown)

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, path: Path | None = None
    ) -> "LanguageModel":
        """Return the model of a checkpoint; `path` is where it was read from."""
        return cls(
            checkpoint.model,
            checkpoint.vocab,
            corpus=checkpoint.corpus,
            split=checkpoint.split,
            training=checkpoint.train,
            history=checkpoint.history,
            path=path,
            facts=checkpoint.members,
        )

    @property
    def members(self) -> "list[LanguageModel]":
        """The models that an ensemble was made of, or the model itself if it is none.

        They share the weights.
        """
        if not self._facts:
            return [self]
        return [
            LanguageModel(
                network,
                self.vocab,
                corpus=self.corpus,
                split=self.split,
                training=known.train,
                history=known.history,
                name=known.name,
            )
            for network, known in zip(self.model.members, self._facts, strict=True)
        ]

    def member(self, number: int) -> "LanguageModel":
        """Return a network of an ensemble, counted from 1, as a model of its own.

        A model that is no ensemble is its own network number 1. Raises ConfigError if
        there is no network of this number.
        """
        members = self.members
        if not 1 <= number <= len(members):
            has = f"{len(members)} network{'s' if len(members) > 1 else ''}"
            raise ConfigError(f"network is {number}, and the model has {has}")
        return members[number - 1]

    def read_corpus(
        self,
        paths: Paths | None = None,
        text: Texts | None = None,
        *,
        progress: "Progress | None" = None,
    ) -> "Corpus":
        """Return the text that the model was trained on.

        By default it is read from the files that the checkpoint names; if somebody else
        trained the model, only from those beside the checkpoint. `progress` is called
        as in `text.corpus.read_corpus`. Raises TextError if the text is missing or
        another one.
        """
        return same_corpus(
            self.corpus,
            paths,
            text,
            beside=self.path.parent if self.path else None,
            trusted=self.path == PRETRAINED,
            progress=progress,
        )

    def parts_of(self, corpus: "Corpus") -> tuple[Array, Array]:
        """Return the ids that the model was trained on, and those it was validated on.

        corpus is the text of `read_corpus`. The second part may be empty. Raises
        TextError if it is another text, which is missing.
        """
        ids, split = corpus.ids_in(self.vocab), self.split
        if split.val_text:
            beside = self.path.parent if self.path else None
            try:
                val = same_corpus(split.val_text, beside=beside)
            except TextError as error:
                raise TextError(
                    f"the text that this model was validated on is missing: {error}; "
                    "put it beside the checkpoint"
                ) from None
            return ids, val.ids_in(self.vocab)
        if not split.val_fraction:
            return ids, ids[:0]
        return corpus.split(ids, split.val_fraction)

    def to_checkpoint(self) -> Checkpoint:
        """Return the model as a checkpoint. It shares the weights."""
        return Checkpoint(
            self.model,
            self.vocab,
            self.corpus,
            self.split,
            dict(self.training),
            [[*row] for row in self._history],
            members=self._facts,
        )

    def __repr__(self) -> str:
        return f"LanguageModel({self._size()}, from {self.path or 'memory'})"

    def describe(self) -> str:
        """Return the model in words: its name, cell, size and number of characters."""
        return f"{self.name}: {self._size()}" if self.name else self._size()

    def _size(self) -> str:
        return f"{self.network}, {self.model.vocab} characters"

    def _repr_html_(self) -> str:
        """Return the card that notebooks show."""
        facts = [("parameters", f"{self.parameters:,}")]
        if self.corpus.name:
            length = f", {self.corpus.characters:,} characters"
            facts.append(("trained on", f"{self.corpus.name}{length}"))
        if best := self._best():
            facts.append(("best validation loss", best))
        for number, member in enumerate(self.members if self._facts else [], 1):
            known = filter(None, (member.name, member.network, member._best()))
            facts.append((f"network {number}", "; ".join(known)))
        facts.append(("from", str(self.path or "memory")))
        return html_card(f"LanguageModel: {self._size()}", facts, self._history)

    def _best(self) -> str:
        """Return the lowest validation loss in words, or "" if there is none."""
        losses = [row[2] for row in self._history if row[2] is not None]
        if not losses:
            return ""
        nats = min(losses)
        return f"{nats:.4f} nats, {nats / log(2):.4f} bits per character"

    @property
    def history(self) -> list[dict[str, float | None]]:
        """The validations: dicts with step, train_loss and val_loss (nats).

        `pandas.DataFrame(model.history)` makes a table of them.
        """
        keys = ("step", "train_loss", "val_loss")
        return [dict(zip(keys, row, strict=True)) for row in self._history]

    @property
    def reads_bytes(self) -> bool:
        """Whether characters stand for bytes, byte b as `chr(b)`."""
        return self.corpus.reads_bytes

    def default_prime(self) -> str:
        """Return what the model reads first if no prime is given.

        It is a likely start of a text, if the checkpoint has one. For older models see
        `TextModel.default_prime`.
        """
        start, vocab = self.corpus.start, self.vocab
        usual = super().default_prime()
        return start if start and usual and not vocab.unknown(start) else usual

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the weights under PyTorch's names and in its shapes.

        Raises ConfigError for an ensemble.
        """
        return to_torch(only_member(self.model, "has no single state dict"))

    def save(self, path: PathLike, *, force: bool = False) -> Path:
        """Write the model to a checkpoint, and return the path of the file.

        Parameters
        ----------
        path : path-like
            A file that ends in .npz. Any other name is a folder, and the file is its
            best.npz.
        force : bool
            Replace an existing file or run.

        Raises
        ------
        CheckpointError
            If the file or a run already exists, or cannot be written.
        """
        return files.save(self.to_checkpoint(), path, force=force)

    def export(
        self, path: PathLike, format: str | None = None, *, force: bool = False
    ) -> Path:
        """Write the weights for PyTorch, and return the path of the file.

        Parameters
        ----------
        path : path-like
            The file to write.
        format : {"safetensors", "torch"}, optional
            By default the suffix of `path` decides: .safetensors or .pt.
        force : bool
            Replace an existing file.

        Raises
        ------
        CheckpointError
            If the file already exists or cannot be written.
        MissingExtraError
            If the format is "torch" and PyTorch is not installed.
        ConfigError
            If the model is an ensemble.
        """
        return files.export(self.to_checkpoint(), path, format, force=force)


def _name_of(path: Path | None) -> str:
    """Return the name of a checkpoint: that of the run, or of the file."""
    if path is None:
        return ""
    return path.parent.name if path.name in FILES else path.stem
