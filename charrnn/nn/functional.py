"""Softmax and cross-entropy in NumPy: the reference for any faster twin.

Letters: T time, N batch, V vocabulary. Functions write into `out` where it is given.
"""

import numpy as np

from charrnn.errors import ShapeError
from charrnn.nn.parameters import Array


def softmax(logits: Array, out: Array | None = None) -> Array:
    """Return probabilities over the last axis, `exp(z) / sum(exp(z))`.

    Subtracting the largest logit first changes nothing in exact arithmetic and keeps
    `exp` from overflowing (Goodfellow et al. 2016, section 4.1).
    """
    p: Array = np.subtract(logits, logits.max(axis=-1, keepdims=True), out=out)
    np.exp(p, out=p)
    p /= p.sum(axis=-1, keepdims=True)
    return p


def log_softmax(logits: Array) -> Array:
    """Return log-probabilities over the last axis, in nats."""
    shifted: Array = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def softmax_losses(logits: Array, targets: Array) -> tuple[Array, Array]:
    """Return the loss of each target in nats, and the probabilities.

    logits (R, V) float, overwritten by the probabilities (R, V); targets (R,) ids in
    [0, V); losses (R,). `log(sum(exp(z))) - z[target]` stays exact where the
    probability itself would round to 0.
    """
    if logits.ndim != 2 or targets.shape != logits.shape[:1]:
        raise ShapeError(
            f"logits {logits.shape} and targets {targets.shape} do not fit; "
            "expected (R, V) and (R,)"
        )
    logits -= logits.max(axis=1, keepdims=True)
    chosen = logits[np.arange(len(targets)), targets]
    p = np.exp(logits, out=logits)
    sums = p.sum(axis=1, keepdims=True)
    p /= sums
    losses: Array = np.log(sums[:, 0]) - chosen
    return losses, p


def cross_entropy(logits: Array, targets: Array) -> tuple[float, Array]:
    """Return the mean loss in nats per character, and its gradient.

    logits (R, V) float, overwritten by the gradient; targets (R,) ids in [0, V).
    With p = softmax(logits) the gradient of the mean is (p - one_hot(targets)) / R
    (Goodfellow et al. 2016, section 6.2.2.3).
    """
    losses, dlogits = softmax_losses(logits, targets)
    R = len(targets)
    dlogits[np.arange(R), targets] -= 1
    dlogits /= R
    return float(losses.mean()), dlogits
