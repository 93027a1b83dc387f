"""A trained network taken to another text: its weights stay, its vocabulary grows."""

from dataclasses import dataclass, replace

import numpy as np

from charrnn.nn.model import Model
from charrnn.text.vocab import Vocabulary


@dataclass(frozen=True)
class Growth:
    """A model for a larger vocabulary, and how it came to be."""

    model: Model
    vocab: Vocabulary
    kept: int  # characters of both texts
    added: int  # of the new text alone, with fresh rows and columns
    unused: int  # of the old text alone; they stay


def grow(
    model: Model, vocab: Vocabulary, text: Vocabulary, *, rng: np.random.Generator
) -> Growth:
    """Return a model that knows the characters of both vocabularies.

    `model`, whose vocabulary is `vocab`, is left as it was; `text` is the vocabulary of
    the text to come. Every weight of a character that was known is kept.
    """
    union = Vocabulary(sorted({*vocab.characters, *text.characters}))
    grown = Model(replace(model.config, vocab=len(union)))
    grown.init(rng=rng)
    old = union.encode("".join(vocab.characters))
    for name, weights in model.params.items():
        view = grown.params[name]
        if name == "layer0.Wx":
            view[old] = weights
        elif name.startswith("output."):
            view[..., old] = weights
        else:
            view[:] = weights
    added = len(union) - len(vocab)
    return Growth(grown, union, len(text) - added, added, len(union) - len(text))
