"""charrnn next: show which characters come next, and how likely each is."""

import json

import click

from charrnn.cli.options import (
    GroupedCommand,
    decode_argument,
    grouped,
    on_unknown_option,
    open_model,
)

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

    Probabilities are for temperature 1. CHECKPOINT is a file or a run folder;
    by default it is the newest run's best model.
    """
    model = open_model(checkpoint)
    ranked = model.next(decode_argument(model, prefix), top, on_unknown=on_unknown)
    for rank, (character, p) in enumerate(ranked, 1):
        if as_json:
            about = {"rank": rank, "character": character, "probability": p}
            click.echo(json.dumps(about, ensure_ascii=False))
        else:
            bar = "█" * round(_BAR * p)
            click.echo(f"{rank:3}  {character!r:6}  {p:.4f}  {bar}".rstrip())
