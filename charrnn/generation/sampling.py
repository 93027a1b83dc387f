"""Drawing text from a model, one character at a time, any number of texts in a batch.

Each text has a generator of its own, spawned from the seed by its number, and spends
one uniform number a character, whatever the temperature. So text i depends on the seed
and i alone, and texts at different temperatures can share their random numbers.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from charrnn.config import SampleConfig
from charrnn.errors import TextError
from charrnn.nn import kernels
from charrnn.nn.kernels import Steps
from charrnn.nn.kernels.numpy_writing import Weights, distribution, draw
from charrnn.nn.model import Model, ModelState
from charrnn.nn.parameters import Array
from charrnn.nn.workers import available_cores, blas_threads, in_threads

__all__ = ["distribution", "draw", "read_prime", "sample", "uniforms"]

_PRIME_WINDOW = 64
# Characters of each text that are written at once: few at first, so that they come at
# once, and more and more, because every block has its price.
_FIRST_BLOCK, _LARGEST_BLOCK = 64, 512
_TEXTS_A_THREAD = 16  # at least
# From this many characters on, loading the compiled kernels costs less than they save.
_MANY = 50_000


def uniforms(seed: int, texts: Sequence[int]) -> Iterator[Array]:
    """Yield ever larger blocks of numbers in [0, 1), (B, n) for n texts, without end.

    texts are the texts' numbers; equal ones get equal numbers.
    """
    rngs = [
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,)))
        for i in texts
    ]
    B = _FIRST_BLOCK
    while True:
        yield np.stack([rng.random(B) for rng in rngs], axis=1)
        B = min(2 * B, _LARGEST_BLOCK)


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


def _weights(model: Model, steps: Steps) -> Weights:
    """Lay a model out for writing."""
    config, dtype, params = model.config, model.dtype, model.params
    H, L = config.hidden, config.layers
    scales = np.repeat(np.array(model.cell.scales, dtype), H)
    layers = [params.scope(f"layer{i}") for i in range(L)]

    def stacked(name: str, of: list[dict[str, Array]]) -> Array:
        like = steps.packed(H, len(scales), dtype)
        stack = np.empty((len(of), *like.shape), dtype)
        for layer, out in zip(of, stack, strict=True):
            steps.pack(layer[name] * scales, out)
        return stack

    return Weights(
        rows=(layers[0]["Wx"] + layers[0]["b"]) * scales,
        Wx=stacked("Wx", layers[1:]),
        b=np.array([layer["b"] * scales for layer in layers[1:]], dtype),
        Wh=stacked("Wh", layers),
        c=np.array([layer.get("c", np.zeros(H)) for layer in layers], dtype),
        W=steps.pack(params["output.W"], steps.packed(H, config.vocab, dtype)),
        output_b=params["output.b"],
    )


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
    temperature = np.array(temperatures or [config.temperature] * n, float)[:, None]
    steps = _steps(model, config, n)
    weights = _weights(model, steps)
    # Plain steps are many short calls, which wait for each other's interpreter lock.
    cores = 1 if steps is kernels.REFERENCE else available_cores()
    threads = max(1, min(cores, n // _TEXTS_A_THREAD))
    parts = [slice(n * i // threads, n * (i + 1) // threads) for i in range(threads)]
    last, layers = read_prime(model, prime, n)
    state: Array = np.array(layers)  # (L, S, n, H)
    logits = [last[part].copy() for part in parts]
    states = [state[:, :, part].copy() for part in parts]

    def write(i: int) -> Array:
        part = parts[i]
        ids = np.empty((len(u), part.stop - part.start), dtype)
        args = temperature[part], config.top_k, config.top_p, u[:, part], ids
        steps.write(weights, states[i], logits[i], *args)
        return ids

    dtype = np.min_scalar_type(model.config.vocab - 1)
    left = config.length
    for u in uniforms(config.seed, texts):
        if not left:
            return
        u = u[:left]
        left -= len(u)
        # Products this small are slower on several threads, which spin besides. The
        # limit must not be felt by whoever has the ids, so each block sets its own.
        with blas_threads(1):
            ids = np.concatenate(in_threads(write, threads), axis=1)
        yield from ids


def _steps(model: Model, config: SampleConfig, n: int) -> Steps:
    name = config.kernels
    if name == "auto" and (config.length * n < _MANY or model.dtype != np.float32):
        name = "numpy"
    return kernels.steps(name)
