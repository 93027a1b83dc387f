"""Measures which share of a training goes into saving, and how large the files are.

python benchmarks/saving.py TEXT                    the default network
python benchmarks/saving.py --characters 10000      a made-up text of many characters
"""

import argparse
import random
import tempfile
from pathlib import Path
from time import perf_counter

from machine import machine

import charrnn
from charrnn.storage.saver import Saver


def made_up(characters: int) -> str:
    """Return a text of a million characters, of which this many differ."""
    rng = random.Random(1)
    symbols = [chr(0x4E00 + i) for i in range(characters)]
    weights = [1 / (10 + i) for i in range(characters)]
    return "".join(symbols) * 5 + "".join(rng.choices(symbols, weights, k=10**6))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", nargs="?")
    parser.add_argument("--characters", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=4)
    args = parser.parse_args()
    text = Path(args.text).read_text() if args.text else made_up(args.characters)
    saves: list[float] = []
    save = Saver._save

    def timed(self, step):  # type: ignore[no-untyped-def]
        start = perf_counter()
        yield from save(self, step)
        saves.append(perf_counter() - start)

    Saver._save = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        start = perf_counter()
        charrnn.train(text=text, minutes=args.minutes, out=folder, progress=False)
        took = perf_counter() - start
        sizes = [path.stat().st_size / 1e6 for path in Path(folder).glob("*.npz")]
    print(
        f"{len(saves)} saves in {took:.0f} s, the longest {max(saves):.2f} s: "
        f"{sum(saves):.2f} s, {sum(saves) / took:.2%} of the time; files of "
        f"{min(sizes):.0f} and {max(sizes):.0f} MB"
    )
    print(machine())


if __name__ == "__main__":
    main()
