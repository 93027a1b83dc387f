"""Final validation losses of a run that is made longer, by how its rate goes on.

    python benchmarks/lengthen.py TEXT
    python benchmarks/lengthen.py TEXT --preset quick --hidden 192 --steps 1500

A run of --steps is finished and then lengthened, by a quarter and to twice its length
(--more). Everything is on one thread.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from math import cos, pi

from machine import machine

from charrnn.config import TextConfig, TrainConfig
from charrnn.presets import resolve_settings
from charrnn.run import Run, start_run
from charrnn.text.corpus import Corpus
from charrnn.text.reading import read_corpus
from charrnn.training.events import Validation
from charrnn.training.schedules import learning_rate
from charrnn.training.trainer import Trainer

WARMUP = 50  # steps, in all variants that have one
Rate = Callable[[int], float]  # of update number `step` (from 0)


class Scheduled(Trainer):
    """A trainer with a learning rate of one's own."""

    rate: Rate

    def _lr(self, step: int) -> float:
        return self.rate(step)


def variants(config: TrainConfig, done: int, steps: int) -> dict[str, Rate]:
    """Return how the rate of a run of `done` steps may go on until `steps`."""
    last, peak = learning_rate(done - 1, done, config), config.lr

    def longer_schedule(step: int) -> float:
        return learning_rate(step, steps, config)

    def warmed_up(step: int) -> float:
        share = min(1, (step - done + 1) / WARMUP)
        return last + share * (longer_schedule(step) - last)

    def half(step: int) -> float:
        i, left, top = step - done, steps - done, peak / 2
        if i < WARMUP:
            return last + (top - last) * (i + 1) / WARMUP
        floor, progress = config.lr_floor * peak, (i - WARMUP) / (left - WARMUP)
        return floor + (top - floor) * (1 + cos(pi * progress)) / 2

    return {
        "stays at its floor": lambda step: last,
        "is that of the longer schedule": longer_schedule,
        "the same, after a warm-up": warmed_up,
        "begins anew at half its peak": half,
        "begins anew at its peak": lambda step: learning_rate(
            step - done, steps - done, config
        ),
    }


def final_loss(trainer: Trainer) -> float:
    """Train to the end, and return the last validation loss."""
    losses = [e.val_loss for e in trainer.run() if isinstance(e, Validation)]
    assert losses[-1] is not None
    return losses[-1]


def started(corpus: Corpus, preset: str, **chosen: int) -> Run:
    """Return a new run that is not saved."""
    chosen["threads"] = 1
    return start_run(corpus, resolve_settings(preset, chosen), chosen)


def lengthened(run: Run, steps: int, rate: Rate) -> float:
    """Return the final loss of a finished run with more steps at some rate."""
    plan = replace(run.plan, steps=steps)
    trainer = Scheduled(
        run.model.copy(), run.trainer._windows, run.val_ids, run.config, plan
    )
    trainer.restore(run.trainer.snapshot())
    trainer.rate = rate
    return final_loss(trainer)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--more", type=float, nargs="+", default=[0.25, 1])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    lengths = {more: args.steps + round(more * args.steps) for more in args.more}
    losses: dict[tuple[int, str], list[float]] = {}
    for seed in range(1, args.seeds + 1):
        corpus = read_corpus([args.text], TextConfig(), seed=seed)
        chosen = {"hidden": args.hidden, "seed": seed, "eval_every": args.steps // 8}
        run = started(corpus, args.preset, steps=args.steps, **chosen)
        found = losses.setdefault((args.steps, "not lengthened"), [])
        found.append(final_loss(run.trainer))
        for steps in lengths.values():
            for name, rate in variants(run.config, args.steps, steps).items():
                found = losses.setdefault((steps, name), [])
                found.append(lengthened(run, steps, rate))
            planned = started(corpus, args.preset, steps=steps, **chosen)
            found = losses.setdefault((steps, "planned from the start"), [])
            found.append(final_loss(planned.trainer))
    print("| steps | the rate | nats per character |\n|--:|---|--:|")
    for (steps, name), found in losses.items():
        print(f"| {steps:,} | {name} | {sum(found) / len(found):.3f} |")
    print(f"\n{args.seeds} seeds, one thread, {machine()}")


if __name__ == "__main__":
    main()
