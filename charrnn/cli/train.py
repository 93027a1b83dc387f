"""charrnn train: learn to write like a text."""

from typing import Any

import click

from charrnn.cli.options import GroupedCommand, grouped, note
from charrnn.cli.train_setup import (
    introduce,
    read_text,
    refuse_changes,
    resumed,
    started,
)
from charrnn.config import (
    CELLS,
    CLIP_MODES,
    KERNELS,
    OPTIMIZERS,
    SCHEDULES,
)
from charrnn.presets import DEFAULT_PRESET, PRESETS, with_preset

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
@_network(
    "--cell",
    type=click.Choice(CELLS),
    help="Recurrent cell; rnn is the fastest a step, gru and lstm learn more from "
    "each." + _default("cell"),
)
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
@_length(
    "--epochs",
    type=float,
    help="Passes over the training text; memorising starts after some twenty.",
)
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
    "--optimizer",
    type=click.Choice(OPTIMIZERS),
    help="adam rarely fails; sgd wants a rate ten to a hundred times as high."
    + _default("optimizer"),
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
    help="How the rate moves over the run; a falling one ends lower."
    + _default("schedule"),
)
@_learning(
    "--warmup",
    type=int,
    help="Steps over which the rate rises, at most a tenth of the run."
    + _default("warmup"),
)
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
    "--recurrent-dropout",
    type=float,
    help="Share of the recurrent weights to leave out, for a window at a time; against "
    "memorising, too." + _default("recurrent_dropout"),
)
@_learning(
    "--average",
    type=float,
    help="Decay of a running average of the weights, which then validates and is kept, "
    "such as 0.999." + _default("average"),
)
@_learning("--weight-decay", type=float, help="Of adamw." + _default("weight_decay"))
@_learning(
    "--clip",
    type=float,
    help="Limit of the gradient, against steep windows; 0 is none." + _default("clip"),
)
@_learning(
    "--clip-mode",
    type=click.Choice(CLIP_MODES),
    help="Limit the norm of all, which keeps the direction, or each value."
    + _default("clip_mode"),
)
@_learning(
    "--seed",
    type=int,
    help="Of the starting weights and of what dropout leaves out." + _default("seed"),
)
@_learning(
    "--threads",
    type=int,
    help="Parts of the batch, a thread each; fix it, and --steps or --epochs, to get "
    "the same numbers again.  [default: the fastest here]",
)
@_learning(
    "--kernels",
    type=click.Choice(KERNELS),
    help="Elementwise steps: plain, or compiled by Numba (pip install "
    "'charrnn[fast]').  [default: compiled where it can be]",
)
@_watching(
    "--eval-every",
    type=int,
    help="Steps between validations.  [default: a 25th of the run, or more where "
    "they would take over 3 % of the time]",
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
    help="Steps between short samples.  [default: none]",
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
    from charrnn.cli.train_progress import watch

    say = (lambda message: None) if quiet else note
    chosen = {name: value for name, value in settings.items() if value is not None}
    if as_bytes and encoding:
        raise click.UsageError("--bytes and --encoding exclude each other; give one")
    encoding = "bytes" if as_bytes else encoding or "utf-8"
    fitting = ""
    if resume:
        refuse_changes(click.get_current_context())
        run = resumed(text, out, chosen, say)
    else:
        settings = with_preset(preset, chosen)
        corpus = read_text(text, encoding, data_dir, quiet, say)
        run, fitting = started(corpus, settings, chosen, init_from, out, force, say)
    introduce(run, say, fitting)
    raise SystemExit(watch(run, sample_every=sample_every, quiet=quiet))
