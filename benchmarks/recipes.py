"""Train recipes on texts and seeds, and print a table of the results.

    python benchmarks/recipes.py TEXT… --preset quick --preset small --seed 1 --seed 2
    python benchmarks/recipes.py TEXT --preset small --set hidden=320 --set dropout=0.3

Each row is a complete run of `charrnn.train`: its best validation loss on the last
tenth of the text, the same calibrated, the step of that loss, and the epochs and
minutes of the run. To calibrate, the model's temperature is fitted on one half of the
held-out text for the other half, and the other way round. With --samples, three texts
by each model follow, at temperature 0.8, with seeds 1, 2 and 3.
"""

import argparse
import ast
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import machine

import charrnn
from charrnn.evaluation.calibration import own_temperature, set_temperature
from charrnn.evaluation.loss import evaluate
from charrnn.generation.language_model import LanguageModel
from charrnn.nn.parameters import Array
from charrnn.presets import DEFAULT_PRESET, PRESETS
from charrnn.training.events import Event, Validation

_HEAD = (
    "| text | preset | changed | seed | validation loss | calibrated | epochs "
    "| best at step | minutes | chars/s |"
)


def setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, value if value.isalpha() else ast.literal_eval(value)


def cross_fitted(model: LanguageModel, held_out: Array) -> float:
    """Return the loss of ids, each half at the temperature fitted on the other."""
    network, middle = model.model.copy(), len(held_out) // 2
    first, second = held_out[:middle], held_out[middle:]
    nats = []
    for fitted, scored in ((first, second), (second, first)):
        set_temperature(network, 1.0)
        set_temperature(network, own_temperature(network, fitted))
        nats.append(evaluate(network, scored, threads=0).nats)
    return sum(nats) / 2


def trained(
    on_validation: Callable[[Validation], object] = lambda event: None, **settings: Any
) -> tuple[LanguageModel, list[Validation]]:
    """Train with these settings, and return the model and the validations."""
    seen: list[Validation] = []

    def collect(event: Event) -> None:
        if isinstance(event, Validation):
            seen.append(event)
            on_validation(event)

    model = charrnn.train(progress=False, on_event=collect, **settings)
    return model, seen


def row(text: Path, preset: str, changes: dict[str, Any], seed: int) -> tuple[str, Any]:
    """Return a line of the table, and the trained model."""

    def show(event: Validation) -> None:
        print(f"\r{event.step:,}: {event.val_loss:.4f} ", end="", file=sys.stderr)

    start = time.perf_counter()
    settings = {"preset": preset, "seed": seed} | changes
    model, seen = trained(show, paths=text, **settings)
    minutes = (time.perf_counter() - start) / 60
    print("\r" + " " * 30 + "\r", end="", file=sys.stderr)
    best = min(seen, key=lambda event: event.val_loss)
    plan = model.training["plan"]
    speed = plan["batch"] * plan["window"] * seen[-1].step / seen[-1].seconds
    changed = ", ".join(f"{name} {value}" for name, value in changes.items()) or "–"
    cells = [text.stem, preset, changed, str(seed), f"{best.val_loss:.4f}"]
    _, held_out = model.parts_of(model.read_corpus())
    cells += [f"{cross_fitted(model, held_out):.4f}"]
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
    parser.add_argument("--length", type=int, default=400, help="characters per sample")
    args = parser.parse_args()
    print(f"{machine()}\n\n{_HEAD}\n{'|---' * 10}|", flush=True)
    presets, seeds = args.preset or [DEFAULT_PRESET], args.seed or [1]
    for preset, text, seed in itertools.product(presets, args.text, seeds):
        line, model = row(text, preset, dict(args.set), seed)
        print(line, flush=True)
        if args.samples:
            print("\n" + samples(model, args.length), flush=True)


if __name__ == "__main__":
    main()
