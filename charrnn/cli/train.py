"""charrnn train: learn to write like a text."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.options import (
    Decorator,
    GroupedCommand,
    apply,
    default_text_of,
    field_option,
    grouped,
    note,
)
from charrnn.cli.text_arguments import unescape
from charrnn.cli.together import as_one, find_ranks
from charrnn.cli.train_setup import (
    TextReader,
    check_unchanged,
    print_summary,
    resume_old_run,
    start_new_run,
)
from charrnn.config import BYTES, ModelConfig, TextConfig, TrainConfig, known_settings
from charrnn.option import options_of, settings_of
from charrnn.presets import DEFAULT_PRESET, PRESETS, resolve_settings
from charrnn.shell import expand

if TYPE_CHECKING:
    from charrnn.run import Run

_text = grouped("Text")
_network = grouped("Network")
_output = grouped("Output")
_validation = grouped("Validation")


def _field_options(kind: type) -> Decorator:
    """Return a decorator that adds an option for each field of a configuration."""
    text = {each.name: each.default for each, _ in options_of(TextConfig)}
    defaults = text | resolve_settings(None, {})
    by_preset = {name for each in PRESETS.values() for name in each.settings}
    decorators = []
    for field, option in settings_of(kind):
        shown = default_text_of(option, defaults[field.name], field.default)
        if field.name in by_preset:
            shown += ", by preset"
        # Without a default, to tell which options were given.
        decorators.append(field_option(field, option, shown=shown))
    return apply(decorators)


def _presets() -> str:
    return "; ".join(f"{name}, {preset.about}" for name, preset in PRESETS.items())


@click.command(cls=GroupedCommand)
@click.argument("text", nargs=-1, type=click.Path())
@_field_options(TextConfig)
@_text("--bytes", "as_bytes", is_flag=True, help="Read bytes instead of characters.")
@_text(
    "--glob",
    multiple=True,
    metavar="PATTERN",
    default_text="all texts",
    help='Files to take from folders, such as "*.txt". Repeat it for several.',
)
@_text(
    "--data-dir",
    type=click.Path(file_okay=False),
    default="data",
    default_text="data",
    help="Where downloaded texts are stored.",
)
@_network(
    "--preset",
    type=click.Choice(tuple(PRESETS)),
    metavar="NAME",
    default_text=DEFAULT_PRESET,
    help=f"Settings that go together, by training time: {_presets()}. Options that you "
    f"give override it. Defaults marked 'by preset' are those of {DEFAULT_PRESET}.",
)
@_field_options(ModelConfig)
@_network(
    "--init-from",
    type=click.Path(),
    metavar="CHECKPOINT",
    help="Start from these weights. Characters that they do not know are added.",
)
@_field_options(TrainConfig)
@_validation(
    "--val",
    type=click.Path(),
    metavar="FILE",
    default_text="the end of the text",
    help="Text to validate on, a file or a folder.",
)
@_output(
    "--out",
    type=click.Path(file_okay=False),
    default_text="a new one in checkpoints/",
    help="Folder of the run.",
)
@_output("--resume", is_flag=True, help="Continue the run in --out, or the newest.")
@_output(
    "--force",
    is_flag=True,
    help="Replace the run that is already in --out, and the event files in "
    "--tensorboard.",
)
@_output(
    "--sample-every",
    type=click.IntRange(0),
    default=0,
    default_text="never",
    help="Steps between short samples.",
)
@_output(
    "--tensorboard",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write event files for TensorBoard, at each validation. With --resume, name "
    "the same folder again.",
)
@_output("--quiet", is_flag=True, help="Print only the scoreboard at the end.")
def command(
    text: tuple[str, ...],
    as_bytes: bool,
    glob: tuple[str, ...],
    val: str | None,
    preset: str | None,
    init_from: str | None,
    sample_every: int,
    tensorboard: Path | None,
    quiet: bool,
    out: str | None,
    resume: bool,
    force: bool,
    data_dir: str,
    **options: Any,
) -> None:
    """Learn to write like a text.

    TEXT is a file, a folder, several of them, or - for standard input. Without TEXT,
    tiny Shakespeare is downloaded and used. The folder of the run receives best.npz
    (the best model), last.npz (what --resume needs) and history.jsonl. Ctrl-C saves and
    stops; --resume continues as if the run had never stopped.
    """
    from charrnn.cli import leave
    from charrnn.cli.train_progress import train_with_progress

    begun = perf_counter()
    chosen = {name: value for name, value in options.items() if value is not None}
    if "documents" in chosen:
        chosen["documents"] = unescape(chosen["documents"], "--documents")
    if as_bytes and "encoding" in chosen:
        raise click.UsageError("--bytes and --encoding exclude each other; give one")
    if val and "val_fraction" in chosen:
        raise click.UsageError("--val and --val-fraction exclude each other; give one")
    if resume:
        check_unchanged(click.get_current_context())
    ranks = find_ranks()
    if not ranks.is_first:
        quiet, tensorboard, sample_every = True, None, 0
    report: Callable[[str], None] = (lambda message: None) if quiet else note

    def resumed_run() -> "Run":
        return resume_old_run(
            *(text, out, chosen), val=val, quiet=quiet, report=report, ranks=ranks
        )

    def new_run() -> "Run":
        settings = resolve_settings(preset, chosen)
        reading = known_settings(TextConfig, chosen)
        config = TextConfig(**reading | ({"encoding": BYTES} if as_bytes else {}))
        reader = TextReader(config, settings["seed"], quiet, report, ranks)
        paths = [*expand(text)]
        corpus = reader.read(paths, glob) if paths else reader.default(data_dir)
        return start_new_run(
            corpus,
            settings,
            chosen,
            val=reader.read([val]) if val else None,
            init_from=init_from,
            out=out,
            force=force,
            begun=begun,
            report=report,
            ranks=ranks,
        )

    with as_one(ranks):
        with ranks.together():
            if tensorboard:  # before the text is read, which may take long
                from charrnn.views.event_files import check_logs

                check_logs(tensorboard, resume=resume, force=force)
            run = resumed_run() if resume else new_run()
        print_summary(run, report)
        status = train_with_progress(
            run,
            sample_every=sample_every,
            tensorboard=tensorboard,
            force=force,
            quiet=quiet,
        )
    if status:
        leave(status)
