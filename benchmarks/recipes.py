"""Train recipes on texts and seeds, and say what came of them in a table.

    python benchmarks/recipes.py TEXT… --preset quick --preset small --seed 1 --seed 2
    python benchmarks/recipes.py TEXT --preset small --set hidden=320 --set dropout=0.3

Each row is one whole training by `charrnn.train`: its best validation loss on the last
tenth of the text, the step and the epoch of it, and the minutes of training. With
--samples a text of each model follows, at temperature 0.8, for seeds 1, 2 and 3.
"""

import argparse
import ast
import itertools
import sys
import time
from pathlib import Path
from typing import Any

from machine import machine

import charrnn
from charrnn.config import CELLS
from charrnn.presets import DEFAULT_PRESET, PRESETS
from charrnn.training.events import Event, Validation

_HEAD = (
    "| text | preset | changed | seed | validation loss | epochs "
    "| best at step | minutes | chars/s |"
)


def setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, value if value in CELLS else ast.literal_eval(value)


def row(text: Path, preset: str, changes: dict[str, Any], seed: int) -> tuple[str, Any]:
    """Return a line of the table, and the trained model."""
    seen: list[Validation] = []

    def look(record: Event) -> None:
        if isinstance(record, Validation):
            seen.append(record)
            print(f"\r{record.step:,}: {record.val_loss:.4f} ", end="", file=sys.stderr)

    start = time.perf_counter()
    settings = {"preset": preset, "seed": seed, "progress": False} | changes
    model = charrnn.train(text, on_event=look, **settings)
    minutes = (time.perf_counter() - start) / 60
    print("\r" + " " * 30 + "\r", end="", file=sys.stderr)
    best = min(seen, key=lambda record: record.val_loss)
    plan = model.training["plan"]
    speed = plan["batch"] * plan["window"] * seen[-1].step / seen[-1].seconds
    changed = ", ".join(f"{name} {value}" for name, value in changes.items()) or "–"
    cells = [text.stem, preset, changed, str(seed), f"{best.val_loss:.4f}"]
    cells += [f"{seen[-1].epoch:.1f}", f"{best.step:,} of {seen[-1].step:,}"]
    cells += [f"{minutes:.1f}", f"{speed:,.0f}"]
    return "| " + " | ".join(cells) + " |", model


def samples(model: Any, length: int) -> str:
    texts = []
    for seed in (1, 2, 3):
        text = model.generate("", length=length, temperature=0.8, seed=seed)
        texts.append(f"Seed {seed}:\n\n```\n{text.strip()}\n```\n")
    return "\n".join(texts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path, nargs="+")
    parser.add_argument("--preset", choices=tuple(PRESETS), action="append")
    parser.add_argument("--set", type=setting, action="append", default=[])
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--samples", action="store_true")
    parser.add_argument("--length", type=int, default=400, help="of the samples")
    args = parser.parse_args()
    print(f"{machine()}\n\n{_HEAD}\n{'|---' * 9}|", flush=True)
    presets, seeds = args.preset or [DEFAULT_PRESET], args.seed or [1]
    for preset, text, seed in itertools.product(presets, args.text, seeds):
        line, model = row(text, preset, dict(args.set), seed)
        print(line, flush=True)
        if args.samples:
            print("\n" + samples(model, args.length), flush=True)


if __name__ == "__main__":
    main()
