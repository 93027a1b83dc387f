"""How fast the weights of a cell are read for one text, and how fast they could be.

    python benchmarks/reading.py --hidden 256

A character needs the product of one row with the recurrent matrix, in which each weight
is used once. So its limit is the memory: "sum" only adds up the same weights. Gigabytes
per second, best of many.
"""

import argparse

import numba
import numpy as np
from machine import machine
from where import milliseconds

from charrnn.nn import kernels
from charrnn.nn.compiled.product import pack, panels, product

V = 65


@numba.njit(fastmath=True)
def total(x: np.ndarray) -> float:
    result = np.float32(0)
    for i in range(len(x)):
        result += x[i]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hidden", type=int, default=256)
    H = parser.parse_args().hidden
    rng = np.random.default_rng(0)
    print(f"{machine(Numba=numba)}; one thread; GB/s\n")
    print("| cell | units | MB per character | product | sum |\n|---|--:|--:|--:|--:|")
    for cell in ("rnn", "gru", "lstm"):
        _, GH = kernels.cell(cell, "numpy").shapes(V, H)["Wh"]
        W, h = (rng.standard_normal(s, dtype=np.float32) for s in ((H, GH), (1, H)))
        Wh, u = pack(W, panels(H, GH)), np.empty((1, GH), np.float32)
        weights = Wh.reshape(-1)
        times = (
            milliseconds(lambda h=h, Wh=Wh, u=u: product(h, Wh, u), 0.1),
            milliseconds(lambda weights=weights: total(weights), 0.1),
        )
        rates = [f"{W.nbytes / ms / 1e6:.0f}" for ms in times]
        print(f"| {cell} | {H} | {W.nbytes / 1e6:.2f} | {' | '.join(rates)} |")


if __name__ == "__main__":
    main()
