"""How training scales with ranks: measured here, and modelled to 256 ranks.

    python benchmarks/scaling.py                  a network of --latency, --bandwidth
    mpiexec -n 2 python benchmarks/scaling.py     the network between the ranks
    python benchmarks/scaling.py --losses TEXT    what larger batches do to the loss
    python benchmarks/scaling.py --cores          the threads chosen on 4 to 128 cores

A step of R ranks that share N columns is taken to last

    compute(N / R) + 2 latency ceil(log2 R) + 2 (R - 1) / R bytes / bandwidth

where compute(n) is the measured time of a step with n columns on one rank, its update
included, and bytes are those of the gradient: the sum over the ranks is a
reduce-scatter and an allgather, each of log2 R messages. Under mpiexec, latency and
bandwidth are fitted to measured sums, and the model is compared with measured steps.
Ranks on several machines are also measured without overlap, as the model takes it: the
gradient is sent when it is complete. Assumed: all ranks are alike, and no two share a
link. The cell is a GRU.

With W threads on one machine, a step is taken to last

    compute(N / W) + W start + sum(W)

where start is the measured time to start a part of the work, and sum(W) that in which W
threads read W gradients, all together at most BUSES times as fast as one thread.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import pairwise
from math import ceil, log2
from pathlib import Path
from time import perf_counter

import numpy as np
from machine import machine

from charrnn.config import EXCHANGES, ModelConfig, TrainConfig
from charrnn.machine import usable_cores
from charrnn.nn import kernels
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array
from charrnn.nn.workers import Layout, Threads, Workers
from charrnn.ranks import Ranks, world
from charrnn.run import start_run
from charrnn.text.reading import read_corpus
from charrnn.training.update import Update

CELL, V, T = "gru", 65, 64
HIDDEN = (128, 256, 512, 1024)
COLUMNS = (1, 2, 4, 8, 16, 32, 64, 128)
BATCHES = (32, 64, 128, 256, 512, 1024)
RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SIZES = tuple(1 << k for k in range(8, 25, 2))  # bytes of a sum
GAIN = 1.1  # twice as many ranks must be this much faster to be worth it
BUSES = 8  # threads that read memory as fast as all
CHARACTERS = 12_000_000  # that each batch of --losses trains on

Time = Callable[[int, int], float]  # of a step, by ranks and columns


def median_time(
    work: Callable[[], object],
    *,
    seconds: float = 0.0,
    count: int = 5,
    before: Callable[[], object] = lambda: None,
) -> float:
    """Return the median time of a piece of work, after a first one.

    It is repeated `count` times, and on until `seconds` have passed. `before` is called
    before each, and not timed.
    """
    work()
    times, end = [], perf_counter() + seconds
    while len(times) < count or perf_counter() < end:
        before()
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return statistics.median(times)


def stepping(
    hidden: int, N: int, ranks: Ranks, threads: int, exchange: str = "float32"
) -> Callable[[], object]:
    """Return a training step with N columns that the ranks share."""
    network = ModelConfig(V, hidden=hidden, cell=CELL)
    model = Model(network, kernels=kernels.resolve("auto"))
    model.init(rng=np.random.default_rng(0))
    columns = ranks.share(N)
    width = columns.stop - columns.start
    workers = Workers(model, T, width, Layout(min(threads, width)), of=N)
    config = TrainConfig(exchange=exchange)
    update = Update(model, config, workers, None, ranks, N)
    ids = np.random.default_rng(1).integers(0, V, (T + 1, width)).astype(np.uint8)
    state, rng = model.zero_state(width), np.random.default_rng(0)

    def step() -> None:
        found = update.gradient(ids[:-1], ids[1:], state, rng=rng)
        update.apply(found.grads, 0.0, 1)

    return step


def compute_times(hidden: int, threads: int, seconds: float) -> dict[int, float]:
    """Return the time of a step on one rank by its columns."""
    return {
        n: median_time(stepping(hidden, n, Ranks(), threads), seconds=seconds)
        for n in COLUMNS
    }


def interpolated(times: dict[int, float], n: int) -> float:
    """Return the time for n columns, on the line between the measured ones."""
    for a, b in pairwise(sorted(times)):
        if n <= b:
            return times[a] + (times[b] - times[a]) * (n - a) / (b - a)
    return times[b] + (times[b] - times[a]) * (n - b) / (b - a)


def parameters(hidden: int) -> int:
    """Return the number of parameters of a network."""
    return Model(ModelConfig(V, hidden=hidden, cell=CELL)).params.flat.size


def model_of(
    hidden: int, times: dict[int, float], latency: float, bandwidth: float
) -> Time:
    """Return the modelled time of a step; see the module."""
    size = 4 * parameters(hidden)

    def step(R: int, N: int) -> float:
        compute = interpolated(times, ceil(N / R))
        return compute + sum_time(R, size, latency, bandwidth)

    return step


def sum_time(R: int, size: int, latency: float, bandwidth: float) -> float:
    """Return the modelled time in which R ranks add arrays of so many bytes."""
    return 2 * latency * ceil(log2(R)) + 2 * (R - 1) / R * size / bandwidth


def add(ranks: Ranks, array: Array, *, short: bool) -> None:
    """Replace an array by its sum over the ranks."""
    with ranks.adding([array], short=short):
        pass


def measured_sums(ranks: Ranks, *, short: bool) -> dict[int, float]:
    """Return the time of a sum over the ranks by its bytes."""
    found = {}
    for size in SIZES:
        array = np.zeros(size // 4, np.float32)
        time = median_time(
            partial(add, ranks, array, short=short),
            count=max(5, min(200, (1 << 25) // size)),
            before=lambda: ranks.totals(lambda: ()),  # all start together
        )
        found[size] = max(ranks.gather(lambda time=time: time))
    return found


def fitted(sums: dict[int, float], R: int) -> tuple[float, float]:
    """Return the latency in seconds and the bandwidth in bytes/s that fit the sums.

    The relative errors are minimised, so that small sums count as much as large ones.
    """
    size, time = (np.array([*values]) for values in (sums.keys(), sums.values()))
    terms = np.stack([np.full(len(size), 2 * ceil(log2(R))), 2 * (R - 1) / R * size])
    found, *_ = np.linalg.lstsq((terms / time).T, np.ones(len(size)), rcond=None)
    latency, per_byte = np.maximum(found, 1e-12)
    return float(latency), float(1 / per_byte)


def compared(
    ranks: Ranks, steps: dict[int, Time], args: argparse.Namespace
) -> Iterator[str]:
    """Yield a table of steps on all ranks, and on the first one by itself.

    If that may use as many cores, it also has a column for as many threads. If the
    ranks are on several machines, it has one for steps without overlap.
    """
    R, many = ranks.size, ranks.size * args.threads
    has_cores = ranks.first(lambda: len(usable_cores()) >= many)
    threads = f" {many} threads, ms |" if has_cores else ""
    overlaps = ranks.is_spread
    more = threads + overlaps * f" {R} ranks without overlap, ms |"
    yield (
        f"\n| units | batch | one rank, ms |{more} {R} ranks, ms | times as fast | "
        f"modelled |\n|--:|--:|--:|{'--:|' * (has_cores + overlaps)}--:|--:|--:|"
    )
    for hidden in args.hidden:
        for N in (32, 64, 128):

            def alone(threads: int, h: int = hidden, N: int = N) -> float:
                work = stepping(h, N, Ranks(), threads)
                return median_time(work, seconds=args.seconds)

            one = ranks.first(lambda alone=alone: alone(args.threads))
            shown = f"{1000 * one:.1f}"
            if has_cores:
                other = ranks.first(lambda alone=alone: alone(many))
                shown += f" | {1000 * other:.1f}"
            work = stepping(hidden, N, ranks, args.threads, args.exchange)
            count = max(5, int(args.seconds / one))  # the same on all ranks
            if overlaps:
                ranks.is_spread = False
                shown += f" | {1000 * median_time(work, count=count):.1f}"
                ranks.is_spread = True
            time = median_time(work, count=count)
            expected = steps[hidden](1, N) / steps[hidden](R, N)
            yield (
                f"| {hidden} | {N} | {shown} | {1000 * time:.1f} | {one / time:.2f} | "
                f"{expected:.2f} |"
            )


def start_time(seconds: float) -> float:
    """Return the time to start a part of some work, and to wait for it."""
    with closing(Threads(2)) as threads:
        return median_time(lambda: threads.run(lambda i: None), seconds=seconds) / 2


def reading_time(seconds: float) -> float:
    """Return the time in which a thread adds a byte of one gradient to another."""
    a, b = np.zeros((2, 1 << 22), np.float32)
    return median_time(lambda: np.add(a, b, out=a), seconds=seconds) / a.nbytes


def simulated(hidden: int, seconds: float) -> Iterator[str]:
    """Yield a row per number of cores: the threads chosen, and the best ones."""
    times = compute_times(hidden, 1, seconds)
    start, read = start_time(seconds), reading_time(seconds)
    size = 4 * parameters(hidden)

    def step(W: int, N: int) -> float:
        together = W * size * read / min(W, BUSES) if W > 1 else 0.0
        return interpolated(times, ceil(N / W)) + W * start + together

    for N in (32, 128):
        for cores in (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128):
            tried = {2**k for k in range(cores.bit_length())} | {cores, cores // 2}
            tried = {min(W, N) for W in tried}
            chosen = min(tried, key=lambda W, N=N: step(W, N))
            best = min(range(1, min(cores, N) + 1), key=lambda W, N=N: step(W, N))
            yield (
                f"| {hidden} | {N} | {cores} | {chosen} | "
                f"{step(1, N) / step(chosen, N):.1f} | {best} | "
                f"{step(chosen, N) / step(best, N):.2f} |"
            )


def modelled(hidden: int, step: Time) -> Iterator[str]:
    """Yield a row per batch: times as fast as one rank, and the ranks worth having."""
    for N in BATCHES:
        gains = [step(1, N) / step(R, N) if R <= N else None for R in RANKS]
        useful = 1
        for few, many in pairwise(RANKS):
            if many > N or step(few, N) / step(many, N) < GAIN:
                break
            useful = many
        shown = " | ".join("–" if gain is None else f"{gain:.1f}" for gain in gains)
        yield f"| {hidden} | {N} | {1000 * step(1, N):.1f} | {shown} | {useful} |"


def losses(text: Path, hidden: int) -> Iterator[str]:
    """Yield a row per batch: the loss after as many characters, and the steps."""
    corpus = read_corpus([text])
    for N in BATCHES:
        steps = CHARACTERS // (N * T)
        lr = 7e-3 * (N / 32) ** 0.5
        for rate in (7e-3, lr) if N > 32 else (lr,):
            settings = {"hidden": hidden, "batch": N, "steps": steps, "lr": rate}
            settings |= {"cell": CELL}
            run = start_run(corpus, settings | {"eval_every": -(-steps // 10)})
            start = perf_counter()
            for _ in run.events():
                pass
            best = run.trainer.progress.best_loss
            took = perf_counter() - start
            yield f"| {N} | {steps:,} | {rate:.4f} | {best:.4f} | {took:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hidden", type=int, nargs="+", default=[*HIDDEN])
    parser.add_argument("--threads", type=int, default=1, help="per rank")
    parser.add_argument("--latency", type=float, default=0.2, help="in ms")
    parser.add_argument("--bandwidth", type=float, default=1.0, help="in Gbit/s")
    parser.add_argument("--seconds", type=float, default=0.5, help="per measurement")
    parser.add_argument("--exchange", choices=EXCHANGES, default="float32")
    parser.add_argument("--losses", type=Path, metavar="TEXT")
    parser.add_argument("--cores", action="store_true")
    args = parser.parse_args()
    ranks = world()
    out = sys.stdout if ranks.is_first else None

    def show(line: str = "") -> None:
        if out:
            print(line, file=out, flush=True)

    show(machine())
    show()
    if args.losses:
        show("| batch | steps | rate | nats per character | s |\n|--:|--:|--:|--:|--:|")
        for row in losses(args.losses, args.hidden[0]):
            show(row)
        return
    if args.cores:
        show(
            "| units | batch | cores | threads chosen | times as fast as one | best | "
            "chosen / best |\n|--:|--:|--:|--:|--:|--:|--:|"
        )
        for hidden in args.hidden:
            for row in simulated(hidden, args.seconds):
                show(row)
        return
    latency, bandwidth = args.latency / 1000, args.bandwidth * 1e9 / 8
    if ranks.size > 1:
        sums = measured_sums(ranks, short=args.exchange == "bfloat16")
        latency, bandwidth = fitted(sums, ranks.size)
        show(f"| bytes | a sum of {ranks.size} ranks, ms | modelled |\n|--:|--:|--:|")
        for size, time in sums.items():
            model = sum_time(ranks.size, size, latency, bandwidth)
            show(f"| {size:,} | {1000 * time:.3f} | {1000 * model:.3f} |")
        show()
    show(f"latency {1000 * latency:.3f} ms, bandwidth {bandwidth * 8 / 1e9:.2f} Gbit/s")
    # One rank at a time, as if each had its machine for itself.
    times = ranks.first(
        lambda: {
            hidden: compute_times(hidden, args.threads, args.seconds)
            for hidden in args.hidden
        }
    )
    steps = {
        hidden: model_of(hidden, times[hidden], latency, bandwidth)
        for hidden in args.hidden
    }
    if ranks.size > 1:
        for row in compared(ranks, steps, args):
            show(row)
    head = " | ".join(f"{R}" for R in RANKS)
    show(
        "\nModelled: times as fast as one rank.\n\n"
        f"| units | batch | ms, 1 rank | {head} | useful ranks |\n"
        f"|--:|--:|--:|{'--:|' * len(RANKS)}--:|"
    )
    for hidden in args.hidden:
        for row in modelled(hidden, steps[hidden]):
            show(row)
    ranks.finish()


if __name__ == "__main__":
    main()
