"""What several commands share: grouped options, and the text behind a checkpoint."""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import Field
from typing import TYPE_CHECKING, Any

import click

from charrnn.config import ON_UNKNOWN, SampleConfig
from charrnn.option import Option, options_of

if TYPE_CHECKING:
    from charrnn.generation.language_model import LanguageModel
    from charrnn.text.corpus import Corpus

Decorator = Callable[[Any], Any]


def note(message: str) -> None:
    """Print a message that is not the result: one line on standard error."""
    click.echo(message, err=True)


_HELP = "Help"
_DEFAULT = re.compile(r"\s+\[default: (.*)\]$")  # at the end of a help text
_SHORT_DEFAULT = 30
_RANGE = re.compile(r"\s+\[x>=\d+\]$|; x>=\d+(?=\]$)")  # click's note on limits


class GroupedOption(click.Option):
    """An option that `--help` shows under a heading, with any text as its default."""

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
    """A command whose `--help` shows its options under headings, in one column."""

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record and not isinstance(param, click.Argument):  # the text tells them
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
    """Return a help text whose default, if it is short, stays on one line."""
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
    """Return a decorator that applies these, so that the first is shown first."""

    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


class _Choice(click.Choice):  # type: ignore[type-arg]  # click 8.1 takes none
    """A choice from a collection that may still grow, such as the table of cells."""

    def __init__(self, choices: Collection[str]) -> None:
        super().__init__(tuple(choices))
        self._collection = choices

    def convert(self, value: Any, *context: Any) -> Any:
        self.choices = tuple(self._collection)
        return super().convert(value, *context)


def field_option(
    field: Field[Any], option: Option, *flags: str, shown: str, **kwargs: Any
) -> Decorator:
    """Return the option of a configuration's field; `shown` is its default in words."""
    kind: Any = field.type
    return click.option(
        f"--{field.name.replace('_', '-')}",
        *flags,
        cls=GroupedOption,
        group=option.group,
        type=_Choice(option.choices) if option.choices else kind,
        metavar="NAME" if option.choices else None,
        help=option.help,
        default_text=shown,
        **kwargs,
    )


def default_in_words(option: Option, value: Any, field_default: Any) -> str:
    """Return how to show a default value: in the field's own words if it has some."""
    if option.default_text is not None and value == field_default:
        return option.default_text
    return f"{value:g}" if isinstance(value, float) else str(value)


def option_rows(command: click.Command) -> Iterator[tuple[str, str, str]]:
    """Yield flags, default and help of each option of a command, as `--help` has it."""
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


_sampling = grouped("Sampling")


def drawing_options(length: int, *names: str) -> Decorator:
    """Return a decorator that adds the options of `sample` and `compare`.

    Those are the prime, the length, the seed, and the fields of SampleConfig that are
    named.
    """
    options = [
        _sampling(
            "--prime",
            default="",
            metavar="TEXT",
            default_text="the start of a line",
            help="Text that the model reads first and then continues.",
        ),
        _sampling(
            "--prime-file",
            type=click.Path(exists=True, dir_okay=False, allow_dash=True),
            metavar="FILE",
            help="Read the prime from a file, or - for standard input.",
        ),
        _sampling(
            "--on-unknown",
            type=click.Choice(ON_UNKNOWN),
            metavar="NAME",
            default="error",
            default_text="error",
            help="What to do with characters of the prime that are not in the model's "
            "vocabulary: error, skip or map. map takes the nearest one (é becomes e, "
            '“ becomes ").',
        ),
    ]
    for field, option in options_of(SampleConfig):
        if field.name in ("length", "seed", *names):
            default = length if field.name == "length" else field.default
            options.append(
                field_option(
                    field,
                    option,
                    *(["-t"] if field.name == "temperature" else []),
                    shown=default_in_words(option, default, field.default),
                    default=None if field.name == "seed" else default,
                )
            )
    return apply(options)


def chosen_seed(seed: int | None) -> int:
    """Return the seed asked for, or a new one, and say which it is."""
    if seed is None:
        import secrets

        seed = secrets.randbelow(2**31)
    note(f"seed {seed}")
    return seed


def typed(model: "LanguageModel", text: str) -> str:
    """Return text from the command line in the model's own characters."""
    if not model.reads_bytes:
        return text
    # Python escapes the bytes of arguments that are not UTF-8.
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def chosen_prime(model: "LanguageModel", prime: str, prime_file: str | None) -> str:
    """Return the prime, from a file if one is named, in the model's characters."""
    if not prime_file:
        return typed(model, prime)
    if prime:
        raise click.UsageError("--prime and --prime-file exclude each other; give one")
    from charrnn.text.corpus import read_corpus

    return read_corpus([prime_file], encoding=model.corpus.encoding).text


def opened(checkpoint: str | None) -> "LanguageModel":
    """Return the model of a checkpoint, and print which it is if none is named.

    Without a name it is the newest run's, or the one that comes with the package.
    """
    from charrnn.api import load
    from charrnn.storage.run_folder import PRETRAINED

    model = load(checkpoint)
    if model.path == PRETRAINED:
        here = "" if checkpoint else "no run in checkpoints/; "
        note(f"{here}using the Shakespeare model that comes with charrnn")
    elif not checkpoint:
        note(f"checkpoint {model.path}")
    return model


def corpus_of(model: "LanguageModel", text: str | None = None) -> "Corpus | None":
    """Return the text that a model was trained on; if it is missing, print why.

    `text` says where the text is now; it is an error if it is another text.
    """
    from charrnn.errors import TextError
    from charrnn.storage.run_folder import PRETRAINED
    from charrnn.text.corpus import reopen_corpus

    if text:
        return reopen_corpus(model.corpus, [text])
    try:
        return reopen_corpus(model.corpus)
    except TextError as error:
        fetch = " (`charrnn download` fetches it)" if model.path == PRETRAINED else ""
        note(f"The text that this model was trained on is missing{fetch}: {error}")
        return None
