"""Limits on the gradient, so that one steep window cannot throw the weights away."""

from collections.abc import Callable

import numpy as np

from charrnn.nn.parameters import Array


def clip_norm(grads: Array, limit: float) -> float:
    """Scale grads (P,), in place, to a Euclidean norm of at most `limit`.

    Returns the norm before. All parameters share one scale, which keeps the direction
    (Pascanu et al. 2013, algorithm 1).
    """
    norm = float(np.sqrt(np.dot(grads, grads)))
    if limit and norm > limit:
        grads *= limit / norm
    return norm


def clip_value(grads: Array, limit: float) -> float:
    """Limit each element of grads (P,), in place, to [-limit, limit].

    Returns the largest magnitude before. This is the clipping of the first char-rnn; it
    changes the direction.
    """
    largest = float(max(grads.max(), -grads.min()))
    if limit and largest > limit:
        np.clip(grads, -limit, limit, out=grads)
    return largest


CLIPPERS: dict[str, Callable[[Array, float], float]] = {
    "norm": clip_norm,
    "value": clip_value,
}
