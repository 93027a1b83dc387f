"""charrnn train: learn to write like a text."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click
from click.core import ParameterSource

from charrnn.cli.options import GroupedCommand, grouped, note
from charrnn.config import (
    CELLS,
    CLIP_MODES,
    DEFAULT_PRESET,
    KERNELS,
    OPTIMIZERS,
    PRESETS,
    SCHEDULES,
    ModelConfig,
    TrainConfig,
    known_settings,
    with_preset,
)

if TYPE_CHECKING:
    from charrnn.corpus import Corpus
    from charrnn.runs import Run

Say: TypeAlias = Callable[[str], None]

_text = grouped("Text")
_network = grouped("Network")
_length = grouped("Length of the run (one of them)")
_learning = grouped("Learning")
_watching = grouped("Validating and watching")
_keeping = grouped("Keeping")

_DEFAULTS = with_preset(DEFAULT_PRESET, {})


def _default(name: str) -> str:
    value = _DEFAULTS[name]
    return (
        f"  [default: {value:g}]"
        if isinstance(value, float)
        else f"  [default: {value}]"
    )


def _presets() -> str:
    return "; ".join(f"{name}, {preset.about}" for name, preset in PRESETS.items())


@click.command(cls=GroupedCommand)
@click.argument("text", nargs=-1, type=click.Path())
@_text("--encoding", help="Codec of the text.  [default: utf-8]")
@_text("--bytes", "as_bytes", is_flag=True, help="Learn bytes, of any file at all.")
@_text(
    "--val-fraction",
    type=float,
    help="Share of the text, its end, to validate on." + _default("val_fraction"),
)
@_network(
    "--preset",
    type=click.Choice(tuple(PRESETS)),
    help=f"Recipe by the time it takes: {_presets()}. Other options override it."
    f"  [default: {DEFAULT_PRESET}]",
)
@_network("--cell", type=click.Choice(CELLS), help="Recurrent cell." + _default("cell"))
@_network(
    "--hidden",
    type=int,
    help="Units a layer; more learn more and cost their square." + _default("hidden"),
)
@_network("--layers", type=int, help="Cells stacked." + _default("layers"))
@_network(
    "--init-from",
    type=click.Path(),
    metavar="CHECKPOINT",
    help="Start from these weights; new characters are added to them.",
)
@_length("--steps", type=int, help="Updates of the weights.")
@_length("--epochs", type=float, help="Passes over the training text.")
@_length(
    "--minutes",
    type=float,
    help="Time; turned into steps by this machine's speed." + _default("minutes"),
)
@_learning(
    "--batch",
    type=int,
    help="Streams read side by side; more are faster a character and learn less "
    "from each." + _default("batch"),
)
@_learning(
    "--window",
    type=int,
    help="Characters that the gradient goes back over." + _default("window"),
)
@_learning(
    "--optimizer", type=click.Choice(OPTIMIZERS), help="" + _default("optimizer")
)
@_learning(
    "--lr",
    type=float,
    help="Learning rate at its highest; halve it where the loss jumps."
    + _default("lr"),
)
@_learning(
    "--schedule",
    type=click.Choice(SCHEDULES),
    help="How the rate moves over the run." + _default("schedule"),
)
@_learning("--warmup", type=int, help="Steps of rising rate." + _default("warmup"))
@_learning(
    "--lr-decay",
    type=float,
    help="Factor of each drop of the step schedule." + _default("lr_decay"),
)
@_learning(
    "--lr-drops",
    type=int,
    help="Drops of the step schedule, evenly spaced." + _default("lr_drops"),
)
@_learning("--momentum", type=float, help="Of sgd." + _default("momentum"))
@_learning(
    "--dropout",
    type=float,
    help="Share of each layer's outputs to leave out; against memorising, in long runs "
    "on short texts." + _default("dropout"),
)
@_learning(
    "--average",
    type=float,
    help="Decay of a running average of the weights, which then validates and is kept, "
    "such as 0.999." + _default("average"),
)
@_learning("--weight-decay", type=float, help="Of adamw." + _default("weight_decay"))
@_learning(
    "--clip", type=float, help="Limit of the gradient; 0 is none." + _default("clip")
)
@_learning(
    "--clip-mode",
    type=click.Choice(CLIP_MODES),
    help="Limit the norm of all, or each value." + _default("clip_mode"),
)
@_learning("--seed", type=int, help="Of the starting weights." + _default("seed"))
@_learning(
    "--threads",
    type=int,
    help="Parts of the batch, a thread each; fix it to get the same numbers again."
    "  [default: the fastest here]",
)
@_learning(
    "--kernels",
    type=click.Choice(KERNELS),
    help="Elementwise steps: plain, or compiled by Numba (pip install "
    "'charrnn[fast]').  [default: compiled where it can be]",
)
@_watching(
    "--eval-every", type=int, help="Steps between validations.  [default: 25 in a run]"
)
@_watching(
    "--patience",
    type=int,
    help="Stop after so many validations without a new best.  [default: never]",
)
@_watching(
    "--sample-every",
    type=click.IntRange(0),
    default=0,
    help="Steps between short samples.",
)
@_watching("--quiet", is_flag=True, help="Only the scoreboard at the end.")
@_keeping(
    "--out",
    type=click.Path(file_okay=False),
    help="The run's folder.  [default: a new one in checkpoints/]",
)
@_keeping("--resume", is_flag=True, help="Go on with the run in --out, or the newest.")
@_keeping("--force", is_flag=True, help="Replace a run that --out already holds.")
@_keeping(
    "--data-dir",
    type=click.Path(file_okay=False),
    default="data",
    help="Where corpora are fetched to.  [default: data]",
)
def command(
    text: tuple[str, ...],
    encoding: str | None,
    as_bytes: bool,
    preset: str | None,
    init_from: str | None,
    sample_every: int,
    quiet: bool,
    out: str | None,
    resume: bool,
    force: bool,
    data_dir: str,
    **settings: Any,
) -> None:
    """Learn to write like a text.

    TEXT is a file, a folder, several of them, or - for standard input; without it, tiny
    Shakespeare, which is fetched first. The run's folder receives best.npz, last.npz
    and history.jsonl. Ctrl-C saves and ends; --resume goes on as if nothing had been.
    """
    from charrnn.cli.watch import watch

    say = (lambda message: None) if quiet else note
    chosen = {name: value for name, value in settings.items() if value is not None}
    if as_bytes and encoding:
        raise click.UsageError("--bytes and --encoding exclude each other; give one")
    encoding = "bytes" if as_bytes else encoding or "utf-8"
    if resume:
        _refuse_changes(click.get_current_context())
        run = _resumed(text, out, chosen, say)
    else:
        settings = with_preset(preset, chosen)
        corpus = _corpus(text, encoding, data_dir, quiet, say)
        run = _started(corpus, settings, init_from, out, force, say)
    _introduce(run, say)
    raise SystemExit(watch(run, sample_every=sample_every, quiet=quiet))


def _corpus(
    text: tuple[str, ...], encoding: str, data_dir: str, quiet: bool, say: Say
) -> "Corpus":
    from charrnn.corpus import read_corpus

    if text:
        corpus = read_corpus(list(text), encoding=encoding)
    else:
        from charrnn.download import default_corpus

        path, name = default_corpus(Path(data_dir), quiet=quiet, note=say)
        corpus = read_corpus([path], name=name)
    for line in corpus.notes:
        say(line)
    return corpus


def _started(
    corpus: "Corpus",
    settings: dict[str, Any],
    init_from: str | None,
    out: str | None,
    force: bool,
    say: Say,
) -> "Run":
    from charrnn import runs
    from charrnn.checkpoint import load

    config = TrainConfig(**known_settings(TrainConfig, settings))
    shape = known_settings(ModelConfig, settings)
    source = load(runs.find_checkpoint(init_from)) if init_from else None
    if source:
        say(f"starting from {init_from}; its cell, hidden and layers are kept")
    folder = Path(out) if out else runs.new_folder(corpus.name)
    runs.check_folder(folder, force=force)
    run, growth = runs.start(corpus, config, shape, folder=folder, init_from=source)
    if growth:
        say(
            f"of its characters {growth.kept} are in this text and {growth.unused} are "
            f"not; {growth.added} new ones were added"
        )
    # Last, so that a mistake in any option costs no run that --force would replace.
    runs.make_folder(folder, force=force)
    return run


def _resumed(
    text: tuple[str, ...], out: str | None, chosen: dict[str, Any], say: Say
) -> "Run":
    from charrnn import runs
    from charrnn.corpus import read_corpus

    folder = Path(out) if out else runs.newest_run()
    checkpoint = runs.load_last(folder)
    known = checkpoint.corpus
    files: list[Any] = [*text] or known.get("files") or []
    if not files or "-" in files:
        raise click.UsageError(
            f"{folder}: its text came from standard input; give it again as a file"
        )
    corpus = read_corpus(files, encoding=known["encoding"], name=known["name"])
    lengthen = TrainConfig(**chosen) if chosen else None
    run = runs.resume(folder, checkpoint, corpus, lengthen)
    say(f"resuming {folder} at step {run.trainer.progress.step:,}")
    return run


def _refuse_changes(ctx: click.Context) -> None:
    """Say that a resumed run keeps its settings, rather than ignore an option."""
    free = {"text", "resume", "out", "quiet", "sample_every", "steps", "epochs"}
    for param in ctx.command.params:
        source = ctx.get_parameter_source(param.name or "")
        if source == ParameterSource.COMMANDLINE and param.name not in free:
            raise click.UsageError(
                f"{param.opts[0]} cannot change in a resumed run; leave it out, or "
                "start a new run from these weights with --init-from"
            )


def _introduce(run: "Run", say: Say) -> None:
    model, plan, corpus = run.checkpoint.model, run.plan, run.checkpoint.corpus
    config, asked = model.config, run.config
    say(
        f"{corpus['name']}: {corpus['characters']:,} characters, {config.vocab} "
        f"distinct; {len(run.train_ids):,} to train on, {len(run.val_ids):,} to "
        "validate"
    )
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
