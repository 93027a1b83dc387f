"""How `charrnn train` comes to a run: its text, its folder, its settings."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click
from click.core import ParameterSource

from charrnn.config import TrainConfig
from charrnn.errors import TextError

if TYPE_CHECKING:
    from charrnn.run import Run
    from charrnn.text.corpus import Corpus

Say: TypeAlias = Callable[[str], None]


def read_text(
    text: tuple[str, ...], encoding: str, data_dir: str, quiet: bool, say: Say
) -> "Corpus":
    """Return the text that was named, or the default corpus, and say what was done."""
    from charrnn.text.corpus import read_corpus

    if text:
        corpus = read_corpus(list(text), encoding=encoding)
    else:
        from charrnn.text.download.registry import default_corpus

        path, name = default_corpus(Path(data_dir), quiet=quiet, note=say)
        corpus = read_corpus([path], name=name)
    for line in corpus.notes:
        say(line)
    return corpus


def started(
    corpus: "Corpus",
    settings: dict[str, Any],
    chosen: dict[str, Any],
    init_from: str | None,
    out: str | None,
    force: bool,
    say: Say,
) -> tuple["Run", str]:
    """Return a new run in a folder of its own, and how its recipe fits the text.

    chosen are the settings asked for.
    """
    from charrnn import run as runs
    from charrnn.nn.kernels import numba_trouble

    if out:
        runs.check_folder(Path(out), force=force)
    run, fitting = runs.begin(corpus, settings, chosen, init_from=init_from)
    # Planning has looked already; a resumed run, which keeps its steps, need not look.
    if run.config.kernels == "auto" and numba_trouble():
        say(f"Numba is installed but does not work ({numba_trouble()}): plain steps")
    growth = fitting.growth
    if growth:
        say(
            f"starting from {init_from}; its cell, hidden and layers are kept. Of its "
            f"characters {growth.kept} are in this text and {growth.unused} are not; "
            f"{growth.added} new ones were added"
        )
    # Last, so that a mistake in any option costs no run that --force would replace.
    run.folder = (
        runs.make_folder(Path(out), force=force)
        if out
        else runs.new_folder(corpus.name)
    )
    return run, fitting.recipe


def resumed(
    text: tuple[str, ...], out: str | None, chosen: dict[str, Any], say: Say
) -> "Run":
    """Return the run of a folder, where it stopped."""
    from charrnn import run as runs
    from charrnn.text.corpus import read_corpus

    folder = Path(out) if out else runs.newest_run()
    checkpoint = runs.load_last(folder)
    known = checkpoint.corpus
    files: list[Any] = [*text] or known.get("files") or []
    if not files or "-" in files:
        raise click.UsageError(
            f"{folder}: its text came from standard input; give it again as a file"
        )
    try:
        corpus = read_corpus(files, encoding=known["encoding"], name=known["name"])
    except TextError as error:
        hint = "" if text else "; if it has moved, name it: charrnn train TEXT --resume"
        raise TextError(f"{error}{hint}") from None
    lengthen = TrainConfig(**chosen) if chosen else None
    run = runs.resume(folder, checkpoint, corpus, lengthen)
    say(f"resuming {folder} at step {run.trainer.progress.step:,}")
    return run


def refuse_changes(ctx: click.Context) -> None:
    """Say that a resumed run keeps its settings, rather than ignore an option."""
    free = {"text", "resume", "out", "quiet", "sample_every", "steps", "epochs"}
    for param in ctx.command.params:
        source = ctx.get_parameter_source(param.name or "")
        if source == ParameterSource.COMMANDLINE and param.name not in free:
            raise click.UsageError(
                f"{param.opts[0]} cannot change in a resumed run; leave it out (only "
                "--steps or --epochs may give it more), or start a new run from these "
                "weights with --init-from"
            )


def introduce(run: "Run", say: Say, fitting: str) -> None:
    """Say what will be trained on what, and how the recipe was fitted to the text."""
    model, plan, corpus = run.checkpoint.model, run.plan, run.checkpoint.corpus
    config, asked = model.config, run.config
    say(
        f"{corpus['name']}: {corpus['characters']:,} characters, {config.vocab} "
        f"distinct; {len(run.train_ids):,} to train on, {len(run.val_ids):,} to "
        "validate"
    )
    if fitting:
        say(fitting)
    say(
        f"{config.cell}, {config.layers} x {config.hidden} units, "
        f"{model.params.flat.size:,} parameters; {run.trainer.epoch_steps:,} steps an "
        "epoch"
    )
    if (plan.batch, plan.window) != (asked.batch, asked.window):
        say(
            f"the text is short: batch {plan.batch} and window {plan.window} instead "
            f"of {asked.batch} and {asked.window}"
        )
    say(
        f"{plan.steps:,} steps of {plan.batch} x {plan.window} characters, seed "
        f"{asked.seed}, {_layout(plan.layout.workers, plan.layout.blas_threads)}"
        f"{', compiled kernels' if plan.kernels == 'numba' else ''}"
    )
    say(f"into {run.folder}")


def _layout(workers: int, blas: int) -> str:
    if workers > 1:
        return f"batch split over {workers} threads"
    return f"{blas} threads in each product" if blas > 1 else "1 thread"
