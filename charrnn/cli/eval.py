"""charrnn eval: score a model on a text, beside an n-gram."""

import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import click

from charrnn.cli.options import GroupedCommand, corpus_of, grouped, opened
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
@_options("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    checkpoint: str | None,
    text: tuple[str, ...],
    encoding: str | None,
    on_unknown: str,
    as_json: bool,
) -> None:
    """Score a model on a text, next to an n-gram fitted on the same split.

    TEXT is by default the text that the model was trained on, with its own split. Any
    other text is split the same way: the n-gram is fitted on the first part, and both
    are scored on the last. CHECKPOINT is by default the newest run's best model:
    `charrnn eval my.txt` scores it on my.txt.
    """
    from charrnn.cli.format import scoreboard_table
    from charrnn.errors import TextError
    from charrnn.evaluation.scoreboard import score
    from charrnn.text.corpus import read_corpus, split

    if checkpoint and _is_text(Path(checkpoint)):
        text = (checkpoint, *text)
        checkpoint = None
    model = opened(checkpoint)
    if text:
        corpus = read_corpus(list(text), encoding=encoding or model.corpus.encoding)
    else:
        found = corpus_of(model)
        if found is None:
            raise TextError("no text to score; name one: charrnn eval CHECKPOINT TEXT")
        corpus = found
    ids = model.encode(corpus.text, on_unknown)
    fraction = model.split.val_fraction
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
    trained = corpus.sha256 == model.corpus.sha256
    first, last = f"first {1 - fraction:.0%}", f"last {fraction:.0%}"
    click.echo(
        scoreboard_table(board, ("train", "validation") if trained else (first, last))
    )


def _is_text(path: Path) -> bool:
    """Return whether the first argument is a text, so that no checkpoint is named."""
    from charrnn.storage.run_folder import holds_run

    if str(path) == "-":
        return True
    if path.is_dir():
        return not holds_run(path)
    return path.is_file() and path.suffix != ".npz" and not zipfile.is_zipfile(path)
