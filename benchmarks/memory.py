"""Peak memory of training, with a separate process for each contender.

    python benchmarks/memory.py --cell gru --hidden 256 --batch 64

The work is that of train_step.py: one-hot input, window 64, Adam, clipping. The figure
is the process's largest resident set in MB, including the library itself.
"""

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from machine import CELLS, machine

from charrnn.machine import available_cores

STEPS = 20
# How to make each contender's step, and the packages that must not be loaded with it.
CONTENDERS = {
    "PyTorch": ("torch_step(config, {N}, {cores})", ("jax",)),
    "JAX": ("jax_step(config, {N})", ("torch",)),
    "charrnn, plain": (
        "charrnn_step(config, {N}, Layout({cores}, 1), 'numpy')",
        ("torch", "jax", "scipy"),
    ),
    "charrnn, kernels": (
        "charrnn_step(config, {N}, Layout({cores}, 1), 'numba')",
        ("torch", "jax", "scipy"),
    ),
}
NEEDS = {"PyTorch": "torch", "JAX": "jax", "charrnn, kernels": "numba"}
CODE = """
import resource, sys
sys.modules.update(dict.fromkeys({absent}))
from train_step import *
config = ModelConfig(V, {H}, {layers}, {cell!r})
step = {call}
for _ in range({steps}):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(name: str, cell: str, H: int, layers: int, N: int) -> float:
    """Return the peak resident memory of a contender in MB."""
    call, absent = CONTENDERS[name]
    call = call.format(N=N, cores=available_cores())
    code = CODE.format(
        absent=absent, H=H, layers=layers, cell=cell, call=call, steps=STEPS
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout.split()[-1]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cell", choices=CELLS, action="append")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()
    names = [n for n in CONTENDERS if n not in NEEDS or find_spec(NEEDS[n])]
    print(f"{machine()}; peak resident memory, MB\n")
    print("| cell | layers x units | batch | " + " | ".join(names) + " |")
    print("|---" * (3 + len(names)) + "|")
    for cell in args.cell or CELLS:
        found = [peak(n, cell, args.hidden, args.layers, args.batch) for n in names]
        shape = f"{args.layers} x {args.hidden}"
        figures = " | ".join(f"{mb:,.0f}" for mb in found)
        print(f"| {cell} | {shape} | {args.batch} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
