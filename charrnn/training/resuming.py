"""What a resumed run does otherwise than planned, and the notes that say so.

A run keeps its plan, so that it computes the same numbers. But another machine may not
allow that, and the user may choose more steps, other threads or other kernels.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

import charrnn
from charrnn.config import CHANGEABLE, LENGTHS, TrainConfig
from charrnn.errors import ConfigError
from charrnn.machine import available_cores
from charrnn.nn.kernels import numba_trouble, resolve
from charrnn.nn.predictor import Predictor
from charrnn.nn.workers import Layout
from charrnn.ranks import Ranks
from charrnn.text.streams import printable
from charrnn.text.windows import Windows
from charrnn.training.plan import Plan, check_ranks, measured_layout, requested_steps
from charrnn.training.state import Progress

_ROUNDING = "from here on, results differ by rounding"
_NAMES = {"numpy": "NumPy", "numba": "Numba"}


def check_changes(changes: Mapping[str, Any]) -> TrainConfig:
    """Return a configuration with the settings that a user changes in a resumed run.

    Raises ConfigError if one of them must not change, or makes no sense.
    """
    for name in changes:
        if name not in CHANGEABLE:
            raise ConfigError(
                f"{name} cannot change in a resumed run; expected only "
                f"{', '.join(CHANGEABLE)}"
            )
    return TrainConfig(**changes)


def resumed_plan(
    plan: Plan,
    config: TrainConfig,
    changes: Mapping[str, Any],
    progress: Progress,
    model: Predictor,
    windows: Windows,
    ranks: Ranks | None = None,
) -> tuple[Plan, list[str]]:
    """Return the plan to go on with, and notes on what is not as it was.

    `changes` are settings in CHANGEABLE that the user chooses now. With 0 threads, the
    fastest layout is measured on a copy of the model. Raises ConfigError for settings
    that make no sense, and MissingExtraError if Numba is asked for and missing.
    """
    ranks = ranks or Ranks()
    check_ranks(ranks.size, plan.batch * len(model.members))
    asked, notes = check_changes(changes), []
    if not changes.keys().isdisjoint(LENGTHS):
        steps = requested_steps(asked, len(windows))
        plan, note = _with_steps(plan, config, steps, progress)
        notes.append(note)
    if "kernels" in changes:
        kernels, note = _chosen_kernels(plan.kernels, asked.kernels)
    else:
        kernels, note = _kept_kernels(plan.kernels, config.kernels)
    notes.append(note)
    plan = replace(plan, kernels=kernels)
    if "threads" in changes or ranks.size != plan.ranks:
        threads = asked.threads if "threads" in changes else config.threads
        layout, note = _chosen_layout(plan, config, threads, model, windows, ranks)
    else:
        layout, note = _kept_layout(plan.layout)
    notes.append(note)
    plan = replace(plan, layout=layout, ranks=ranks.size)
    return ranks.first(lambda: plan), [note for note in notes if note]


def _with_steps(
    plan: Plan, config: TrainConfig, steps: int, progress: Progress
) -> tuple[Plan, str]:
    """Return the plan with another number of steps, and a note or "".

    If these are more than planned, those that are left have a schedule of their own: it
    ends at a lower loss than going on from a rate that has decayed (docs/training.md
    has the figures).
    """
    done = progress.step
    if steps <= done:
        raise ConfigError(
            f"the run is already at step {done:,}; expected more than the {steps:,} "
            "steps asked for"
        )
    now = replace(plan, steps=steps)
    if not done or steps == plan.steps or config.schedule == "constant":
        return now, ""
    if steps > plan.steps:
        now = replace(now, schedule_start=done)
        peak = progress.lr_scale * config.lr
        then = f"rises to {peak:.2g} once more, and falls until step {steps:,}"
    else:
        rate = progress.lr_scale * now.learning_rate(done, config)
        then = f"goes on at {rate:.2g}"
    before = progress.lr_scale * plan.learning_rate(done - 1, config)
    return now, (
        f"{steps:,} steps instead of {plan.steps:,}: the learning rate, {before:.2g} "
        f"at step {done:,}, {then}"
    )


def _chosen_kernels(before: str, asked: str) -> tuple[str, str]:
    """Return the kernels that the user chooses now, and a note or ""."""
    now = resolve(asked)
    if now == before:
        return now, ""
    return now, f"{_NAMES[now]} instead of {_NAMES[before]}: {_ROUNDING}"


def _kept_kernels(before: str, configured: str) -> tuple[str, str]:
    """Return the kernels of a run that can be used here, and a note or "".

    `configured` are those that the run was started with, "auto" for either.
    """
    if before == configured == "numpy" or before == (usable := resolve("auto")):
        return before, ""
    if usable == "numba":
        return before, (
            "Numba is installed now, but the run goes on with NumPy, so that it "
            "computes the same numbers; --kernels numba (kernels='numba') is faster"
        )
    trouble = numba_trouble()
    why = f"does not work here ({trouble})" if trouble else "is not installed here"
    return usable, (
        f"the run was computed with Numba, which {why}; it goes on with NumPy, which "
        f"is slower, and {_ROUNDING}"
    )


def _chosen_layout(
    plan: Plan,
    config: TrainConfig,
    threads: int,
    model: Predictor,
    windows: Windows,
    ranks: Ranks,
) -> tuple[Layout, str]:
    """Return the layout of so many threads, or the fastest, and a note or ""."""
    model, config = model.copy(plan.kernels), replace(config, minutes=0.0)
    found = ranks.gather(
        lambda: measured_layout(model, windows, config, threads, plan.sampled, ranks)
    )
    layout = found[0][0]
    if ranks.size != plan.ranks:
        return layout, (
            f"{ranks.size} rank{'s' if ranks.size > 1 else ''} instead of "
            f"{plan.ranks}: {_ROUNDING}"
        )
    return layout, "" if layout == plan.layout else f"other threads: {_ROUNDING}"


def _kept_layout(layout: Layout) -> tuple[Layout, str]:
    """Return the layout of a run on this machine, and a note or "".

    With fewer cores than workers, it computes the same numbers, hardly slower than one
    worker per core. But threads inside the products wait by spinning: eight of them on
    two cores took 35 times as long as one.
    """
    cores = available_cores()
    has = f"this machine has {cores} core{'s' if cores > 1 else ''}"
    if layout.blas_threads > cores:
        return replace(layout, blas_threads=cores), (
            f"the run used {layout.blas_threads} threads per matrix product, and "
            f"{has}; it goes on with {cores}, and {_ROUNDING}"
        )
    if layout.workers > cores:
        return layout, (
            f"the run uses {layout.workers} threads, and {has}; it keeps them, so that "
            "it computes the same numbers; --threads 0 (threads=0) chooses what is "
            "fastest here, and differs by rounding"
        )
    return layout, ""


def version_notes(versions: Mapping[str, str]) -> list[str]:
    """Return a note if other versions wrote the last checkpoint, or nothing.

    versions are those in the checkpoint. Only their first two numbers count.
    """
    running = {"NumPy": np.__version__, "charrnn": charrnn.__version__}
    written = {name: versions.get(name.lower(), "") for name in running}
    changed = [
        name
        for name, version in written.items()
        if version and _release(version) != _release(running[name])
    ]
    if not changed:
        return []
    before = " and ".join(f"{name} {printable(written[name][:20])}" for name in changed)
    now = " and ".join(f"{name} {running[name]}" for name in changed)
    return [
        f"the run was computed with {before} so far, and this is {now}; results may "
        "differ by rounding"
    ]


def _release(version: str) -> list[str]:
    return version.split(".")[:2]
