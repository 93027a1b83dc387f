"""Sampling text from a model, one character at a time, any number of texts at once.

Each text has its own random generator, spawned from the seed by the text's number. It
draws one uniform number per character, whatever the temperature. So text i depends only
on the seed and i, and texts at different temperatures can share their random numbers.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from charrnn.config import SampleConfig
from charrnn.errors import TextError
from charrnn.generation.repeats import Repeats
from charrnn.generation.writer import NumpyWriter, Writer
from charrnn.machine import available_cores
from charrnn.nn import kernels
from charrnn.nn.filters import Filters, without
from charrnn.nn.model import ModelState
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import Predictor, state_by_member
from charrnn.nn.workers import Threads, blas_threads

_PRIME_WINDOW = 64
# Characters of each text in a block: few at first, so that the first ones appear soon,
# then more, because each block has a fixed cost.
_FIRST_BLOCK, _LARGEST_BLOCK = 64, 512
_TEXTS_PER_THREAD = 16  # or more
# From this many characters on, times the networks that read each, compiled kernels save
# more than loading them costs.
_MANY = 50_000


def uniforms(seed: int, texts: Sequence[int]) -> Iterator[Array]:
    """Yield blocks (B, n) of uniform numbers in [0, 1) for n texts, without end.

    The first blocks are small. texts holds the number of each text; texts of the same
    number get the same random numbers.
    """
    rngs = [
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,)))
        for i in texts
    ]
    B = _FIRST_BLOCK
    while True:
        yield np.stack([rng.random(B) for rng in rngs], axis=1)
        B = min(2 * B, _LARGEST_BLOCK)


def read_prime(model: Predictor, prime: Array, n: int = 1) -> tuple[Array, ModelState]:
    """Return the logits (n, V) and the state after the prime, repeated for n texts.

    prime (P,) ids, at least one.
    """
    if not len(prime):
        raise TextError("the prime is empty; expected at least one character")
    state, workspace = model.zero_state(1), model.workspace(_PRIME_WINDOW, 1)
    for start in range(0, len(prime), _PRIME_WINDOW):
        ids = prime[start : start + _PRIME_WINDOW, None]
        logits, state = model.forward(ids, state, workspace)
    state = tuple(tuple(np.repeat(part, n, axis=0) for part in s) for s in state)
    return np.repeat(logits[-1], n, axis=0), state


def sample(
    model: Predictor,
    prime: Array,
    config: SampleConfig,
    *,
    texts: Sequence[int] = (0,),
    temperatures: Sequence[float] | None = None,
    never: Sequence[int] = (),
    not_first: Sequence[int] = (),
) -> Iterator[Array]:
    """Yield the next id of every text, (len(texts),), `config.length` times.

    prime (P,) ids, read first and not returned. temperatures, one per text, replace the
    one in config. never are ids that are not drawn, and not_first those that are not
    drawn as the first character.
    """
    n, length = len(texts), config.length
    each = [config.temperature] * n if temperatures is None else temperatures
    temperature = np.array(each, float)[:, None]
    filters = Filters(config.top_k, config.top_p, config.min_p, config.typical)
    repeats = Repeats(config.loop_penalty, prime, n) if config.loop_penalty else None
    writer, threads = _writer(model, config, n, never, repeats)
    parts = [slice(n * i // threads, n * (i + 1) // threads) for i in range(threads)]
    last, read = read_prime(model, prime, n)
    last = without(last, [*never, *not_first])
    if repeats:
        repeats.lower(last)
    by_member: list[Array] = [
        np.array(layers) for layers in state_by_member(model, read)
    ]
    logits = [last[part].copy() for part in parts]
    states = [[state[:, :, part].copy() for state in by_member] for part in parts]
    dtype = np.min_scalar_type(model.vocab - 1)
    written = 0
    with closing(Threads(threads)) as team:
        for u in uniforms(config.seed, texts):
            if written == length:
                return
            block = u[: length - written]
            written += len(block)
            ids = np.empty(block.shape, dtype)

            def write(i: int, u: Array = block, ids: Array = ids) -> None:
                part = parts[i]
                mine = np.empty((len(u), part.stop - part.start), ids.dtype)
                args = temperature[part], filters, u[:, part], mine
                writer.write(states[i], logits[i], *args)
                ids[:, part] = mine

            # Matrix products this small are slower on several BLAS threads. The limit
            # is set for each block, so that it does not affect the caller in between.
            with blas_threads(1):
                team.run(write)
            yield from ids


def with_kernels(config: SampleConfig, model: Predictor, n: int) -> SampleConfig:
    """Return the configuration with "numpy" or "numba" for "auto", to write n texts."""
    steps = config.length * n * len(model.members)
    few = steps < _MANY or model.dtype != np.float32
    if config.kernels == "auto" and (few or config.loop_penalty):
        return replace(config, kernels="numpy")
    return replace(config, kernels=kernels.resolve(config.kernels))


def _writer(
    model: Predictor,
    config: SampleConfig,
    n: int,
    never: Sequence[int],
    repeats: Repeats | None,
) -> tuple[Writer, int]:
    """Return the writer for n texts, and the number of threads to use."""
    name = with_kernels(config, model, n).kernels
    cells = [member.config.cell for member in model.members]
    if name == "numba" and all(map(kernels.has_twin, cells)):
        from charrnn.nn.compiled.generate import CompiledWriter

        threads = max(1, min(available_cores(), n // _TEXTS_PER_THREAD))
        return CompiledWriter(model, n // threads, never), threads
    # One thread: NumPy's many short calls would wait for the interpreter lock.
    return NumpyWriter(model, n, never, repeats), 1
