"""Sampling speed in characters per second: charrnn and PyTorch.

    python benchmarks/sample.py                     every cell and size
    python benchmarks/sample.py --cell rnn --streams 1 --output results.md

Each contender does the same work: it reads a character, divides the logits by the
temperature, and draws the next of 65 characters, for one text or for several in
parallel. All have the same weights, and must give the same probabilities for the same
characters before anything is timed. They take turns in one process. The table shows
medians over the rounds; the characters of all texts are counted. PyTorch and Numba (for
the kernels) take part if they are installed.

charrnn is `charrnn.generation.sampling.sample`. PyTorch is the fastest of nn.RNN called
on sequences of one character ("sequence") and nn.RNNCell ("cell"), each with one thread
and with all cores.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from machine import CELLS, machine

from charrnn.config import ModelConfig, SampleConfig
from charrnn.generation.sampling import read_prime, sample, uniforms
from charrnn.machine import available_cores
from charrnn.nn import kernels
from charrnn.nn.filters import distribution
from charrnn.nn.model import Model
from charrnn.storage.torch_weights import to_torch

try:
    import torch
except ImportError:
    torch = None
try:
    import numba
except ImportError:
    numba = None

V, TEMPERATURE, SEED = 65, 0.8, 1
WAYS = ("cell", "sequence")
FORCED = 20  # given characters, after which probabilities are compared
DRAWN = 128  # drawn characters after those, also compared
WARM = 128  # characters before each timing

Write = Callable[[int], np.ndarray]  # returns that many ids of every text, (length, N)
# Takes ids (N, 1) and the state; returns the next probabilities (N, V) and the state.
Step = Callable[[Any, Any], tuple[Any, Any]]


def new_model(config: ModelConfig) -> Model:
    model, rng = Model(config), np.random.default_rng(0)
    model.init(rng=rng)
    for array in model.params.values():
        if array.ndim == 1:  # biases start at 0, which would hide a wrong one
            array[:] = rng.uniform(-0.1, 0.1, array.shape)
    return model


def prime(length: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, V, length).astype(np.uint8)


def charrnn_write(model: Model, N: int, kernels: str, start: np.ndarray) -> Write:
    def write(length: int) -> np.ndarray:
        config = SampleConfig(length, TEMPERATURE, seed=SEED, kernels=kernels)
        return np.array(list(sample(model, start, config, texts=range(N))))

    return write


def torch_step(model: Model, N: int, way: str) -> Step:
    H, kind = model.config.hidden, model.config.cell
    classes = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
    cells = {
        "rnn": torch.nn.RNNCell,
        "gru": torch.nn.GRUCell,
        "lstm": torch.nn.LSTMCell,
    }
    rnn = (cells if way == "cell" else classes)[kind](V, H)
    output = torch.nn.Linear(H, V)
    weights = {k: torch.from_numpy(v) for k, v in to_torch(model).items()}
    if way == "cell":
        weights = {k.removesuffix("_l0"): v for k, v in weights.items()}
    torch.nn.ModuleDict({"rnn": rnn, "output": output}).load_state_dict(weights)
    one_hot = torch.zeros(N, V)  # filled anew each time: the cheapest of several ways

    def cell(ids: Any, state: Any) -> tuple[Any, Any]:
        state = rnn(one_hot.zero_().scatter_(1, ids, 1.0), state)
        logits = output(state[0] if kind == "lstm" else state)
        return torch.softmax(logits.div_(TEMPERATURE), 1), state

    def sequence(ids: Any, state: Any) -> tuple[Any, Any]:
        h, state = rnn(one_hot.zero_().scatter_(1, ids, 1.0).unsqueeze(0), state)
        logits = output(h.squeeze(0))
        return torch.softmax(logits.div_(TEMPERATURE), 1), state

    return cell if way == "cell" else sequence


def torch_write(step: Step, N: int, threads: int, start: np.ndarray) -> Write:
    first = torch.from_numpy(start.astype(np.int64)).expand(N, 1)
    generator = torch.Generator().manual_seed(SEED)

    @torch.inference_mode()
    def write(length: int) -> np.ndarray:
        torch.set_num_threads(threads)
        ids, state, drawn = first, None, []
        for _ in range(length):
            p, state = step(ids, state)
            ids = torch.multinomial(p, 1, generator=generator)
            drawn.append(ids)
        return torch.cat(drawn, 1).T.numpy()

    return write


def torch_probabilities(step: Step, ids: np.ndarray) -> np.ndarray:
    """Return the probabilities (T, N, V) after each of the ids (T, N)."""
    found, state = [], None
    with torch.inference_mode():
        for column in torch.from_numpy(ids.astype(np.int64)).unsqueeze(2):
            p, state = step(column, state)
            found.append(p.numpy().astype(np.float64))
    return np.array(found)


def installed() -> list[str]:
    return ["numpy", "numba"] if kernels.resolve("auto") == "numba" else ["numpy"]


def check_probabilities(model: Model, N: int) -> None:
    """Exit if PyTorch and charrnn do not have the same probabilities.

    They are compared first after a fixed prime, and then on the characters that
    `sample` draws. It does not return their probabilities, so each character must be
    the one that its random number selects under PyTorch's probabilities.
    """
    forced = prime(FORCED)
    logits, _ = read_prime(model, forced, N)
    expected = distribution(logits, np.full((N, 1), TEMPERATURE))
    u = np.concatenate([*islice(uniforms(SEED, range(N)), 2)])[:DRAWN, :, None]
    for way in WAYS:
        step = torch_step(model, N, way)
        for steps in installed():
            written = charrnn_write(model, N, steps, forced)(DRAWN)
            read = np.concatenate((np.repeat(forced[:, None], N, axis=1), written))
            p = torch_probabilities(step, read)[FORCED - 1 : -1]
            if not np.allclose(p[0], expected, rtol=1e-4, atol=1e-7):
                off = np.abs(p[0] - expected).max()
                sys.exit(f"the probabilities of PyTorch's {way} are off by {off}")
            above = np.take_along_axis(p.cumsum(2), written[:, :, None], 2)
            below = above - np.take_along_axis(p, written[:, :, None], 2)
            off = np.maximum(below - u, u - above).max()
            if off > 1e-4:
                sys.exit(
                    f"{steps} draws characters that PyTorch's {way} would not, by {off}"
                )


def contenders(config: ModelConfig, N: int) -> dict[str, Write]:
    model, start = new_model(config), prime(1)
    if torch:
        check_probabilities(model, N)
    found = {}
    for steps in installed():
        name = "plain" if steps == "numpy" else "kernels"
        found[name] = charrnn_write(model, N, steps, start)
    for threads in dict.fromkeys((1, available_cores())) if torch else ():
        for way in WAYS:
            step = torch_step(model, N, way)
            found[f"torch {way}, {threads}"] = torch_write(step, N, threads, start)
    return found


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def length_of(write: Write, seconds: float) -> int:
    """Return the number of characters of each text that fill the time."""
    write(WARM)  # the first call may compile
    length = WARM
    while (spent := timed(partial(write, length))) < seconds / 4:
        length *= 2
    return max(1, round(length * seconds / spent))


def measure(
    writes: dict[str, Write], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Return the seconds per character of each text, by contender and round."""
    lengths = {name: length_of(write, seconds) for name, write in writes.items()}
    found: dict[str, list[float]] = {name: [] for name in writes}
    for _ in range(rounds):
        for name, write in writes.items():
            length = lengths[name]
            time.sleep(0.25)  # until the threads of the last one stop spinning
            write(WARM)  # brings back what the others pushed out of the caches
            found[name].append(timed(partial(write, length)) / length)
    return found


def row(config: ModelConfig, N: int, rounds: int, seconds: float) -> str:
    speeds = {
        name: N / statistics.median(times)
        for name, times in measure(contenders(config, N), rounds, seconds).items()
    }
    theirs = [name for name in speeds if name.startswith("torch")]
    best = max(theirs, key=speeds.__getitem__, default=None)
    cells = [config.cell, str(config.hidden), str(N)]
    if best:
        cells += [f"{speeds[best]:,.0f} ({best.removeprefix('torch ')})"]
    else:
        cells += ["not installed"]
    for name in ("plain", "kernels"):
        mine = speeds.get(name)
        cells += [f"{mine:,.0f}" if mine else "not installed"]
        cells += [f"{mine / speeds[best]:.2f}" if mine and best else ""]
    return "| " + " | ".join(cells) + " |"


def speeds_table(args: argparse.Namespace) -> Iterator[str]:
    yield (
        f"{about()}; {args.rounds} rounds of {args.seconds:g} s each, medians; "
        "characters per second (and PyTorch's way and threads)."
    )
    yield ""
    yield (
        "| cell | hidden | streams | PyTorch "
        "| plain | / PyTorch | kernels | / PyTorch |"
    )
    yield "|---" * 8 + "|"
    for cell in args.cell or CELLS:
        for hidden in args.hidden or (128, 256, 512):
            for N in args.streams or (1, 64):
                config = ModelConfig(V, hidden, 1, cell)
                yield row(config, N, args.rounds, args.seconds)


def about() -> str:
    return machine(PyTorch=torch, Numba=numba)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cell", choices=CELLS, action="append")
    parser.add_argument("--hidden", type=int, action="append")
    parser.add_argument("--streams", type=int, action="append")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="per contender and round"
    )
    parser.add_argument("--output", type=Path, help="also write the table here")
    args = parser.parse_args()
    lines = []
    for line in speeds_table(args):
        lines.append(line)
        print(line, flush=True)
    if args.output:
        args.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
