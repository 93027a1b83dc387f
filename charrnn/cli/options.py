"""Shared by several commands: grouped options, and opening a model and its text."""

import json
import os
import re
import sys
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import Field
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from charrnn.config import ON_UNKNOWN, SampleConfig, new_seed
from charrnn.option import Option, options_of
from charrnn.shell import quote
from charrnn.text.characters import CONTROLS, escaped

if TYPE_CHECKING:
    from tqdm import tqdm

    from charrnn.generation.language_model import LanguageModel
    from charrnn.text.corpus import Corpus
    from charrnn.text.reading import Progress

Decorator = Callable[[Any], Any]


def note(message: str) -> None:
    """Print a message, which is not part of the result, on standard error."""
    click.echo(escaped(message), err=True)


def print_path(path: str | Path) -> None:
    """Print a path as a result: as it is for a program, escaped on a terminal."""
    name = str(path)
    click.echo(escaped(name) if sys.stdout.isatty() else name)


@contextmanager
def _late_bar(desc: str, quiet: bool, **options: Any) -> "Iterator[tqdm[Any]]":
    """Yield a bar that is drawn on a terminal, and only after a second."""
    from tqdm import tqdm

    with tqdm(
        desc=desc,
        delay=1,
        leave=False,
        dynamic_ncols=True,
        disable=True if quiet else None,  # None: if no terminal
        **options,
    ) as bar:
        yield bar


def _move(bar: "tqdm[Any]", done: int, total: int | None) -> None:
    """Show how much is done, and of how much."""
    bar.total = total
    bar.update(done - bar.n)


@contextmanager
def scoring_bar(
    *, quiet: bool = False, desc: str = "scoring"
) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows how many characters are scored, and of how many.

    The bar is drawn on a terminal only, and only if scoring takes more than a second.
    """
    form = "{desc} {percentage:3.0f}% {bar} {elapsed}<{remaining}"
    with _late_bar(desc, quiet, bar_format=form) as bar:
        yield partial(_move, bar)


_HELP = "Help"
_DEFAULT = re.compile(r"\s+\[default: (.*)\]$")  # at the end of a help text
_SHORT_DEFAULT = 30
_RANGE = re.compile(r"\s+\[x>=\d+\]$|; x>=\d+(?=\]$)")  # click's text for a limit


class GroupedOption(click.Option):
    """An option with a heading in `--help`, and any text as its default there."""

    def __init__(
        self,
        *args: Any,
        group: str = "Options",
        default_text: str = "",
        **kwargs: Any,
    ) -> None:
        self.group = group
        if default_text:
            kwargs["help"] += f"  [default: {default_text}]"
        super().__init__(*args, **kwargs)
        self.metavar = self.metavar or _metavar(self.type)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return record and (record[0], _RANGE.sub("", record[1]))


def _metavar(kind: Any) -> str | None:
    """Return a short name for a type of values, or None for click's own."""
    if isinstance(kind, click.Path):
        names = {(True, False): "FILE", (False, True): "FOLDER"}
        return names.get((kind.file_okay, kind.dir_okay), "PATH")
    return {"integer": "N", "float": "X"}.get(kind.name.removesuffix(" range"))


class GroupedCommand(click.Command):
    """A command whose `--help` groups its options under headings."""

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record and not isinstance(
                param, click.Argument
            ):  # described in the text
                groups.setdefault(getattr(param, "group", _HELP), []).append(record)
        groups[_HELP] = groups.pop(_HELP)  # to the end
        width = max(len(flags) for rows in groups.values() for flags, _ in rows)
        for name, rows in groups.items():
            with formatter.section(name):
                # click aligns the rows of one section; padding aligns all of them.
                formatter.write_dl(
                    [(flags.ljust(width), _unbroken(text)) for flags, text in rows]
                )
        formatter.buffer = [part.replace("\xa0", " ") for part in formatter.buffer]


def _unbroken(text: str) -> str:
    """Return a help text whose default, if short, is not broken over two lines."""
    found = _DEFAULT.search(text)
    if not found or len(found[0]) > _SHORT_DEFAULT:
        return text
    return f"{text[: found.start()]}  {found[0].strip().replace(' ', chr(0xA0))}"


def grouped(group: str) -> Callable[..., Decorator]:
    """Return a `click.option` for options under one heading."""

    def option(*args: Any, **kwargs: Any) -> Decorator:
        return click.option(*args, cls=GroupedOption, group=group, **kwargs)

    return option


def apply(decorators: list[Decorator]) -> Decorator:
    """Return a decorator that applies all of these; the first is shown first."""

    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


class _Choice(click.Choice):  # type: ignore[type-arg]  # click 8.1 takes none
    """A choice from a collection that may grow later, such as the table of cells."""

    def __init__(self, choices: Collection[str]) -> None:
        super().__init__(tuple(choices))
        self._collection = choices

    def convert(self, value: Any, *context: Any) -> Any:
        self.choices = tuple(self._collection)
        return super().convert(value, *context)


def field_option(
    field: Field[Any], option: Option, *flags: str, shown: str, **kwargs: Any
) -> Decorator:
    """Return the option for a field of a configuration; `shown` is its default."""
    kind: Any = field.type
    return click.option(
        f"--{field.name.replace('_', '-')}",
        *flags,
        cls=GroupedOption,
        group=option.group,
        type=_Choice(option.choices) if option.choices else kind,
        metavar=option.metavar or ("NAME" if option.choices else None),
        help=option.help,
        default_text=shown,
        **kwargs,
    )


def default_text_of(option: Option, value: Any, field_default: Any) -> str:
    """Return the text for a default value: the option's own, if it has one."""
    if option.default_text is not None and value == field_default:
        return option.default_text
    return f"{value:g}" if isinstance(value, float) else str(value)


def option_rows(command: click.Command) -> Iterator[tuple[str, str, str]]:
    """Yield flags, default and help of each option of a command, as in `--help`."""
    ctx = click.Context(command)
    for param in command.params:
        record = param.get_help_record(ctx)
        if record and isinstance(param, click.Option):
            default = _DEFAULT.search(record[1])
            help = _DEFAULT.sub("", record[1])
            yield record[0], default[1] if default else "", help


def checkpoint_argument(command: Any) -> Any:
    """Add the argument CHECKPOINT: a file, or a run's folder."""
    return click.argument("checkpoint", required=False, type=click.Path())(command)


def network_option(option: Callable[..., Decorator], default: str) -> Decorator:
    """Return --network, made by `option`; `default` describes it if it is not given."""
    return option(
        "--network",
        type=click.IntRange(1),
        metavar="N",
        default_text=default,
        help="Which network of an ensemble, counted from 1.",
    )


def on_unknown_option(option: Callable[..., Decorator], text: str) -> Decorator:
    """Return --on-unknown, made by `option`; `text` names what has the characters."""
    return option(
        "--on-unknown",
        type=click.Choice(ON_UNKNOWN),
        metavar="NAME",
        default="error",
        default_text="error",
        help=f"What to do with characters of {text} that are not in the model's "
        "vocabulary: error, skip or map. map takes the nearest one (é becomes e, "
        '“ becomes ").',
    )


_sampling = grouped("Sampling")


def drawing_options(length: int, *names: str) -> Decorator:
    """Return a decorator that adds the options of `sample` and `compare`.

    They are the prime, the length, the seed, and the named fields of SampleConfig.
    """
    options = [
        _sampling(
            "--prime",
            default="",
            metavar="TEXT",
            default_text="a likely start",
            help="Text that the model reads first and then continues, with escapes "
            r"such as \n and \u00e9; a backslash is \\.",
        ),
        _sampling(
            "--prime-file",
            type=click.Path(exists=True, dir_okay=False, allow_dash=True),
            metavar="FILE",
            help="Read the prime from a file, or - for standard input.",
        ),
        on_unknown_option(_sampling, "the prime"),
    ]
    for field, option in options_of(SampleConfig):
        if field.name in ("length", "seed", *names):
            default = length if field.name == "length" else field.default
            options.append(
                field_option(
                    field,
                    option,
                    *(["-t"] if field.name == "temperature" else []),
                    shown=default_text_of(option, default, field.default),
                    default=None if field.name == "seed" else default,
                )
            )
    return apply(options)


def resolve_seed(seed: int | None) -> int:
    """Return the given seed or a new one, and print it."""
    seed = new_seed() if seed is None else seed
    note(f"seed {seed}")
    return seed


def to_json(value: object, encoding: str) -> str:
    """Return a line of JSON.

    It has escapes for characters that the encoding lacks, and for control characters.
    """
    line = json.dumps(value, ensure_ascii=False)
    line = CONTROLS.sub(lambda found: rf"\u{ord(found[0]):04x}", line)
    whole = line.encode(encoding, "replace").decode(encoding) == line
    return line if whole else json.dumps(value)


def exists(name: str | Path) -> bool:
    """Return whether there is a file or folder of this name."""
    # Unlike Path.exists, this is False for a text too long to be a name.
    return os.path.exists(name)  # noqa: PTH110


def is_missing(checkpoint: str) -> bool:
    """Return whether there is no file, folder or run of this name."""
    from charrnn.storage.run_folder import CHECKPOINTS, PRETRAINED

    found = exists(checkpoint) or exists(CHECKPOINTS / checkpoint)
    return not found and checkpoint != PRETRAINED.stem


def check_is_no_prime(checkpoint: str | None, command: str) -> None:
    """Raise UsageError if CHECKPOINT seems to be the text to start with."""
    if checkpoint and not checkpoint.endswith(".npz") and is_missing(checkpoint):
        from charrnn.storage.run_folder import similar_run

        near = similar_run(checkpoint)
        raise click.UsageError(
            f"{checkpoint}: no such file or run; "
            + (f"did you mean {near}? To" if near else "to")
            + f" start a text with it, use `charrnn {command} --prime "
            f"{quote(checkpoint)}`"
        )


def open_model(checkpoint: str | None) -> "LanguageModel":
    """Return the model of a checkpoint; if none is named, print which one it is.

    By default it is the newest run's, or the one that comes with the package.
    """
    # Not charrnn.load, which takes longer to import.
    from charrnn.generation.language_model import LanguageModel
    from charrnn.storage.checkpoint import load
    from charrnn.storage.run_folder import PRETRAINED, find_checkpoint

    path = find_checkpoint(checkpoint)
    model = LanguageModel.from_checkpoint(load(path), path)
    if model.path == PRETRAINED:
        here = "" if checkpoint else "no run in checkpoints/; "
        note(f"{here}using the Shakespeare model that comes with charrnn")
    elif not checkpoint:
        note(f"checkpoint {model.path}")
    return model


def sort_arguments(
    checkpoint: str | None, text: tuple[str, ...], command: str
) -> tuple[str | None, tuple[str, ...]]:
    """Return CHECKPOINT and TEXT, if the first argument is a text and not a checkpoint.

    Raises UsageError if a checkpoint comes after a text; command is named there.
    """
    if not checkpoint or not _is_text(checkpoint):
        return checkpoint, text
    for other in text:
        if not _is_text(other) and Path(other).exists():
            raise click.UsageError(
                f"{other} is a checkpoint and {checkpoint} a text; expected the "
                f"checkpoint first: charrnn {command} {quote(other)} "
                f"{quote(checkpoint)}"
            )
    return None, (checkpoint, *text)


def _is_text(name: str) -> bool:
    """Return whether an argument is a text and not a checkpoint."""
    from charrnn.storage.run_folder import holds_run

    path = Path(name)
    if name == "-":
        return True
    if path.is_dir():
        return not holds_run(path)
    return path.is_file() and path.suffix != ".npz" and not zipfile.is_zipfile(path)


def find_corpus(model: "LanguageModel", text: str | None = None) -> "Corpus | None":
    """Return the text that a model was trained on, or print why it is missing.

    `text` is its path, if it has moved. Raises TextError if that is another text.
    """
    from charrnn.errors import TextError
    from charrnn.storage.run_folder import PRETRAINED

    if text:
        with reading_bar() as progress:
            return model.read_corpus(text, progress=progress)
    try:
        with reading_bar() as progress:
            return model.read_corpus(progress=progress)
    except TextError as error:
        fetch = " (`charrnn download` gets it)" if model.path == PRETRAINED else ""
        note(f"The text that this model was trained on is missing{fetch}: {error}")
        return None


@contextmanager
def reading_bar(quiet: bool = False, *, announce: bool = True) -> "Iterator[Progress]":
    """Yield a function that shows how much of a text has been read.

    If that takes longer than a second, a bar appears on a terminal, and elsewhere, with
    `announce`, a line.
    """
    announced_at = monotonic() + 1

    with _late_bar("reading", quiet, unit="B", unit_scale=True) as bar:

        def show(done: int, total: int | None) -> None:
            nonlocal announced_at
            if bar.disable and announce and not quiet and monotonic() > announced_at:
                note("reading the text...")
                announced_at = inf
            _move(bar, done, total)

        yield show
