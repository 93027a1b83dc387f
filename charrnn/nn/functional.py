"""Functions on arrays: softmax and cross-entropy, sigmoid, sums by id, Adam's update.

`compiled/functional.py` has compiled twins of those in `kernels.Functions`. Letters:
R rows, V vocabulary, D columns, P parameters. A function documented as "in place"
changes its argument.
"""

from itertools import pairwise

import numpy as np

from charrnn.errors import ShapeError
from charrnn.nn.parameters import Array


def softmax(logits: Array) -> Array:
    """Return probabilities over the last axis, `exp(z) / sum(exp(z))`.

    The largest logit is subtracted first, which does not change the result in exact
    arithmetic but keeps `exp` from overflowing (Goodfellow et al. 2016, section 4.1).
    """
    p: Array = logits - logits.max(axis=-1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(axis=-1, keepdims=True)
    return p


def log_softmax(logits: Array) -> Array:
    """Return log-probabilities over the last axis, in nats."""
    shifted: Array = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def softmax_losses_(logits: Array, targets: Array) -> tuple[Array, Array]:
    """Turn logits into probabilities, in place; return (losses, probabilities).

    logits (R, V) float; targets (R,) ids in [0, V); losses (R,) in nats. The loss
    `log(sum(exp(z))) - z[target]` stays exact when the probability itself rounds to 0.
    """
    if logits.ndim != 2 or targets.shape != logits.shape[:1]:
        raise ShapeError(
            f"logits {logits.shape} and targets {targets.shape} do not match; "
            "expected (R, V) and (R,)"
        )
    logits -= logits.max(axis=1, keepdims=True)
    chosen = logits[np.arange(len(targets)), targets]
    p = np.exp(logits, out=logits)
    sums = p.sum(axis=1, keepdims=True)
    p /= sums
    losses: Array = np.log(sums[:, 0]) - chosen
    return losses, p


def cross_entropy_(logits: Array, targets: Array) -> tuple[float, Array]:
    """Return the mean loss in nats per character, and its gradient, in place.

    logits (R, V) float, overwritten by the gradient; targets (R,) ids in [0, V). With
    p = softmax(logits), the gradient of the mean is (p - one_hot(targets)) / R
    (Goodfellow et al. 2016, section 6.2.2.3).
    """
    losses, dlogits = softmax_losses_(logits, targets)
    R = len(targets)
    dlogits[np.arange(R), targets] -= 1
    dlogits /= R
    return float(losses.mean()), dlogits


def sigmoid(x: Array, out: Array) -> Array:
    """Write 1 / (1 + exp(-x)) into out, as (1 + tanh(x / 2)) / 2, and return it.

    The tanh cannot overflow. out may be x itself.
    """
    np.multiply(x, 0.5, out=out)
    np.tanh(out, out=out)
    out *= 0.5
    out += 0.5
    return out


def multiply(A: Array, W: Array, out: Array) -> None:
    """Write A W into out (M, N): A (M, K) and W (K, N), which may be transposed."""
    np.matmul(A, W, out=out)


def sum_rows(ids: Array, rows: Array, out: Array) -> None:
    """Write `one_hot(ids).T @ rows` into out (V, D): for each id, the sum of its rows.

    ids (R,) in [0, V); rows (R, D).
    """
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    bounds = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
    out.fill(0)
    # A loop over the ids takes a fifth of the time of `reduceat`, or of the product.
    for first, end in pairwise(bounds):
        if end == first + 1:
            out[ids[first]] = rows[order[first]]
        elif end > first:
            some = rows.take(order[first:end], axis=0)
            np.add.reduce(some, axis=0, out=out[ids[first]])


def adam_update(
    θ: Array,
    g: Array,
    m: Array,
    v: Array,
    rates: tuple[float, float, float, float, float],
    scratch: tuple[Array, Array],
) -> None:
    """Make one Adam update, in place.

    m = β1 m + (1 - β1) g, v = β2 v + (1 - β2) g², θ -= lr m / (√(s v) + ε), all (P,);
    rates are β1, β2, ε, lr and s; scratch is two more vectors (P,).
    """
    β1, β2, ε, lr, s = rates
    tmp, root = scratch
    m *= β1
    m += np.multiply(g, 1 - β1, out=tmp)
    np.multiply(g, g, out=tmp)
    tmp *= 1 - β2
    v *= β2
    v += tmp
    np.multiply(v, s, out=root)
    np.sqrt(root, out=root)
    root += ε
    np.divide(m, root, out=tmp)
    tmp *= lr
    θ -= tmp
