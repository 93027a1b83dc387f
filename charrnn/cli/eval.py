"""charrnn eval: score a model on a text."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.options import (
    GroupedCommand,
    exists,
    find_corpus,
    grouped,
    note,
    on_unknown_option,
    open_model,
    reading_bar,
    scoring_bar,
    sort_arguments,
    to_json,
)
from charrnn.cli.text_arguments import as_bytes
from charrnn.shell import quote

if TYPE_CHECKING:
    from charrnn.generation.language_model import LanguageModel
    from charrnn.generation.text_score import PartScore, ReadText
    from charrnn.text.corpus import Corpus

_options = grouped("Options")
_SHOWN = 60  # columns of a line's text, at most


@click.command(cls=GroupedCommand)
@click.argument("checkpoint", required=False, type=click.Path())
@click.argument("text", nargs=-1, type=click.Path())
@_options("--text", "sentence", metavar="TEXT", help="Score this text itself.")
@_options(
    "--per",
    type=click.Choice(("line", "document")),
    metavar="NAME",
    help="Also print a score for each line or document.",
)
@_options(
    "--encoding",
    metavar="NAME",
    default_text="that of the training text",
    help="Encoding of TEXT.",
)
@on_unknown_option(_options, "TEXT")
@_options("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    checkpoint: str | None,
    text: tuple[str, ...],
    sentence: str | None,
    per: str | None,
    encoding: str | None,
    on_unknown: str,
    as_json: bool,
) -> None:
    """Score a model on a text.

    By default it is the text that the model was trained on, in its training and its
    validation part, next to an n-gram fitted on the training part. TEXT is another
    text: a file, a folder, several of them, or - for standard input. All of it is
    scored. CHECKPOINT is a file or a run folder; by default it is the newest run's best
    model, so `charrnn eval my.txt` scores that on my.txt.
    """
    checkpoint, text = sort_arguments(checkpoint, text)
    if text and sentence is not None:
        raise click.UsageError("TEXT and --text exclude each other; give one")
    _check_are_no_sentences(checkpoint, text)
    model = open_model(checkpoint)
    corpus = _corpus(model, text, sentence, encoding)
    named = bool(text) or sentence is not None
    is_own = corpus.info.sha256 == model.corpus.sha256
    if is_own and not per and (model.split.validates or not named):
        _print_scoreboard(model, corpus, as_json)
    else:
        _print_scores(model, corpus, per, on_unknown, as_json)


def _check_are_no_sentences(checkpoint: str | None, names: tuple[str, ...]) -> None:
    """Raise UsageError if TEXT seems to be the text itself."""
    command = " ".join(["charrnn eval", *([quote(checkpoint)] if checkpoint else [])])
    for name in names:
        if name != "-" and not exists(name):
            raise click.UsageError(
                f"{name[:_SHOWN]}: no such file; to score this text itself, use "
                f"`{command} --text {quote(name)}`"
            )


def _corpus(
    model: "LanguageModel",
    text: tuple[str, ...],
    sentence: str | None,
    encoding: str | None,
) -> "Corpus":
    """Return the text to score."""
    from charrnn.errors import TextError
    from charrnn.text.reading import from_text, read_corpus

    config = replace(model.corpus.config, max_vocab=0)
    if sentence is not None:
        if model.reads_bytes:
            sentence = as_bytes(sentence)
        return from_text(sentence, replace(config, encoding=""), name="--text")
    if text:
        with reading_bar() as progress:
            return read_corpus(
                text,
                replace(config, encoding=encoding or config.encoding),
                seed=model.corpus.seed,
                progress=progress,
            )
    found = find_corpus(model)
    if found is None:
        raise TextError(f"no text to score; name one: {_command(model)} TEXT")
    return found


def _command(model: "LanguageModel") -> str:
    return f"charrnn eval {quote(str(model.path))}"


def _print_scoreboard(model: "LanguageModel", corpus: "Corpus", as_json: bool) -> None:
    """Print the scores on the two parts of the training text."""
    from charrnn.cli.format import scoreboard_table
    from charrnn.errors import TextError
    from charrnn.evaluation.scoreboard import score
    from charrnn.text.streams import printable

    train, val = model.parts_of(corpus)
    if len(val) < 2:
        raise TextError(
            f"{printable(corpus.name)}: the model was trained on all of it; to score "
            f"it on other text, name one: {_command(model)} TEXT"
        )
    with scoring_bar() as on_progress:
        board = score(model.model, train, val, on_progress=on_progress)
    if as_json:
        click.echo(json.dumps(asdict(board)))
    else:
        click.echo(scoreboard_table(board, ("train", "validation")))


def _print_scores(
    model: "LanguageModel",
    corpus: "Corpus",
    per: str | None,
    on_unknown: str,
    as_json: bool,
) -> None:
    """Print the score on all of a text and, on request, on each of its parts."""
    from charrnn.cli.format import score_table
    from charrnn.generation.text_score import read_text, score_parts, score_text

    text = read_text(model, corpus, on_unknown)
    if text.skipped or text.replaced:
        note(
            f"{text.skipped:,} characters that the model does not know were left out, "
            f"and {text.replaced:,} replaced by others"
        )
    if per:
        _print_parts(score_parts(model, text, _last_of(model, per)), as_json)
    total = len(text.ids) - text.start
    with scoring_bar() as on_progress:
        done = 0

        def advance(characters: int) -> None:
            nonlocal done
            done += characters
            on_progress(done, total)

        score = score_text(model, text, on_progress=advance)
    if as_json:
        click.echo(json.dumps(_as_json(score) | _left_out(text)))
    else:
        click.echo(score_table(corpus.name, score))


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
            about = {"number": part.number, "text": part.text} | _as_json(part.score)
            click.echo(to_json(about, sys.stdout.encoding))
        else:
            from charrnn.cli.format import shortened

            text = shortened(part.text, _SHOWN)
            click.echo(
                f"{part.number:>6}  {part.score.nats:.4f}  "
                f"{part.score.characters:>6}  {text}"
            )


def _as_json(score: Any) -> dict[str, Any]:
    return asdict(score) | {"bits": score.bits, "perplexity": score.perplexity}


def _left_out(text: "ReadText") -> dict[str, int]:
    return {"skipped": text.skipped, "replaced": text.replaced}
