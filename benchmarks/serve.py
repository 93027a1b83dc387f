"""How fast `charrnn serve` is: characters per second, and seconds to its first answer.

    python benchmarks/serve.py
    python benchmarks/serve.py --rounds 3 --length 1000 --output serve.md

A real server is started in an empty folder, and asked over a socket. The models are the
one that comes with charrnn and a new GRU of 256 units. Each writes five columns; the
time is from the request to the last event of the text, figures not included. With
Numba, the server first loads the compiled kernels, as it does in use; that is not
counted.
"""

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from machine import machine

from charrnn.config import ModelConfig
from charrnn.nn.model import Model
from charrnn.storage.checkpoint import Checkpoint, save
from charrnn.text.vocab import Vocabulary

try:
    import numba
except ImportError:
    numba = None

TEMPERATURES = [0.2, 0.5, 0.8, 1.0, 1.3]
V = 65


@contextmanager
def serving(folder: Path) -> Iterator[tuple[int, float]]:
    """Run the command; yield its port, and the seconds until its page was there."""
    began = time.perf_counter()
    words = [sys.executable, "-m", "charrnn", "serve", "--port", "0"]
    with subprocess.Popen(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        port = int(process.stdout.readline().rpartition(":")[2].strip("/\n"))
        request(port, "GET", "/")
        try:
            yield port, time.perf_counter() - began
        finally:
            process.terminate()


def request(port: int, method: str, path: str, asked: object = None) -> bytes:
    """Return the body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    body = None if asked is None else json.dumps(asked)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status}: {found.decode()}")
    return found


def write(port: int, model: str, length: int, kernels: str) -> float:
    """Return the characters per second of five columns."""
    asked = {
        "model": model,
        "length": length,
        "seed": 1,
        "temperatures": TEMPERATURES,
        "kernels": kernels,
        "figures": False,
    }
    began = time.perf_counter()
    body = request(port, "POST", "/api/generate", asked)
    seconds = time.perf_counter() - began
    assert b"event: end" in body
    return length * len(TEMPERATURES) / seconds


def new_run(folder: Path) -> None:
    """Write a checkpoint of a GRU with 256 units."""
    model = Model(ModelConfig(V, 256, 1, "gru"))
    model.init(rng=np.random.default_rng(0))
    vocab = Vocabulary(["\n", *map(chr, range(ord(" "), ord(" ") + V - 1))])
    folder.mkdir(parents=True)
    save(Checkpoint(model, vocab), folder / "best.npz")


def rows(folder: Path, rounds: int, length: int) -> Iterator[str]:
    new_run(folder / "checkpoints" / "gru256")
    starts = []
    for _ in range(rounds):
        with serving(folder) as (_, seconds):
            starts.append(seconds)
    yield f"| from the start to the page | {statistics.median(starts):.2f} s |"
    with serving(folder) as (port, _):
        for model in ("shakespeare", "gru256"):
            for kernels in ("numba", "numpy") if numba else ("numpy",):
                write(port, model, 100, kernels)
                speeds = [write(port, model, length, kernels) for _ in range(rounds)]
                speed = statistics.median(speeds)
                yield f"| {model}, {kernels} | {speed:,.0f} characters per second |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--length", type=int, default=2000, help="of each column")
    parser.add_argument("--output", type=Path, help="also write the table here")
    args = parser.parse_args()
    lines = ["| five columns | |", "|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        lines += rows(Path(folder), args.rounds, args.length)
    lines += ["", f"{machine(Numba=numba)}; medians of {args.rounds} rounds"]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if args.output:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
