"""A training step with very many characters: the sampled softmax next to the full one.

    python benchmarks/sampled.py --vocab 20000 --hidden 64

It times updates of a GRU with the settings of the preset `small`, on one thread. The
window of 32 x 64 characters is drawn by Zipf's law. The figures are medians of
processor time.
"""

import argparse
import time
from statistics import median

import numpy as np
from machine import machine

from charrnn.config import ModelConfig, TrainConfig, known_settings
from charrnn.nn.kernels import resolve
from charrnn.nn.model import Model
from charrnn.nn.sampled import Sampler
from charrnn.nn.workers import Workers
from charrnn.presets import PRESETS
from charrnn.training.update import Update

T, N = 64, 32
UPDATES = 30


def milliseconds(kernels: str, V: int, H: int, draws: int) -> tuple[float, float]:
    """Return the time of an update, and how many characters are in its softmax."""
    rng, p = np.random.default_rng(0), 1 / np.arange(1, V + 1)
    sampler = Sampler(p / p.sum(), draws)
    ids = sampler.characters((T + 1) * N, rng=rng).reshape(T + 1, N)
    model = Model(ModelConfig(V, H, 1, "gru"), kernels=kernels)
    model.init(rng=rng)
    config = TrainConfig(**known_settings(TrainConfig, PRESETS["small"].settings))
    workers, state = Workers(model, T, N), model.zero_state(N)
    update = Update(model, config, workers, sampler if draws else None)
    times = []
    for t in range(1, UPDATES + 1):
        start = time.process_time()
        found = update.gradient(ids[:-1], ids[1:], state, rng=rng)
        update.apply(found.grads, 1e-3, t)
        times.append(time.process_time() - start)
    sizes = [len(sampler.draw(ids[1:], rng=rng).ids) for _ in range(9 if draws else 0)]
    return 1000 * median(times), median(sizes or [V])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocab", type=int, default=20_000)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--draws", type=int, default=4096)
    options = parser.parse_args()
    print(machine())
    print("\n| kernels | characters in the softmax | ms |\n|---|---|---|")
    for kernels in sorted({"numpy", resolve("auto")}, reverse=True):
        for draws in (0, options.draws):
            ms, size = milliseconds(kernels, options.vocab, options.hidden, draws)
            print(f"| {kernels} | {size:,.0f} | {ms:.0f} |")


if __name__ == "__main__":
    main()
