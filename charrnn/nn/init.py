"""Initial values.

Those of matrices are drawn in float64 and then rounded, so that a seed gives the same
network in every precision.
"""

import numpy as np

from charrnn.nn.parameters import Array
from charrnn.nn.sampled import frequencies


def orthogonal(W: Array, *, rng: np.random.Generator) -> None:
    """Fill W (H, H) with a random orthogonal matrix (Saxe et al. 2014).

    It preserves the norm of the hidden state, so that gradients reach back over many
    steps from the start.
    """
    Q, R = np.linalg.qr(rng.standard_normal(W.shape))
    # The signs remove the bias from the sign convention of the factorisation.
    W[:] = Q * np.sign(np.diagonal(R))


def glorot_uniform(W: Array, *, rng: np.random.Generator) -> None:
    """Fill W (D, H) from U(-s, s), s = sqrt(6 / (D + H)) (Glorot & Bengio 2010)."""
    limit = np.sqrt(6 / sum(W.shape))
    W[:] = rng.uniform(-limit, limit, W.shape)


def log_frequencies(b: Array, ids: Array) -> None:
    """Fill b (V,) with the log of how often each id occurs in ids (n,).

    As the bias of a softmax it predicts these frequencies.
    """
    b[:] = np.log(frequencies(ids, len(b)))
