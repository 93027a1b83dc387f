"""charrnn sample: write text with a trained model."""

import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.options import (
    GroupedCommand,
    checkpoint_argument,
    decode_argument,
    drawing_options,
    grouped,
    open_model,
    resolve_prime,
    resolve_seed,
)
from charrnn.config import SampleConfig

if TYPE_CHECKING:
    from charrnn.generation.language_model import LanguageModel

_SEPARATOR = "-" * 16
_BLOCK = 1024  # characters written at once, except to a terminal
_sampling = grouped("Sampling")
_output = grouped("Output")


@click.command(cls=GroupedCommand)
@checkpoint_argument
@drawing_options(SampleConfig.length, "temperature", "top_k", "top_p", "kernels")
@_sampling(
    "--stop",
    default="",
    metavar="TEXT",
    default_text="none",
    help="End a text before the first occurrence of this.",
)
@_output(
    "-n",
    "count",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    default_text="1",
    help="Number of texts, separated by a line of dashes.",
)
@_output("--json", "as_json", is_flag=True, help="Print a line of JSON for each text.")
def command(
    checkpoint: str | None,
    prime: str,
    prime_file: str | None,
    seed: int | None,
    on_unknown: str,
    stop: str,
    count: int,
    as_json: bool,
    **settings: Any,
) -> None:
    """Write text with a trained model.

    CHECKPOINT is a file, a run folder or the name of a run in checkpoints/; by default
    it is the newest run's best model. The text is written to standard output while it
    is generated, and everything else to standard error.
    """
    model = open_model(checkpoint)
    prime, stop = resolve_prime(model, prime, prime_file), decode_argument(model, stop)
    SampleConfig(**settings, seed=seed or 0)  # raises before anything is printed
    settings["seed"] = resolve_seed(seed)
    options = settings | {"stop": stop, "on_unknown": on_unknown}
    if count == 1 and not as_json:
        _stream(model, prime, model.stream(prime, **options))
        return
    texts = model.generate(prime, n=count, **options)
    for i, text in enumerate(texts):
        if as_json:
            about = {"index": i, "prime": prime, "text": text[len(prime) :]} | settings
            click.echo(json.dumps(about, ensure_ascii=False))
        else:
            _write(model, f"{_SEPARATOR}\n" if i else "")
            _write(model, f"{text}\n")


def _stream(model: "LanguageModel", prime: str, pieces: Iterator[str]) -> None:
    """Write one text while it is generated."""
    terminal = sys.stdout.isatty()
    _write(model, prime)
    while block := list(islice(pieces, 1 if terminal else _BLOCK)):
        _write(model, "".join(block))
        if terminal:
            sys.stdout.flush()
    # A program that reads the bytes of a model of bytes must not get one too many.
    if terminal or not model.reads_bytes:
        _write(model, "\n")


def _write(model: "LanguageModel", text: str) -> None:
    if model.reads_bytes:
        sys.stdout.buffer.write(text.encode("latin-1"))
    else:
        sys.stdout.write(text)
