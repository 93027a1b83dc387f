"""charrnn eval: score a model on a text, beside an n-gram."""

import json
from dataclasses import asdict

import click

from charrnn.cli.options import GroupedCommand, corpus_behind, grouped, opened
from charrnn.config import ON_UNKNOWN

_options = grouped("Options")


@click.command(cls=GroupedCommand)
@click.argument("checkpoint", required=False, type=click.Path())
@click.argument("text", nargs=-1, type=click.Path())
@_options("--encoding", default=None, help="Codec of TEXT.  [default: the model's]")
@_options(
    "--on-unknown",
    type=click.Choice(ON_UNKNOWN),
    default="error",
    show_default=True,
    help="What to do with characters that the model never saw.",
)
@_options("--json", "as_json", is_flag=True, help="The scoreboard as a JSON object.")
def command(
    checkpoint: str | None,
    text: tuple[str, ...],
    encoding: str | None,
    on_unknown: str,
    as_json: bool,
) -> None:
    """Score a model on a text, beside an n-gram fitted on the same split.

    TEXT comes after CHECKPOINT. Without it, it is the text that the model was trained
    on, by its own split. Any other text is cut likewise: the n-gram is fitted on the
    first part, and both are scored on the last.
    """
    from charrnn.cli.format import scoreboard_table
    from charrnn.errors import TextError
    from charrnn.evaluation.scoreboard import score
    from charrnn.text.corpus import read_corpus, split

    model = opened(checkpoint)
    if text:
        encoding = encoding or model.checkpoint.corpus.encoding
        corpus = read_corpus(list(text), encoding=encoding)
    else:
        found = corpus_behind(model)
        if found is None:
            raise TextError("no text to score; name one: charrnn eval CHECKPOINT TEXT")
        corpus = found
    ids = model.encode(corpus.text, on_unknown)
    fraction = model.checkpoint.split.val_fraction
    train, val = split(ids, fraction)
    if min(len(train), len(val)) < 2:
        raise TextError(
            f"{corpus.name}: {len(ids)} characters are too few to score; the last "
            f"{fraction:.0%} must hold at least 2"
        )
    board = score(model.model, train, val)
    if as_json:
        click.echo(json.dumps(asdict(board)))
        return
    trained = corpus.sha256 == model.checkpoint.corpus.sha256
    first, last = f"first {1 - fraction:.0%}", f"last {fraction:.0%}"
    click.echo(
        scoreboard_table(board, ("train", "validation") if trained else (first, last))
    )
