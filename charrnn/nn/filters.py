"""Which characters may be drawn: temperature and filters, in NumPy.

Letters: n texts side by side, V vocabulary. The temperature divides the logits. Then
the filters are applied in this order, each to what the one before left:

top-k     the k likeliest characters (Fan et al. 2018)
top-p     the fewest likeliest that together hold the share p (Holtzman et al. 2020)
min-p     those at least min-p times as likely as the likeliest (Nguyen et al. 2024)
typical   the fewest that together hold the share, in the order of how close their
          surprisal -log p is to the entropy (Meister et al. 2022)

`nn.compiled.generate` holds the compiled twin.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from charrnn.nn.parameters import Array


class Filters(NamedTuple):
    """The filters of a draw; each default leaves every character."""

    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical: float = 1.0

    @property
    def active(self) -> bool:
        """Whether any of them may exclude a character."""
        return self != NO_FILTERS


NO_FILTERS = Filters()


def without(logits: Array, never: Sequence[int]) -> Array:
    """Return logits (..., V) that are minus infinity for ids that are never drawn."""
    if never:
        logits = logits.copy()
        logits[..., [*never]] = -np.inf
    return logits


def distribution(
    logits: Array, temperature: Array, filters: Filters = NO_FILTERS
) -> Array:
    """Return the probabilities (n, V) to draw from, in float64.

    logits (n, V), of which minus infinity is never drawn; temperature (n, 1).
    Temperature 0 always takes the likeliest character, the first if several are equal.
    """
    greedy = temperature == 0
    p = np.empty(logits.shape)
    temper(logits, np.where(greedy, 1, temperature), p)
    filter_(p, logits, greedy, filters)
    p /= p.sum(axis=1, keepdims=True)
    return p


def temper(logits: Array, divisor: Array, p: Array) -> None:
    """Write exp(logits / divisor) into p, scaled so that each row's maximum is 1."""
    np.copyto(p, logits)
    p -= np.maximum.reduce(p, axis=1, keepdims=True)
    with np.errstate(over="ignore"):  # minus infinity, at the lowest temperatures
        p /= divisor
    np.exp(p, out=p)


def filter_(p: Array, logits: Array, greedy: Array, filters: Filters) -> None:
    """Set the probabilities (n, V) of characters that must not be drawn to 0.

    Rows of p need not sum to 1. greedy (n, 1) marks the rows of temperature 0.
    """
    if greedy.any():
        likeliest = np.arange(p.shape[1]) == logits.argmax(1)[:, None]
        np.copyto(p, likeliest, where=greedy)
    top_k, top_p, min_p, typical = filters
    if 0 < top_k < p.shape[1]:
        dropped = np.argsort(-p, axis=1, kind="stable")[:, top_k:]
        np.put_along_axis(p, dropped, 0, axis=1)
    if top_p < 1:
        _keep_share(p, np.argsort(-p, axis=1, kind="stable"), top_p)
    if min_p > 0:
        p[p < min_p * p.max(axis=1, keepdims=True)] = 0
    if typical < 1:
        _keep_share(p, _most_typical_first(p), typical)


def _most_typical_first(p: Array) -> Array:
    share = p / p.sum(axis=1, keepdims=True)
    surprisal = -np.log(np.where(share > 0, share, 1))
    entropy = (share * surprisal).sum(axis=1, keepdims=True)
    distance = np.where(share > 0, np.abs(surprisal - entropy), np.inf)
    order: Array = np.argsort(distance, axis=1, kind="stable")
    return order


def _keep_share(p: Array, order: Array, share: float) -> None:
    """Keep the first characters in the order (n, V) that hold the share of a row."""
    ranked = np.take_along_axis(p, order, axis=1)
    enough = share * ranked.sum(axis=1, keepdims=True)
    # A character stays while those before it hold less than the share.
    ranked[np.cumsum(ranked, axis=1) - ranked >= enough] = 0
    np.put_along_axis(p, order, ranked, axis=1)
