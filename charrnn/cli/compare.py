"""charrnn compare: texts at several temperatures, side by side."""

import json
import shutil
from dataclasses import asdict

import click

from charrnn.cli.options import (
    GroupedCommand,
    checkpoint_argument,
    chosen_prime,
    chosen_seed,
    corpus_of,
    drawing_options,
    grouped,
    note,
    opened,
)

_comparing = grouped("Comparing")
_DEFAULT = (0.2, 0.5, 0.8, 1.0, 1.3)


@click.command(cls=GroupedCommand)
@checkpoint_argument
@drawing_options(length=300)
@_comparing(
    "--temperature",
    "-t",
    "temperatures",
    type=float,
    multiple=True,
    default=_DEFAULT,
    show_default=True,
    help="Temperature of a column. Give it several times.",
)
@_comparing(
    "--text",
    type=click.Path(),
    help="The text that the model was trained on, if it has moved.",
)
@_comparing(
    "--width",
    type=click.IntRange(8),
    help="Characters per line.  [default: the terminal's]",
)
@_comparing("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    checkpoint: str | None,
    prime: str,
    prime_file: str | None,
    seed: int | None,
    on_unknown: str,
    length: int,
    temperatures: tuple[float, ...],
    text: str | None,
    width: int | None,
    as_json: bool,
) -> None:
    """Show texts at several temperatures side by side, with statistics.

    All columns have the same prime and the same random numbers. Below each text are:
    log p, its mean log-probability under the model, and the mean entropy of the
    distributions that it was drawn from, both in nats per character; the share of
    4-grams that are distinct; the share of characters that repeat a stretch of 30; the
    share of words that occur in the training text; and the length of the longest
    stretch copied from it. The last line is the temperature at which held-out text is
    most likely.
    """
    from charrnn.cli.format import comparison_page
    from charrnn.generation.compare import compare

    model = opened(checkpoint)
    prime = chosen_prime(model, prime, prime_file)
    corpus = corpus_of(model, text)
    if corpus is None:
        note("The statistics that need it are left out; --text says where it is.")
    comparison = compare(
        model,
        prime,
        temperatures,
        corpus=corpus,
        on_unknown=on_unknown,
        length=length,
        seed=chosen_seed(seed),
    )
    if as_json:
        click.echo(json.dumps(asdict(comparison), ensure_ascii=False))
        return
    click.echo(comparison_page(comparison, width or shutil.get_terminal_size().columns))
