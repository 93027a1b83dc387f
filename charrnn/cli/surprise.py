"""charrnn surprise: show how surprised a model is by each character of a text."""

import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charrnn.cli.colors import color_option, painted, scale, use_color
from charrnn.cli.options import GroupedCommand, grouped, note, to_json
from charrnn.cli.text_to_score import (
    advancing_bar,
    note_left_out,
    open_text,
    score_as_json,
    text_arguments,
)

if TYPE_CHECKING:
    from charrnn.views.surprise import Surprise

_PAGE = 50_000  # characters
_BLOCK = 1024  # pieces of text that are printed together
_options = grouped("Options")
_output = grouped("Output")


@click.command(cls=GroupedCommand)
@text_arguments()
@_options(
    "--from",
    "first_line",
    type=int,
    default=1,
    metavar="LINE",
    default_text="1",
    help="Show the text from this line on.",
)
@_options(
    "--length",
    type=int,
    default_text=f"all of it, and {_PAGE:,} in a page",
    help="Show at most this many characters.",
)
@_options(
    "--lines",
    type=click.IntRange(0),
    default=5,
    default_text="5",
    help="Number of the most surprising lines to list.",
)
@color_option(_output)
@_output(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page instead, with the likeliest characters at each place.",
)
@_output("--force", is_flag=True, help="Replace an existing --html.")
@_output("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_output(
    "--characters",
    is_flag=True,
    help="With --json: also print a line of JSON for each character.",
)
def command(
    checkpoint: str | None,
    text: tuple[str, ...],
    sentence: str | None,
    encoding: str | None,
    on_unknown: str,
    first_line: int,
    length: int | None,
    lines: int,
    color: str,
    html: Path | None,
    force: bool,
    as_json: bool,
    characters: bool,
) -> None:
    """Show how surprised a model is by each character of a text.

    The less likely the model found a character, the more surprising it is: its surprise
    is -log2 of its probability, in bits. The totals are those of `charrnn eval`, and
    refer to all of the text. TEXT is a file, a folder, several of them, or - for
    standard input. CHECKPOINT is a file or a run folder; by default it is the newest
    run's best model.
    """
    from charrnn.views.page_file import check_is_free
    from charrnn.views.surprise import surprise

    if characters and not as_json:
        raise click.UsageError("--characters is for --json; give both")
    if html:
        check_is_free(html, force=force)
    model, corpus = open_text("surprise", checkpoint, text, sentence, encoding)
    if corpus is None:
        raise click.UsageError("no text; name a file, or give the text with --text")
    if html and length is None:
        length = _PAGE
    with advancing_bar(corpus.characters) as on_progress:
        found = surprise(
            model,
            corpus,
            on_unknown=on_unknown,
            first_line=first_line,
            length=length,
            alternatives=bool(html) or characters,
            on_progress=on_progress,
        )
    note_left_out(found.text)
    if not found.is_in_order:
        note("the documents are shown in the order in which the model reads them")
    if html:
        _write_page(html, found, lines, force)
    if as_json:
        _print_json(found, lines, characters)
    elif not html:
        _print_text(found, lines, use_color(color))


def _print_text(found: "Surprise", lines: int, color: bool) -> None:
    from charrnn.cli.format import listing, score_table

    pieces = painted(found.marks(), color=color)
    block = ""
    while more := "".join(islice(pieces, _BLOCK)):
        click.echo(more, nl=False, color=color)
        block = more
    click.echo("" if block.endswith("\n") else "\n")
    if color:
        click.echo(f"bits: {''.join(scale(color=True))}\n", color=True)
    if found.left_out:
        click.echo(f"{found.left_out.capitalize()}.\n")
    worst = found.lines(lines)
    if worst:
        rows = [("line", "bits/char", "characters", "the most surprising lines")]
        rows += [
            (
                f"{line.number:,}",
                f"{line.bits:.4f}",
                f"{line.characters:,}",
                line.text,
            )
            for line in worst
        ]
        click.echo(f"{listing(rows)}\n")
    click.echo(score_table(found.name, found.score))


def _write_page(path: Path, found: "Surprise", lines: int, force: bool) -> None:
    from charrnn.views.page_file import save_page
    from charrnn.views.surprise_page import surprise_page

    save_page(path, lambda: surprise_page(found, lines), force=force)
    note(f"wrote {path}")


def _print_json(found: "Surprise", lines: int, characters: bool) -> None:
    encoding = sys.stdout.encoding
    about = score_as_json(found.score, found.text) | {
        "lines": [asdict(line) for line in found.lines(lines)]
    }
    click.echo(to_json(about, encoding))
    for each in found.characters() if characters else ():
        sys.stdout.write(to_json(asdict(each), encoding) + "\n")
