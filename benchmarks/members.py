"""Networks side by side: one on all cores, and as many as there are cores.

    python benchmarks/members.py --hidden 320

It times steps of the preset `small` with 32 x 64 characters, as `--members` makes them.
The layouts take turns, and the figures are medians.
"""

import argparse

from machine import machine

from charrnn.config import ModelConfig, TrainConfig, known_settings
from charrnn.machine import available_cores
from charrnn.nn.ensemble import as_one
from charrnn.nn.kernels import resolve
from charrnn.nn.model import Model
from charrnn.nn.workers import Layout
from charrnn.presets import PRESETS
from charrnn.training.autotune import fastest_layout

T, N, V = 64, 32, 65


def seconds_per_network(k: int, hidden: int, kernels: str, threads: int) -> float:
    """Return the time of a step of k networks on so many threads, divided by k."""
    settings = PRESETS["small"].settings
    network = ModelConfig(V, hidden=hidden, cell=settings["cell"])
    models = [Model(network, kernels=kernels) for _ in range(k)]
    config = TrainConfig(**known_settings(TrainConfig, settings))
    _, seconds = fastest_layout(
        *(as_one(models), config, T, N, [Layout(threads)]), seconds=3.0
    )
    return seconds / k


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, action="append")
    hidden = parser.parse_args().hidden or [192, 320, 448]
    cores, kernels = available_cores(), resolve("auto")
    print(machine())
    print(
        f"\n| units | 1 network on 1 thread, ms | 1 on {cores} threads | {cores} on "
        f"{cores} threads, ms per network | times as fast |\n|---|---|---|---|---|"
    )
    for H in hidden:
        one, shared, beside = (
            1000 * seconds_per_network(k, H, kernels, threads)
            for k, threads in ((1, 1), (1, cores), (cores, cores))
        )
        print(
            f"| {H} | {one:.1f} | {shared:.1f} | {beside:.1f} | {shared / beside:.2f} |"
        )


if __name__ == "__main__":
    main()
