"""charrnn eval: score a model on a text, next to an n-gram."""

import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import click

from charrnn.cli.options import (
    GroupedCommand,
    find_corpus,
    grouped,
    on_unknown_option,
    open_model,
)

_options = grouped("Options")


@click.command(cls=GroupedCommand)
@click.argument("checkpoint", required=False, type=click.Path())
@click.argument("text", nargs=-1, type=click.Path())
@_options(
    "--encoding",
    metavar="NAME",
    default_text="that of the training text",
    help="Encoding of TEXT.",
)
@on_unknown_option(_options, "TEXT")
@_options("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    checkpoint: str | None,
    text: tuple[str, ...],
    encoding: str | None,
    on_unknown: str,
    as_json: bool,
) -> None:
    """Score a model on a text, next to an n-gram fitted on the same split.

    TEXT is a file, a folder, several of them, or - for standard input; by default it is
    the text that the model was trained on. The n-gram is fitted on the training part of
    TEXT, and both are scored on the validation part. Another text is split in the same
    proportion. CHECKPOINT is a file or a run folder; by default it is the newest run's
    best model, so `charrnn eval my.txt` scores that on my.txt.
    """
    from charrnn.cli.format import scoreboard_table
    from charrnn.errors import TextError
    from charrnn.evaluation.scoreboard import score
    from charrnn.text.corpus import read_corpus, split

    if checkpoint and _is_text(Path(checkpoint)):
        text = (checkpoint, *text)
        checkpoint = None
    model = open_model(checkpoint)
    if text:
        corpus = read_corpus(list(text), encoding=encoding or model.corpus.encoding)
    else:
        found = find_corpus(model)
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
    """Return whether the first argument is a text and not a checkpoint."""
    from charrnn.storage.run_folder import holds_run

    if str(path) == "-":
        return True
    if path.is_dir():
        return not holds_run(path)
    return path.is_file() and path.suffix != ".npz" and not zipfile.is_zipfile(path)
