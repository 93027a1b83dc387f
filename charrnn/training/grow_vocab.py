"""Grow the vocabulary of trained networks for another text; their weights stay."""

from dataclasses import dataclass, replace

import numpy as np

from charrnn.nn.ensemble import as_one
from charrnn.nn.model import ROWS_BY_ID, Model
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import Predictor
from charrnn.text.vocab import Vocabulary


@dataclass(frozen=True)
class Growth:
    """A model with a larger vocabulary, and the numbers of characters in each text."""

    model: Predictor
    vocab: Vocabulary
    kept: int  # characters in both texts
    added: int  # only in the new text, with fresh rows and columns
    unused: int  # only in the old text; they stay


def grow(
    model: Predictor, vocab: Vocabulary, text: Vocabulary, *, rng: np.random.Generator
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
    old = vocab.ids_in(union)
    networks = [_grown(each, union, old, rng=rng) for each in model.members]
    grown = as_one(networks)
    added = len(union) - len(vocab)
    return Growth(grown, union, len(text) - added, added, len(union) - len(text))


def _grown(
    network: Model, union: Vocabulary, old: Array, *, rng: np.random.Generator
) -> Model:
    """Return a network of another vocabulary, where known characters have ids `old`."""
    config = replace(network.config, vocab=len(union), end=union.end)
    grown = Model(config)
    grown.init(rng=rng)
    for name, weights in network.params.items():
        view = grown.params[name]
        if name in ROWS_BY_ID:
            view[old] = weights
        elif name.startswith("output."):
            view[..., old] = weights
        else:
            view[:] = weights
    return grown
