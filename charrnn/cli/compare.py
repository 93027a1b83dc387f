"""charrnn compare: show texts at several temperatures side by side."""

import shutil
import sys
from pathlib import Path

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
from charrnn.cli.text_arguments import resolve_prime
from charrnn.shell import quote

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
    help="Temperature of a column. Repeat it for several columns.",
)
@_comparing(
    "-n",
    "count",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    default_text="1",
    help="Number of texts at each temperature. The figures of several are their mean "
    "± their standard deviation.",
)
@_comparing(
    "--text",
    type=click.Path(),
    help="Path of the text that the model was trained on, if it has moved.",
)
@_comparing(
    "--width",
    type=click.IntRange(8),
    help="Columns per line.  [default: the width of the terminal]",
)
@_comparing(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page to this file instead: the texts, tinted by the model's surprise "
    "at each character, with copied stretches and charts.",
)
@_comparing("--force", is_flag=True, help="Replace an existing --html.")
@_comparing("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    checkpoint: str | None,
    prime: str,
    prime_file: str | None,
    seed: int | None,
    on_unknown: str,
    length: int,
    temperatures: tuple[float, ...],
    count: int,
    text: str | None,
    width: int | None,
    html: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Show texts at several temperatures side by side, with statistics.

    CHECKPOINT is a file, a run folder or the name of a run in checkpoints/; by default
    it is the newest run's best model. All columns start from the same prime and use the
    same random numbers. Below each text are:

    \b
    log p     mean log-probability, nats per character
    entropy   mean entropy of the choices, nats per character
    distinct  share of 4-grams that are distinct
    repeated  share of characters that repeat a stretch of 30
    known     share of words that occur in the training text
    copied    longest stretch copied from the training text

    The last line is the temperature at which held-out text is most likely.
    """
    from charrnn.cli.format import comparison_page, on_terminal
    from charrnn.views.compare import compare
    from charrnn.views.page_file import check_is_free

    check_is_no_prime(checkpoint, "compare")
    if html:
        check_is_free(html, force=force)
    model = open_model(checkpoint)
    prime = resolve_prime(model, prime, prime_file)
    corpus = find_corpus(model, text)
    if corpus is None:
        named = f"charrnn compare {quote(str(model.path))} --text"
        note(f"Its statistics are left out. If you have the text: {named} TEXT")
    comparison = compare(
        model,
        prime,
        temperatures,
        corpus=corpus,
        on_unknown=on_unknown,
        length=length,
        n=count,
        details=html is not None,
        seed=resolve_seed(seed),
    )
    if html:
        note(f"wrote {comparison.save_html(html, force=force)}")
    if as_json:
        click.echo(to_json(comparison.to_dict(), sys.stdout.encoding))
    if html or as_json:
        return
    width = width or shutil.get_terminal_size().columns
    click.echo(comparison_page(comparison, width, place=on_terminal()))
