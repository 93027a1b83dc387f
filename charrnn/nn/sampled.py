"""The sampled softmax: in training, some characters stand for the whole vocabulary.

With a large vocabulary V, nearly all of a step's time goes into the logits. The sample
C of a step consists of its R targets and of S more characters, drawn with their
frequencies p in the text. The targets have these frequencies too, so C is the set of
S + R draws. Character c is in it with the probability

    q_c = 1 - (1 - p_c)^(S + R)

and the loss of a target y, with logits z, is

    loss = log(sum over C of exp(z_c) / q_c) - z_y

The sum has the same mean as that over all V characters, because those that are rarely
drawn count for more (Horvitz & Thompson 1952). So the loss estimates that of the full
softmax. Its gradient is that of a softmax over C with the logits z_c - log q_c (Jean et
al. 2015, section 3, after Bengio & Senécal 2003). If every q is 1, both are exact.

Letters: R targets, S draws, C characters in the sample, V vocabulary.
"""

from typing import NamedTuple

import numpy as np

from charrnn.errors import ShapeError
from charrnn.nn.parameters import Array, blocks

_PIECE = 1 << 20  # ids counted at a time: NumPy copies them to 64 bits


class Sample(NamedTuple):
    """The characters in the softmax of one step."""

    ids: Array  # (C,), ascending, with all targets
    log_q: Array  # (C,), the log of each one's probability to be in the sample

    def places(self, targets: Array) -> Array:
        """Return the place of each target (R,) among the ids.

        Raises ShapeError if one is missing.
        """
        places = np.searchsorted(self.ids, targets).astype(np.uint32)
        if not np.array_equal(self.ids.take(places, mode="clip"), targets):
            raise ShapeError("the sample lacks a target; expected all of them in it")
        return places


class Sampler:
    """Draws samples of S characters and the targets, by the frequencies p (V,)."""

    def __init__(self, p: Array, size: int) -> None:
        self.size = size
        self._p, self._log_absent = p, np.log1p(-p)

    def characters(self, n: int, *, rng: np.random.Generator) -> Array:
        """Return n ids (n,) as frequent as in the text."""
        drawn: Array = rng.choice(len(self._p), n, p=self._p)
        return drawn.astype(np.uint32)

    def draw(self, targets: Array, *, rng: np.random.Generator) -> Sample:
        """Return a sample for these targets, an array of any shape."""
        drawn = self.characters(self.size, rng=rng)
        ids = np.unique(np.concatenate([targets.reshape(-1), drawn]))
        q = -np.expm1((self.size + targets.size) * self._log_absent[ids])
        return Sample(ids, np.log(q))


def make_sampler(ids: Array, V: int, size: int) -> Sampler | None:
    """Return a sampler by the frequencies of ids (n,), or None if `size` is 0."""
    return Sampler(frequencies(ids, V), size) if size else None


def frequencies(ids: Array, V: int) -> Array:
    """Return the share (V,) of each id below V in ids (n,).

    Half an occurrence is added to each, so that none is zero.
    """
    counts: Array = np.full(V, 0.5)
    for block in blocks(len(ids), _PIECE):
        counts += np.bincount(ids[block], minlength=V)
    counts /= counts.sum()
    return counts
