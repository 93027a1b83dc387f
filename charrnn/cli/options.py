"""What several commands share: grouped options, and the text behind a checkpoint."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from charrnn.generation.language_model import LanguageModel
    from charrnn.text.corpus import Corpus


def note(message: str) -> None:
    """Say something that is not the result: on standard error, in one line."""
    click.echo(message, err=True)


_HELP = "Help"


class GroupedOption(click.Option):
    """An option that `--help` shows under a heading."""

    def __init__(self, *args: Any, group: str = "Options", **kwargs: Any) -> None:
        self.group = group
        super().__init__(*args, **kwargs)


class GroupedCommand(click.Command):
    """A command whose `--help` has its options under their headings."""

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record and not isinstance(param, click.Argument):  # the text tells them
                groups.setdefault(getattr(param, "group", _HELP), []).append(record)
        groups[_HELP] = groups.pop(_HELP)  # to the end
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


def grouped(group: str) -> Callable[..., Callable[[Any], Any]]:
    """Return a `click.option` for options under one heading."""

    def option(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        return click.option(*args, cls=GroupedOption, group=group, **kwargs)

    return option


def checkpoint_argument(command: Any) -> Any:
    """Add the argument CHECKPOINT: a file, or a run's folder."""
    return click.argument("checkpoint", required=False, type=click.Path())(command)


_DRAWING = grouped("Drawing characters")


def drawing_options(length: int) -> Callable[[Any], Any]:
    """Return a decorator that adds what `sample` and `compare` have in common."""
    options = (
        _DRAWING(
            "--seed",
            type=int,
            help="Seed of the random numbers; the one used is printed.  "
            "[default: a new one each time]",
        ),
        _DRAWING(
            "--on-unknown",
            type=click.Choice(("error", "skip", "map")),
            default="error",
            show_default=True,
            help="What to do with characters in the prime that the model never saw; "
            'map takes the nearest one (é as e, “ as ").',
        ),
        _DRAWING(
            "--prime-file",
            type=click.Path(exists=True, dir_okay=False, allow_dash=True),
            help="Read the prime from a file, or - for standard input.",
        ),
        _DRAWING(
            "--prime",
            default="",
            help="Text that the model reads first and then goes on with.  "
            "[default: the start of a line]",
        ),
        _DRAWING(
            "--length",
            type=int,
            default=length,
            show_default=True,
            help="Characters to write.",
        ),
    )

    def decorate(command: Any) -> Any:
        for option in options:
            command = option(command)
        return command

    return decorate


def chosen_seed(seed: int | None) -> int:
    """Return the seed asked for, or a new one, and say which it is."""
    if seed is None:
        import secrets

        seed = secrets.randbelow(2**31)
    note(f"seed {seed}")
    return seed


def typed(model: "LanguageModel", text: str) -> str:
    """Return what was typed in the model's own characters."""
    if not model.reads_bytes:
        return text
    # Arguments that are no UTF-8 come with their bytes escaped.
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def chosen_prime(model: "LanguageModel", prime: str, prime_file: str | None) -> str:
    """Return the prime, of a file where one is named, in the model's characters."""
    if not prime_file:
        return typed(model, prime)
    if prime:
        raise click.UsageError("--prime and --prime-file exclude each other; give one")
    from charrnn.text.corpus import read_corpus

    encoding = model.checkpoint.corpus.get("encoding", "utf-8")
    return read_corpus([prime_file], encoding=str(encoding)).text


def opened(checkpoint: str | None) -> "LanguageModel":
    """Return a checkpoint's model; without a name the newest run's, and say which.

    Without a run it is the one that comes with the package.
    """
    from charrnn.api import load
    from charrnn.run import SHIPPED

    model = load(checkpoint)
    if model.path == SHIPPED:
        here = "" if checkpoint else "no run in checkpoints/; "
        note(f"{here}using the Shakespeare model that comes with charrnn")
    elif not checkpoint:
        note(f"checkpoint {model.path}")
    return model


def corpus_behind(model: "LanguageModel", text: str | None = None) -> "Corpus | None":
    """Return the text that a model was trained on, or say why it is not to be had."""
    from charrnn.errors import TextError
    from charrnn.run import SHIPPED
    from charrnn.text.corpus import STDIN, read_corpus

    known = model.checkpoint.corpus
    encoding, digest = known.get("encoding", "utf-8"), known.get("sha256")
    if text:
        corpus = read_corpus([text], encoding=encoding)
        if digest and corpus.sha256 != digest:
            raise TextError(_another(text, corpus, digest))
        return corpus
    files = known.get("files", [])
    if not files or STDIN in files:
        note("The text that this model was trained on is not in a file.")
        return None
    try:
        corpus = read_corpus(list(files), encoding=encoding)
    except TextError as error:
        fetch = " (`charrnn download` fetches it)" if model.path == SHIPPED else ""
        note(f"The text that this model was trained on is missing{fetch}: {error}")
        return None
    if corpus.sha256 != digest:
        note(_another(", ".join(files), corpus, str(digest)))
        return None
    return corpus


def _another(files: str, corpus: "Corpus", digest: str) -> str:
    return (
        f"{files}: SHA-256 {corpus.sha256[:12]}… is not that of the text that this "
        f"model was trained on ({digest[:12]}…)"
    )
