"""charrnn next: show which characters come next, and how likely each is."""

import sys

import click

from charrnn.cli.options import (
    GroupedCommand,
    grouped,
    is_missing,
    on_unknown_option,
    open_model,
    to_json,
)
from charrnn.cli.text_arguments import read_text
from charrnn.shell import quote

_options = grouped("Options")
_BAR = 30  # length of the bar for probability 1


@click.command(cls=GroupedCommand)
@click.argument("prefix")
@click.argument("checkpoint", required=False, type=click.Path())
@_options(
    "--top",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Number of characters to show.",
)
@on_unknown_option(_options, "PREFIX")
@_options("--json", "as_json", is_flag=True, help="Print a line of JSON per character.")
def command(
    prefix: str, checkpoint: str | None, top: int, on_unknown: str, as_json: bool
) -> None:
    """Show which characters come next after PREFIX, and how likely each is.

    PREFIX may have escapes such as \\n and \\u00e9; a backslash is \\\\. Probabilities
    are for temperature 1. CHECKPOINT is a file or a run folder; by default it is the
    newest run's best model.
    """
    if checkpoint and is_missing(checkpoint) and not is_missing(prefix):
        raise click.UsageError(
            "PREFIX comes before CHECKPOINT: "
            f"`charrnn next {quote(checkpoint)} {quote(prefix)}`"
        )
    model = open_model(checkpoint)
    prefix = read_text(model, prefix, "PREFIX")
    ranked = model.next(prefix, top, on_unknown=on_unknown)
    if as_json:
        for rank, (character, p) in enumerate(ranked, 1):
            about = {"rank": rank, "character": character, "probability": p}
            click.echo(to_json(about, sys.stdout.encoding))
        return
    from charrnn.cli.format import on_terminal, table
    from charrnn.text.characters import quoted

    # Next to each other, a right-to-left character and a number would change places.
    rows = [
        (
            f"{rank:3}",
            f"{p:.4f}",
            f"{quoted(character) if character else 'end':6}",
            "█" * round(_BAR * p),
        )
        for rank, (character, p) in enumerate(ranked, 1)
    ]
    click.echo(table(rows, heads=4, place=on_terminal()))
