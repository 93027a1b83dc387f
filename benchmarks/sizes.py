"""What training costs on texts of 1 MB to 2 GB: waiting times, speed and memory.

    python benchmarks/sizes.py --minutes 0.5 --sizes 1 10 100 2000

Each text is made in a temporary folder, and the real command trains on it on a terminal
of its own: once with an empty cache, and once more for the second start. Then `eval` of
a sentence and `compare` read the text again. Memory is the process's largest resident
set. The speed is that of training, validations included.
"""

import argparse
import fcntl
import json
import os
import pty
import random
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from machine import machine

BLOCK = 8_000_000  # bytes of different text; a longer one repeats it
COLUMNS = (
    *("text", "MB", "first line, s", "text read, s", "first step, s", "chars/s"),
    *("memory, MB", "after the last step, s", "whole run, s"),
    *("again: text read, s", "first step, s", "`compare`, s", "memory, MB"),
)


def ascii_lines(rng: random.Random) -> Iterator[str]:
    """Yield lines of made-up words, the frequent ones as frequent as in prose."""
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    weights = [1 / (i + 2) for i in range(len(letters))]
    words = [
        "".join(rng.choices(letters, weights, k=rng.randint(1, 10)))
        for _ in range(20_000)
    ]
    ranks = [1 / (i + 1) for i in range(len(words))]
    while True:
        for line in zip(*[iter(rng.choices(words, ranks, k=9_000))] * 9, strict=True):
            yield " ".join(line).capitalize() + ".\n"


def cjk_lines(rng: random.Random) -> Iterator[str]:
    """Yield lines of Chinese characters, 4,000 different ones."""
    characters = [chr(0x4E00 + i) for i in range(4_000)]
    ranks = [1 / (i + 1) for i in range(len(characters))]
    while True:
        drawn = "".join(rng.choices(characters, ranks, k=40_000))
        for start in range(0, len(drawn), 40):
            yield drawn[start : start + 40] + "。\n"


KINDS = {"ASCII": ascii_lines, "CJK": cjk_lines}


def make_text(path: Path, kind: str, size: int) -> None:
    """Write a text of about `size` bytes."""
    block, length = [], 0
    for line in KINDS[kind](random.Random(1)):
        block.append(line.encode())
        length += len(block[-1])
        if length >= min(BLOCK, size):
            break
    data = b"".join(block)
    with path.open("wb") as file:
        for _ in range(max(1, size // len(data))):
            file.write(data)


@dataclass
class Run:
    """A command that ran on a terminal: when it printed what, in seconds."""

    seconds: float
    memory: float  # MB
    seen: dict[bytes, float]  # when each of the awaited words came first


def run_on_terminal(arguments: list[str], *awaited: bytes, **environ: str) -> Run:
    """Run `charrnn` on a terminal of its own, and note when some words appear."""
    start = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        command = [sys.executable, "-m", "charrnn", *arguments]
        os.execve(sys.executable, command, os.environ | environ)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    shown, seen = b"", {}
    with suppress(OSError):  # the end of the terminal, on Linux
        while data := os.read(terminal, 1 << 16):
            shown += data
            for word in awaited:
                if word in shown:
                    seen.setdefault(word, time.perf_counter() - start)
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"charrnn {' '.join(arguments)} failed:\n{shown.decode()}")
    memory = usage.ru_maxrss * 1024 / 1e6
    return Run(time.perf_counter() - start, memory, seen)


def row(kind: str, size: int, minutes: float, folder: Path) -> list[str]:
    """Return the figures of one text."""
    text, out = folder / "text.txt", folder / "run"
    make_text(text, kind, size)
    train = ["train", str(text), "--preset", "quick"]
    cache = {"CHARRNN_CACHE": str(folder / "cache")}
    LINE, READ, STEP, LAST = b"\n", b" characters\r\n", b"loss ", b"Best (*)"
    first = run_on_terminal(
        [*train, "--minutes", str(minutes), "--out", str(out)],
        *(LINE, READ, STEP, LAST),
        **cache,
    )
    again = run_on_terminal(
        [*train, "--steps", "60", "--out", str(folder / "again")], READ, STEP, **cache
    )
    compared = run_on_terminal(["compare", str(out), "--length", "300"], **cache)
    *_, last = (out / "history.jsonl").read_text().splitlines()
    history = json.loads(last)
    speed = history["step"] * 32 * 64 / history["seconds"]  # the preset's batch, window
    return [
        kind,
        f"{text.stat().st_size / 1e6:,.0f}",
        f"{first.seen[LINE]:.1f}",
        f"{first.seen[READ]:.1f}",
        f"{first.seen[STEP]:.1f}",
        f"{speed:,.0f}",
        f"{first.memory:,.0f}",
        f"{first.seconds - first.seen[LAST]:.1f}",
        f"{first.seconds:.1f}",
        f"{again.seen[READ]:.1f}",
        f"{again.seen[STEP]:.1f}",
        f"{compared.seconds:.1f}",
        f"{compared.memory:,.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=float, nargs="+", default=[1, 10, 100, 2000])
    parser.add_argument("--kinds", choices=KINDS, nargs="+", default=[*KINDS])
    parser.add_argument("--minutes", type=float, default=0.5)
    args = parser.parse_args()
    print(f"{machine()}; --preset quick --minutes {args.minutes}\n")
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    for kind in args.kinds:
        for size in args.sizes:
            with tempfile.TemporaryDirectory() as folder:
                figures = row(kind, int(size * 1e6), args.minutes, Path(folder))
            print(f"| {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
