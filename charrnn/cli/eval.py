"""charrnn eval: score a model on a text."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from charrnn.cli.options import (
    GroupedCommand,
    find_corpus,
    grouped,
    scoring_bar,
    to_json,
)
from charrnn.cli.text_to_score import (
    SHOWN,
    advancing_bar,
    note_left_out,
    open_text,
    score_as_json,
    text_arguments,
)
from charrnn.shell import quote

if TYPE_CHECKING:
    from charrnn.evaluation.loss import Score
    from charrnn.generation.language_model import LanguageModel
    from charrnn.generation.text_score import PartScore, ReadText
    from charrnn.nn.parameters import Array
    from charrnn.text.corpus import Corpus

_options = grouped("Options")


@click.command(cls=GroupedCommand)
@text_arguments(
    _options(
        "--per",
        type=click.Choice(("line", "document")),
        metavar="NAME",
        help="Also print a score for each line or document.",
    )
)
@_options(
    "--dynamic",
    is_flag=True,
    help="Learn each few characters once they are scored. This shows how well a model "
    "adapts; the file stays as it is.",
)
@_options("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    checkpoint: str | None,
    text: tuple[str, ...],
    sentence: str | None,
    per: str | None,
    encoding: str | None,
    on_unknown: str,
    dynamic: bool,
    as_json: bool,
) -> None:
    """Score a model on a text.

    By default it is the text that the model was trained on, in its training and its
    validation part, next to an n-gram fitted on the training part. TEXT is another
    text: a file, a folder, several of them, or - for standard input. All of it is
    scored. CHECKPOINT is a file or a run folder; by default it is the newest run's best
    model, so `charrnn eval my.txt` scores that on my.txt.
    """
    model, given = open_text("eval", checkpoint, text, sentence, encoding)
    corpus = given or _own_text(model)
    is_own = corpus.info.sha256 == model.corpus.sha256
    if is_own and not per and (model.split.validates or not given):
        train, val = _own_parts(model, corpus)
        if dynamic:
            _print_dynamic(model, val, as_json)
        else:
            _print_scoreboard(model, train, val, as_json)
    else:
        _print_scores(model, corpus, per, on_unknown, dynamic, as_json)


def _own_text(model: "LanguageModel") -> "Corpus":
    """Return the text that the model was trained on."""
    from charrnn.errors import TextError

    found = find_corpus(model)
    if found is None:
        raise TextError(f"no text to score; name one: {_command(model)} TEXT")
    return found


def _command(model: "LanguageModel") -> str:
    return f"charrnn eval {quote(str(model.path))}"


def _own_parts(model: "LanguageModel", corpus: "Corpus") -> "tuple[Array, Array]":
    """Return the training and the validation part of the model's own text."""
    from charrnn.errors import TextError
    from charrnn.text.streams import printable

    train, val = model.parts_of(corpus)
    if len(val) < 2:
        raise TextError(
            f"{printable(corpus.name)}: the model was trained on all of it; to score "
            f"it on other text, name one: {_command(model)} TEXT"
        )
    return train, val


def _print_scoreboard(
    model: "LanguageModel", train: "Array", val: "Array", as_json: bool
) -> None:
    """Print the scores on both parts."""
    from charrnn.cli.format import scoreboard_table
    from charrnn.evaluation.scoreboard import score

    with scoring_bar() as on_progress:
        board = score(model.model, train, val, on_progress=on_progress)
    if as_json:
        click.echo(json.dumps(asdict(board)))
    else:
        click.echo(scoreboard_table(board, ("train", "validation")))


def _print_dynamic(model: "LanguageModel", val: "Array", as_json: bool) -> None:
    """Print the dynamic score on the validation part."""
    from charrnn.evaluation.loss import Score
    from charrnn.training.dynamic import dynamic_losses

    with advancing_bar(len(val) - 1) as on_progress:
        score = Score.of(dynamic_losses(model.model, val, on_progress=on_progress))
    _print_score("validation", score, True, as_json)


def _print_scores(
    model: "LanguageModel",
    corpus: "Corpus",
    per: str | None,
    on_unknown: str,
    dynamic: bool,
    as_json: bool,
) -> None:
    """Print the score on all of a text and, on request, on each of its parts."""
    from charrnn.evaluation.loss import Score
    from charrnn.generation import text_score

    text = text_score.read_text(model, corpus, on_unknown)
    note_left_out(text)
    last = _last_of(model, per) if per else -1
    with advancing_bar(len(text.ids) - text.start) as on_progress:
        if per or dynamic:
            losses = text_score.losses_of(
                model, text, dynamic=dynamic, on_progress=on_progress
            )
            score = Score.of(losses)
        else:  # without the losses in memory, for a text of any length
            score = text_score.score_text(model, text, on_progress=on_progress)
    if per:
        _print_parts(text_score.score_parts(model, text, losses, last), as_json)
    _print_score(corpus.name, score, dynamic, as_json, text)


def _print_score(
    name: str,
    score: "Score",
    dynamic: bool,
    as_json: bool,
    text: "ReadText | None" = None,
) -> None:
    """Print a score, and whether it is dynamic; text is as in `score_as_json`."""
    from charrnn.cli.format import score_table

    if as_json:
        kind = {"dynamic": True} if dynamic else {}
        click.echo(json.dumps(score_as_json(score, text) | kind))
    else:
        click.echo(score_table(f"{name}, dynamic" if dynamic else name, score))


def _last_of(model: "LanguageModel", per: str) -> int:
    """Return the id that ends a line or a document."""
    from charrnn.errors import TextError

    vocab = model.vocab
    if per == "document" or vocab.end_id is not None:
        if vocab.end_id is None:
            raise TextError(
                "the model was trained on one long text, not on documents; expected "
                "--per line"
            )
        return vocab.end_id
    if "\n" not in vocab:
        raise TextError("the model knows no line ends; leave out --per line")
    return int(vocab.encode("\n")[0])


def _print_parts(parts: Iterator["PartScore"], as_json: bool) -> None:
    for part in parts:
        if as_json:
            about = {"number": part.number, "text": part.text} | score_as_json(
                part.score
            )
            click.echo(to_json(about, sys.stdout.encoding))
        else:
            from charrnn.cli.format import shortened

            text = shortened(part.text, SHOWN)
            click.echo(
                f"{part.number:>6}  {part.score.nats:.4f}  "
                f"{part.score.characters:>6}  {text}"
            )
