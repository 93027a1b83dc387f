"""Drawing text from a model, one character at a time, any number of texts in a batch.

Each text has a generator of its own, spawned from the seed by its number, and spends
one uniform number a character, whatever the temperature. So text i depends on the seed
and i alone, and texts at different temperatures can share their random numbers.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from charrnn.arrays import Array
from charrnn.config import SampleConfig
from charrnn.errors import TextError
from charrnn.functional import softmax
from charrnn.model import Model, ModelState

_PRIME_WINDOW = 64
_BLOCK = 256  # uniform numbers drawn at once


def uniforms(seed: int, texts: Sequence[int]) -> Iterator[Array]:
    """Yield numbers in [0, 1), one for each text (len(texts),), without end.

    texts are the texts' numbers; equal ones get equal numbers.
    """
    rngs = [
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,)))
        for i in texts
    ]
    while True:
        yield from np.stack([rng.random(_BLOCK) for rng in rngs], axis=1)


def read_prime(model: Model, prime: Array, n: int = 1) -> tuple[Array, ModelState]:
    """Return the logits (n, V) after the prime and the state, the same for n texts.

    prime (P,) ids, at least one.
    """
    if not len(prime):
        raise TextError("the prime is empty; expected at least one character")
    state, window = model.zero_state(1), model.workspace(_PRIME_WINDOW, 1)
    for start in range(0, len(prime), _PRIME_WINDOW):
        ids = prime[start : start + _PRIME_WINDOW, None]
        logits, state = model.forward(ids, state, window)
    state = tuple(tuple(np.repeat(part, n, axis=0) for part in s) for s in state)
    return np.repeat(logits[-1], n, axis=0), state


def distribution(
    logits: Array, temperature: Array, top_k: int = 0, top_p: float = 1.0
) -> Array:
    """Return the probabilities (n, V) to draw from, in float64.

    logits (n, V); temperature (n, 1), each of them a divisor of the logits; 0 puts all
    on the likeliest (the first of equals). Then only the top_k likeliest stay, and of
    these the likeliest that together hold top_p (Holtzman et al. 2020).
    """
    greedy = temperature == 0
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    with np.errstate(over="ignore"):  # minus infinity, for the smallest temperatures
        z /= np.where(greedy, 1, temperature)
    p = softmax(z, out=z)
    if greedy.any():
        p = np.where(greedy, np.arange(p.shape[1]) == p.argmax(1)[:, None], p)
    if 0 < top_k < p.shape[1]:
        _keep_top_k(p, top_k)
    if top_p < 1:
        _keep_top_p(p, top_p)
    return p


def _keep_top_k(p: Array, k: int) -> None:
    dropped = np.argsort(-p, axis=1, kind="stable")[:, k:]
    np.put_along_axis(p, dropped, 0, axis=1)
    p /= p.sum(axis=1, keepdims=True)


def _keep_top_p(p: Array, share: float) -> None:
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    # A character stays while those likelier than it hold less than the share.
    ranked[np.cumsum(ranked, axis=1) - ranked >= share] = 0
    np.put_along_axis(p, order, ranked, axis=1)
    p /= p.sum(axis=1, keepdims=True)


def draw(p: Array, u: Array) -> Array:
    """Return one id a row: the first whose cumulated probability exceeds u.

    p (n, V) sums to 1 a row; u (n,) in [0, 1).
    """
    cdf = np.cumsum(p, axis=1)
    ids: Array = (cdf <= (u * cdf[:, -1])[:, None]).sum(axis=1)
    np.minimum(ids, p.shape[1] - 1, out=ids)  # u·1 may round to 1
    return ids


def sample(
    model: Model,
    prime: Array,
    config: SampleConfig,
    *,
    texts: Sequence[int] = (0,),
    temperatures: Sequence[float] | None = None,
) -> Iterator[Array]:
    """Yield the next id of every text, (len(texts),), `config.length` times.

    prime (P,) ids, read first and not given back. temperatures, one for each text,
    take the place of the configuration's.
    """
    n = len(texts)
    temperature = np.array(temperatures or [config.temperature] * n)[:, None]
    workspace = model.workspace(1, n)
    logits, state = read_prime(model, prime, n)
    dtype = np.min_scalar_type(model.config.vocab - 1)
    for _, u in zip(range(config.length), uniforms(config.seed, texts), strict=False):
        p = distribution(logits, temperature, config.top_k, config.top_p)
        ids = draw(p, u).astype(dtype)
        yield ids
        window, state = model.forward(ids[None], state, workspace)
        logits = window[0]
