"""Where the time of a training step goes: products, calls, and elementwise work.

    python benchmarks/where.py
    python benchmarks/where.py --floor

It times `cell.forward` and `cell.backward` of one layer over a window of 64 characters,
for one worker's share of the batch, on one thread. "loops" are the products of the
single time steps and "sums" the product over all steps (dWh), both measured alone in
the same shapes. "calls" is the time of the same passes with one row and one unit, which
is nearly all overhead of calls; "elementwise, copies" is the remainder.

With --floor, for several sizes, it compares plain NumPy with the least time in which
NumPy could do the same: the products, the rows of Wx and their gradients, and the
elementwise operations that the formulas need, each on arrays that are in the cache.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from machine import CELLS, machine

from charrnn.nn import kernels
from charrnn.nn.parameters import Parameters
from charrnn.nn.steps import StepProduct
from charrnn.nn.workers import blas_threads

T, V = 64, 65
# The elementwise operations of a forward and a backward step on (N, H): additions and
# multiplications, and tanh. A sigmoid counts as a tanh, a multiplication and an
# addition: the factor of its argument could be folded into the weights.
_PASSES = {"rnn": (1 + 4, 1), "gru": (12 + 17, 3), "lstm": (14 + 23, 5)}


def milliseconds(work: Callable[[], object], seconds: float) -> float:
    work()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return 1000 * best


def passes(kind: str, name: str, N: int, H: int) -> Callable[[], object]:
    """Return a forward and a backward pass of a cell over a window."""
    cell, rng = kernels.cell(kind, name), np.random.default_rng(0)
    params = Parameters(cell.shapes(V, H), np.dtype(np.float32))
    cell.init(params, rng=rng)
    workspace = cell.workspace(T, N, V, H, np.float32)
    ids = rng.integers(0, V, (T, N)).astype(np.uint8)
    dh = rng.standard_normal((T, N, H), dtype=np.float32)
    state, grads = cell.zero_state(N, H, np.float32), params.zeros_like()

    def work() -> None:
        cell.forward(params, ids, state, workspace)
        cell.backward(params, dh, workspace, grads)

    return work


def products(kind: str, name: str, N: int, H: int) -> tuple[Callable, Callable]:
    """Return the products of the two loops over time, and the one over all steps."""
    rng = np.random.default_rng(0)
    GH = kernels.cell(kind, name).shapes(V, H)["b"][0]
    h, a = (rng.standard_normal((N, n), dtype=np.float32) for n in (H, GH))
    W = rng.standard_normal((H, GH), dtype=np.float32)
    rows_h, rows_a = np.tile(h, (T, 1)), np.tile(a, (T, 1))
    dWh, h_out, a_out = np.empty_like(W), np.empty_like(h), np.empty_like(a)
    if name == "numba":
        from charrnn.nn.compiled.product import pack, panels, product

        Wh, WhT = pack(W, panels(H, GH)), pack(W.T, panels(GH, H))

        def loops() -> None:
            for _ in range(T):
                product(h, Wh, a_out)
                product(a, WhT, h_out)
    else:
        h_Wh, a_WhT = StepProduct(H, out=a_out), StepProduct(GH, out=h_out)
        h_Wh.use(W)
        a_WhT.use(W.T)

        def loops() -> None:
            for _ in range(T):
                h_Wh(h)
                a_WhT(a)

    multiply = kernels.functions(name).multiply
    return loops, lambda: multiply(rows_h.T, rows_a, dWh)


def least_passes(kind: str, N: int, H: int) -> Callable[[], object]:
    """Return what a window takes besides its products, on arrays in the cache."""
    rng = np.random.default_rng(0)
    x, y, out = (rng.standard_normal((N, H), dtype=np.float32) for _ in range(3))
    products, tanhs = _PASSES[kind]
    GH = kernels.cell(kind, "numpy").shapes(V, H)["b"][0]
    Wx = rng.standard_normal((V, GH), dtype=np.float32)
    ids, a = rng.integers(0, V, T * N), np.empty((T * N, GH), np.float32)
    dWx = np.empty_like(Wx)
    sum_rows = kernels.functions("numpy").sum_rows

    def work() -> None:
        np.take(Wx, ids, axis=0, out=a, mode="clip")
        sum_rows(ids, a, dWx)
        for _ in range(T * products):
            np.multiply(x, y, out=out)
        for _ in range(T * tanhs):
            np.tanh(x, out=out)

    return work


def floors(hidden: list[int], rows: list[int], seconds: float) -> None:
    """Print how near plain NumPy is to the least time it could take."""
    print("| cell | units | rows | ms | products | least passes | floor / ms |")
    print("|---|" + "--:|" * 6)
    for kind in CELLS:
        for H in hidden:
            for N in rows:
                works = [passes(kind, "numpy", N, H), *products(kind, "numpy", N, H)]
                works += [least_passes(kind, N, H)]
                with blas_threads(1):
                    ms, loops, sums, least = (
                        milliseconds(work, seconds) for work in works
                    )
                parts = f"{loops + sums:.1f} | {least:.1f}"
                share = (loops + sums + least) / ms
                print(f"| {kind} | {H} | {N} | {ms:.1f} | {parts} | {share:.0%} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--floor", action="store_true")
    parser.add_argument("--rows", type=int, default=32, help="streams of the worker")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=1.0, help="per measurement")
    args = parser.parse_args()
    if args.floor:
        print(f"{machine()}; one thread, window {T}; milliseconds\n")
        floors([128, 256, 512], [16, 32], args.seconds)
        return
    N, H = args.rows, args.hidden
    print(f"{machine()}; {N} rows, {H} units, window {T}; milliseconds\n")
    print("| cell | kernels | total | loops | sums | calls | elementwise, copies |")
    print("|---" * 7 + "|")
    for kind in CELLS:
        for name in ("numpy", "numba"):
            if name == "numba" and kernels.resolve("auto") != "numba":
                continue
            with blas_threads(1):
                whole = milliseconds(passes(kind, name, N, H), args.seconds)
                loops, sums = (
                    milliseconds(work, args.seconds)
                    for work in products(kind, name, N, H)
                )
                calls = milliseconds(passes(kind, name, 1, 1), args.seconds)
            parts = [loops, sums, calls, whole - loops - sums - calls]
            cells = [f"{part:.1f} ({part / whole:.0%})" for part in parts]
            print(f"| {kind} | {name} | {whole:.1f} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
