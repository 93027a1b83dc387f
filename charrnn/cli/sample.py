"""charrnn sample: write text with a trained model."""

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from charrnn.cli.options import (
    GroupedCommand,
    check_is_no_prime,
    checkpoint_argument,
    drawing_options,
    find_corpus,
    grouped,
    note,
    open_model,
    resolve_seed,
    to_json,
)
from charrnn.cli.text_arguments import read_text, resolve_prime
from charrnn.cli.text_output import TextWriter
from charrnn.config import UNTIL, SampleConfig
from charrnn.errors import ConfigError, TextError

if TYPE_CHECKING:
    from charrnn.generation.language_model import LanguageModel

_DASHES = "-" * 16
_BLOCK = 1024  # characters written at once, except to a terminal
_sampling = grouped("Sampling")
_output = grouped("Output")


@click.command(cls=GroupedCommand)
@checkpoint_argument
@drawing_options(
    SampleConfig.length,
    *("temperature", "top_k", "top_p", "min_p", "typical", "loop_penalty", "kernels"),
)
@_sampling(
    "--stop",
    "stops",
    multiple=True,
    metavar="TEXT",
    default_text="none",
    help=r"End a text before the first occurrence of this, for example '\n\n'. Repeat "
    "it for several.",
)
@_sampling(
    "--until",
    type=click.Choice(UNTIL),
    metavar="NAME",
    default_text="the length",
    help="After --length characters, go on to the next end of a sentence, line or "
    "paragraph, for at most 2,000 characters.",
)
@_output(
    "-n",
    "count",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    default_text="1",
    help="Number of texts.",
)
@_output(
    "--separator",
    metavar="TEXT",
    default_text="a line of dashes, or a line end if texts are single lines",
    help=r"What to write between texts, with escapes such as \n.",
)
@_output("--unique", is_flag=True, help="Leave out texts that have come before.")
@_output(
    "--novel",
    is_flag=True,
    help="Leave out texts that are whole lines or documents of the training text.",
)
@_output(
    "--text",
    "corpus_path",
    type=click.Path(),
    help="Path of the text that the model was trained on, for --novel, if it has "
    "moved.",
)
@_output(
    "--raw",
    is_flag=True,
    help="Write control characters to a terminal as they are, not as escapes.",
)
@_output("--json", "as_json", is_flag=True, help="Write a line of JSON for each text.")
@_output(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    default_text="standard output",
    help="File to write to, always in UTF-8.",
)
@_output("--force", is_flag=True, help="Replace an existing --output.")
def command(
    checkpoint: str | None,
    prime: str,
    prime_file: str | None,
    seed: int | None,
    on_unknown: str,
    stops: tuple[str, ...],
    until: str | None,
    count: int,
    separator: str | None,
    unique: bool,
    novel: bool,
    corpus_path: str | None,
    raw: bool,
    as_json: bool,
    output: Path | None,
    force: bool,
    **settings: Any,
) -> None:
    """Write text with a trained model.

    CHECKPOINT is a file, a run folder or the name of a run in checkpoints/; by default
    it is the newest run's best model. The text is written while it is generated.
    Everything else is printed on standard error. A terminal shows control characters
    as escapes such as \\x1b.
    """
    check_is_no_prime(checkpoint, "sample")
    if output and output.exists() and not force:
        raise ConfigError(
            f"{output}: already exists; replace it with --force, or name another file"
        )
    if separator is not None and as_json:
        raise click.UsageError("--separator and --json exclude each other; give one")
    if corpus_path and not novel:
        raise click.UsageError("--text is the text for --novel; give both")
    model = open_model(checkpoint)
    prime = resolve_prime(model, prime, prime_file)
    stops = tuple(read_text(model, stop, "--stop") for stop in stops)
    between = (
        _usual_separator(model, prime, stops)
        if separator is None
        else read_text(model, separator, "--separator")
    )
    SampleConfig(**settings, seed=seed or 0)  # raises before anything is printed
    is_known = _is_in_corpus(model, corpus_path) if novel else None
    settings["seed"] = resolve_seed(seed)
    options: Any = {"stop": stops, "until": until or "", "on_unknown": on_unknown}
    single = count == 1 and not (as_json or unique or novel)
    # Made before the output is opened, because a wrong setting raises here.
    texts = (
        model.stream(prime, **settings, **options)
        if single
        else model.texts(
            prime,
            SampleConfig(**settings),
            count,
            unique=unique,
            is_known=is_known,
            **options,
        )
    )
    with _opened(output, force) as out:
        writer = TextWriter(out, reads_bytes=model.reads_bytes, raw=raw)
        if single:
            _stream(writer, prime, texts)
        elif as_json:
            _write_json(out, prime, texts, settings)
        else:
            _write_texts(writer, texts, between)
    if writer.has_escaped:
        note(r"control characters are shown as escapes such as \x1b; --raw writes them")
    if output:
        note(f"wrote {output}")


def _usual_separator(model: "LanguageModel", prime: str, stops: Sequence[str]) -> str:
    lines = "\n" not in prime and ("\n" not in model.vocab or "\n" in stops)
    return "\n" if lines else f"\n{_DASHES}\n"


def _is_in_corpus(model: "LanguageModel", path: str | None) -> Callable[[str], bool]:
    """Return a function that tells whether a text is in the corpus."""
    corpus = find_corpus(model, path)
    if corpus is None:
        raise TextError(
            "--novel needs the text that the model was trained on; name it with --text"
        )
    return corpus.contains


def _opened(output: Path | None, force: bool) -> AbstractContextManager[TextIO]:
    """Return the file to write to, or standard output."""
    if output is None:
        return nullcontext(sys.stdout)
    from charrnn.cli import ESCAPE

    return io.TextIOWrapper(
        output.open("wb" if force else "xb"), "utf-8", errors=ESCAPE, newline="\n"
    )


def _stream(writer: TextWriter, prime: str, pieces: Iterator[str]) -> None:
    """Write one text while it is generated."""
    writer.write(prime)
    while block := list(islice(pieces, 1 if writer.on_terminal else _BLOCK)):
        writer.write("".join(block))
        if writer.on_terminal:
            writer.flush()
    writer.end()
    # A program that reads the bytes of a model of bytes must not get one too many.
    if writer.on_terminal or not writer.reads_bytes:
        writer.write("\n")


def _write_texts(writer: TextWriter, texts: Iterator[str], separator: str) -> None:
    before, after = "", ""
    for text in texts:
        writer.write(before + text)
        before, after = separator, "\n"
    writer.end()
    writer.write(after)


def _write_json(
    out: TextIO, prime: str, texts: Iterator[str], settings: dict[str, Any]
) -> None:
    for i, text in enumerate(texts):
        about = {"index": i, "prime": prime, "text": text[len(prime) :]} | settings
        out.write(to_json(about, out.encoding) + "\n")
