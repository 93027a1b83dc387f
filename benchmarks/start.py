"""How long the command takes to start.

    python benchmarks/start.py --rounds 7

Seconds of whole processes, medians. Training ends with its first step, so its figures
are the time from Enter to that step, on tiny Shakespeare (`charrnn download`). Without
compiled code on disk, Numba compiles first. Python's bytecode is on disk.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import machine

from charrnn.nn.kernels import resolve

try:
    import numba
except ImportError:
    numba = None

TEXT = Path(__file__).parents[1] / "data" / "tinyshakespeare.txt"
UNTIL_STEP = """
import os, sys
import charrnn
from charrnn.training.events import Step

def end(event):
    if isinstance(event, Step):
        os._exit(0)

charrnn.train({text!r}, kernels={kernels!r}, progress=False, on_event=end)
"""


def commands() -> dict[str, list[str]]:
    """Return the arguments of the interpreter, by what they measure."""
    found = {
        "`charrnn --help`": ["-m", "charrnn", "--help"],
        "`charrnn sample --length 1`": ["-m", "charrnn", "sample", "--length", "1"],
    }
    if not TEXT.exists():
        sys.exit(f"{TEXT} is missing; run: charrnn download")
    for kernels in ("numpy", "numba")[: 2 if resolve("auto") == "numba" else 1]:
        code = UNTIL_STEP.format(text=str(TEXT), kernels=kernels)
        found[f"until the first step of training, {kernels}"] = ["-c", code]
    return found


def seconds(arguments: list[str], folder: str, cache: str = "") -> float:
    """Return the seconds of a process; cache is a folder for Numba's code."""
    environ = os.environ | {"PYTHONPYCACHEPREFIX": str(Path(folder, "bytecode"))}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environ | ({"NUMBA_CACHE_DIR": cache} if cache else {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(f"{machine(Numba=numba)}; {rounds} rounds, medians; seconds", flush=True)
    print("\n| | seconds |\n|---|--:|")
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in commands().items():
            seconds(arguments, folder)  # the first reads from the disk, and may compile
            found = [seconds(arguments, folder) for _ in range(rounds)]
            print(f"| {name} | {statistics.median(found):.2f} |", flush=True)
        if "numba" in name:
            found = []
            for _ in range(min(3, rounds)):
                with tempfile.TemporaryDirectory() as cache:
                    found.append(seconds(arguments, folder, cache))
            print(f"| the same, compiling first | {statistics.median(found):.2f} |")


if __name__ == "__main__":
    main()
