"""How fast the weights of a cell are read for one text, and how fast they could be.

    python benchmarks/reading.py
    python benchmarks/reading.py --loss data/tinyshakespeare.txt

A character needs the product of one row with the recurrent matrix, in which each weight
is used once. The table compares three times, each the best of many: adding up the
weights, which only reads them; the product in float32; and the product with weights of
16 bits, as in generation.

With --loss, it compares instead the loss of the model in the box on the last tenth of a
text with that of the same model after its weights are rounded.
"""

import argparse
from pathlib import Path

import numba
import numpy as np
from machine import machine
from where import milliseconds

import charrnn
from charrnn.nn import kernels
from charrnn.nn.compiled.product import pack, panels, product
from charrnn.nn.compiled.rounding import pack_rounded
from charrnn.nn.rounding import rounded

V, SECONDS = 65, 0.2


@numba.njit(fastmath=True)
def total(x: np.ndarray) -> float:
    result = np.float32(0)
    for i in range(len(x)):
        result += x[i]
    return result


def print_speeds(H: int) -> None:
    rng = np.random.default_rng(0)
    print(f"{machine(Numba=numba)}; one thread; µs\n")
    print("| cell | units | float32, MB | sum | product | 16 bits, MB | product |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for cell in ("rnn", "gru", "lstm"):
        _, GH = kernels.cell(cell, "numpy").shapes(V, H)["Wh"]
        W, h = (rng.standard_normal(s, dtype=np.float32) for s in ((H, GH), (1, H)))
        P, half = pack(W, panels(H, GH)), pack_rounded([W], 1).panels[0]
        u, flat = np.empty((1, GH), np.float32), P.reshape(-1)
        works = (
            lambda flat=flat: total(flat),
            lambda h=h, P=P, u=u: product(h, P, u),
            lambda h=h, P=half, u=u: product(h, P, u),
        )
        least, floats, shorts = (1e3 * milliseconds(work, SECONDS) for work in works)
        print(
            f"| {cell} | {H} | {P.nbytes / 1e6:.2f} | {least:.1f} | {floats:.1f} "
            f"| {half.nbytes / 1e6:.2f} | {shorts:.1f} |"
        )


def print_losses(path: Path) -> None:
    text, model = path.read_text(encoding="utf-8"), charrnn.load("shakespeare")
    end = text[-len(text) // 10 :]
    before, moved = model.evaluate(end).nats, 0.0
    for network in model.model.members:
        for name, W in network.params.items():
            if W.ndim == 2 and name not in ("layer0.Wx", "layer0.Q"):  # looked up
                new = rounded(W)
                moved = max(moved, float(np.abs(new - W).max()))
                W[:] = new
    after = model.evaluate(end).nats
    print(f"{before:.6f} nats with the weights as they are")
    print(f"{after:.6f} nats with rounded weights, which move by at most {moved:.6f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--loss", type=Path, metavar="TEXT")
    args = parser.parse_args()
    if args.loss:
        print_losses(args.loss)
    else:
        print_speeds(args.hidden)


if __name__ == "__main__":
    main()
