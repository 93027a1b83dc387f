"""Compare the speed of two trees of charrnn, and report what got slower.

    python benchmarks/compare_trees.py ../before . --rounds 9

Each case runs in two processes, one for each tree, which take turns. The table has the
medians, and the median of the ratios of the rounds. A case that is slower by more than
5 % is measured again, in three times as many rounds; if it still is, the exit status
is 1. Every tree is measured with its own train_step.py and sample.py; a case that a
tree does not offer is skipped, and reported.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SLOWER = 1.05
CODE = """
import os, subprocess, sys, time
import numpy as np
from train_step import *
from sample import charrnn_write, new_model, prime
{setup}
def timed(count):
    start = time.perf_counter()
    for _ in range(count):
        {work}
    return (time.perf_counter() - start) / count
timed(1)
count = max(1, round({seconds} / timed(1)))
print("ready", flush=True)
for line in sys.stdin:
    timed(1)  # brings back what the other process pushed out of the caches
    print(timed(count), flush=True)
"""


class Case(NamedTuple):
    """What is measured, as code for the process of a tree."""

    name: str
    setup: str
    work: str


def training(cell: str, H: int, kernels: str) -> Case:
    return Case(
        f"train {cell}, {H} units, {kernels}",
        f"step = charrnn_step(ModelConfig(V, {H}, 1, {cell!r}), 32, "
        f"Layout(min(2, available_cores()), 1), {kernels!r})",
        "step()",
    )


def sampling(cell: str, texts: int, kernels: str) -> Case:
    return Case(
        f"sample {cell}, {texts} texts, {kernels}",
        f"write = charrnn_write(new_model(ModelConfig(V, 256, 1, {cell!r})), {texts}, "
        f"{kernels!r}, prime(20))",
        f"write({4000 // texts})",
    )


def command(words: str) -> Case:
    return Case(
        f"charrnn {words}",
        f"words = [sys.executable, '-m', 'charrnn', *{words.split()!r}]",
        "subprocess.run(words, check=True, stdout=subprocess.DEVNULL)",
    )


def cases() -> list[Case]:
    kinds = ("numpy", "numba")
    return [
        *(training(c, 256, k) for c in ("rnn", "gru", "lstm") for k in kinds),
        *(training("gru", 128, k) for k in kinds),
        *(sampling(c, n, k) for c in ("gru", "lstm") for n in (1, 64) for k in kinds),
        command("--help"),
        command("sample --length 1"),
    ]


class Tree:
    """A process that measures one case in one tree."""

    def __init__(self, root: Path, case: Case, seconds: float) -> None:
        code = CODE.format(setup=case.setup, work=case.work, seconds=seconds)
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=root / "benchmarks",
            env=os.environ | {"PYTHONPATH": str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self) -> str:
        """Return the next line of the process, or "" if it ended."""
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def seconds(self) -> float:
        """Measure once more."""
        assert self._process.stdin
        print("again", file=self._process.stdin, flush=True)
        return float(self.ask())

    def end(self) -> str:
        """End the process, and return the last line of its messages."""
        messages = self._process.communicate()[1].strip()
        return messages.splitlines()[-1] if messages else ""


def measure(
    roots: tuple[Path, Path], case: Case, rounds: int, seconds: float
) -> tuple[float, float, float] | str:
    """Return the median seconds before and after, and of the ratios; or an error."""
    trees = []
    try:
        for root in roots:
            trees.append(Tree(root, case, seconds))
            if trees[-1].ask() != "ready":
                return f"{root}: {trees[-1].end()}"
        found = [[tree.seconds() for tree in trees] for _ in range(rounds)]
    finally:
        for tree in trees:
            tree.end()
    before, after = zip(*found, strict=True)
    ratios = [new / old for old, new in found]
    return tuple(map(statistics.median, (before, after, ratios)))  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.2, help="per tree and round")
    parser.add_argument("--only", default="", help="cases whose names contain this")
    args = parser.parse_args()
    roots = args.before.resolve(), args.after.resolve()
    for root in roots:
        if not (root / "benchmarks" / "train_step.py").exists():
            parser.error(f"{root} is no tree of charrnn: it has no benchmarks/")
    print("| case | before, ms | after, ms | after / before |\n|---|--:|--:|--:|")
    slower = []
    for case in cases():
        if args.only not in case.name:
            continue
        found = measure(roots, case, args.rounds, args.seconds)
        if not isinstance(found, str) and found[2] > SLOWER:
            found = measure(roots, case, 3 * args.rounds, args.seconds)
        if isinstance(found, str):
            print(f"| {case.name} | skipped: {found} | | |", flush=True)
            continue
        before, after, ratio = found
        if ratio > SLOWER:
            slower.append(f"{case.name}: {ratio:.2f}")
        shown = f"{1000 * before:.2f} | {1000 * after:.2f} | {ratio:.2f}"
        print(f"| {case.name} | {shown} |", flush=True)
    if slower:
        sys.exit("slower by more than 5 %:\n" + "\n".join(slower))


if __name__ == "__main__":
    main()
