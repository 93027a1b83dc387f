"""Grow the vocabulary of a trained network for another text; its weights stay."""

from dataclasses import dataclass, replace

import numpy as np

from charrnn.nn.model import ROWS_BY_ID, Model
from charrnn.text.vocab import Vocabulary


@dataclass(frozen=True)
class Growth:
    """A model with a larger vocabulary, and the numbers of characters in each text."""

    model: Model
    vocab: Vocabulary
    kept: int  # characters in both texts
    added: int  # only in the new text, with fresh rows and columns
    unused: int  # only in the old text; they stay


def grow(
    model: Model, vocab: Vocabulary, text: Vocabulary, *, rng: np.random.Generator
) -> Growth:
    """Return a model that knows the characters of both vocabularies.

    `model`, whose vocabulary is `vocab`, is not changed; `text` is the vocabulary of
    the new text. All weights of known characters are kept.
    """
    union = Vocabulary(
        sorted({*vocab.characters, *text.characters}),
        unknown=(vocab.unknown_id, text.unknown_id) != (None, None),
        end=(vocab.end_id, text.end_id) != (None, None),
    )
    grown = Model(replace(model.config, vocab=len(union), end=union.end))
    grown.init(rng=rng)
    old = vocab.ids_in(union)
    for name, weights in model.params.items():
        view = grown.params[name]
        if name in ROWS_BY_ID:
            view[old] = weights
        elif name.startswith("output."):
            view[..., old] = weights
        else:
            view[:] = weights
    added = len(union) - len(vocab)
    return Growth(grown, union, len(text) - added, added, len(union) - len(text))
