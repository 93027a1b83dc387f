"""charrnn sample: write text with a trained model."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.options import (
    GroupedCommand,
    checkpoint_argument,
    chosen_prime,
    chosen_seed,
    drawing_options,
    grouped,
    opened,
    typed,
)
from charrnn.config import SampleConfig

if TYPE_CHECKING:
    from charrnn.generation.language_model import LanguageModel

_SEPARATOR = "-" * 16
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

    CHECKPOINT is a file or a run's folder, whose best model is taken; without it, the
    newest run's in checkpoints/. Text goes to standard output as it is made, all else
    to standard error.
    """
    model = opened(checkpoint)
    prime, stop = chosen_prime(model, prime, prime_file), typed(model, stop)
    SampleConfig(**settings, seed=seed or 0)  # refuses before anything is said
    settings["seed"] = chosen_seed(seed)
    steps = model.stream(prime, n=count, on_unknown=on_unknown, **settings)
    if as_json:
        for i, text in enumerate(_texts(steps, count, stop)):
            about = {"index": i, "prime": prime, "text": text} | settings
            click.echo(json.dumps(about, ensure_ascii=False))
    elif count == 1:
        _stream(model, prime, steps, stop)
    else:
        texts = _texts(steps, count, stop)
        for i, text in enumerate(texts):
            _write(model, f"{_SEPARATOR}\n" if i else "")
            _write(model, f"{prime}{text}\n")


def _stream(model: "LanguageModel", prime: str, steps: Any, stop: str) -> None:
    """Write one text as it is made, holding back what may be the start of `stop`."""
    at_once = sys.stdout.isatty()
    _write(model, prime)
    held = ""
    for (character,) in steps:
        held += character
        if stop and held.endswith(stop):
            held = held[: -len(stop)]
            break
        if len(held) >= max(1, len(stop)) and (at_once or len(held) > 1024):
            keep = max(0, len(stop) - 1)
            _write(model, held[: len(held) - keep])
            held = held[len(held) - keep :]
            if at_once:
                sys.stdout.flush()
    # A line end would be a byte too many for whoever reads bytes.
    _write(model, held if model.reads_bytes and not at_once else held + "\n")


def _write(model: "LanguageModel", text: str) -> None:
    if model.reads_bytes:
        sys.stdout.buffer.write(text.encode("latin-1"))
    else:
        sys.stdout.write(text)


def _texts(steps: Any, count: int, stop: str) -> list[str]:
    """Return whole texts, each cut before the first `stop` in it."""
    texts, going = [""] * count, set(range(count))
    for characters in steps:
        for i in list(going):
            texts[i] += characters[i]
            if stop and texts[i].endswith(stop):
                texts[i] = texts[i][: -len(stop)]
                going.remove(i)
        if not going:
            break
    return texts
