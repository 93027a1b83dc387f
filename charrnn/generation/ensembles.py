"""Trained models put together as one whose probabilities are the mean of theirs."""

from collections.abc import Sequence

from charrnn.config import MOST_MEMBERS
from charrnn.errors import ConfigError
from charrnn.generation.language_model import LanguageModel
from charrnn.nn.ensemble import Ensemble
from charrnn.storage.checkpoint import Member
from charrnn.text.characters import quoted
from charrnn.text.streams import printable
from charrnn.text.vocab import Vocabulary

_NAMED = 10  # characters that an error names at most


def combine(models: Sequence[LanguageModel]) -> LanguageModel:
    """Return an ensemble of models. One that is an ensemble counts as its networks.

    Raises ConfigError unless there are 2 to MOST_MEMBERS networks, of the same
    characters, trained and validated on the same text.
    """
    members = [
        (member, member.name or f"{model.name} {number}".strip())
        for model in models
        for number, member in enumerate(model.members, 1)
    ]
    if not 2 <= len(members) <= MOST_MEMBERS:
        raise ConfigError(
            f"{len(members)} networks; expected 2 to {MOST_MEMBERS} in an ensemble"
        )
    for number, model in enumerate(models[1:], 2):
        trouble = _difference(models[0], _place(models[0], 1), model)
        if trouble:
            raise ConfigError(
                f"{_place(model, number)}: {trouble}; expected models of the same "
                "characters, text and validation part"
            )
    source = source_of(models)
    return LanguageModel(
        Ensemble([member.model for member, _ in members]),
        source.vocab,
        corpus=source.corpus,
        split=source.split,
        facts=[_known(*member) for member in members],
    )


def source_of(models: Sequence[LanguageModel]) -> LanguageModel:
    """Return the model that knows best where the text is: this user's own, if any."""
    return next((model for model in models if model.corpus.is_own), models[0])


def _known(model: LanguageModel, name: str) -> Member:
    checkpoint = model.to_checkpoint()
    return Member(name, checkpoint.train, checkpoint.history)


def _place(model: LanguageModel, number: int) -> str:
    return printable(str(model.path or model.name or f"model {number}"))


def _difference(one: LanguageModel, name: str, other: LanguageModel) -> str:
    """Return how another model differs from one with this name, or ""."""
    if one.vocab != other.vocab:
        return _other_characters(one.vocab, name, other.vocab)
    if one.reads_bytes != other.reads_bytes:
        return f"reads {'bytes' if other.reads_bytes else 'characters'}, unlike {name}"
    before, now = one.corpus, other.corpus
    if before.documents != now.documents:
        return f"was trained on other documents (--documents) than {name}"
    if (before.sha256, before.characters) != (now.sha256, now.characters):
        return f"was trained on another text than {name}"
    if one.split.val_text or other.split.val_text:
        texts = [model.split.val_text for model in (one, other)]
        if len({text.sha256 if text else None for text in texts}) > 1:
            return f"was validated on another text (--val) than {name}"
    elif one.split.val_fraction != other.split.val_fraction:
        return (
            f"was validated on {other.split.val_fraction:g} of the text, "
            f"{name} on {one.split.val_fraction:g}"
        )
    elif now.documents and before.seed != now.seed and one.split.validates:
        return (
            f"was validated on other documents than {name}, because its --seed is "
            f"{now.seed} and not {before.seed}"
        )
    return ""


def _other_characters(one: Vocabulary, name: str, other: Vocabulary) -> str:
    more = one.unknown("".join(other.characters))
    fewer = other.unknown("".join(one.characters))
    parts = []
    if more:
        parts.append(f"knows {_listed(more)}, which {name} does not")
    if fewer:
        parts.append(f"does not know {_listed(fewer)}, which {name} does")
    return ", and ".join(parts) or f"has other symbols (<unknown>, <end>) than {name}"


def _listed(characters: Sequence[str]) -> str:
    more = len(characters) - _NAMED
    names = " ".join(map(quoted, characters[:_NAMED]))
    return f"{names} and {more} more" if more > 0 else names
