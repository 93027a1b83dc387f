"""A model and a text to score with it, as `eval` and `surprise` take them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.options import (
    Decorator,
    apply,
    exists,
    grouped,
    note,
    on_unknown_option,
    open_model,
    reading_bar,
    scoring_bar,
    sort_arguments,
)
from charrnn.cli.text_arguments import as_bytes
from charrnn.shell import quote

if TYPE_CHECKING:
    from charrnn.evaluation.loss import OnProgress, Score
    from charrnn.generation.language_model import LanguageModel
    from charrnn.generation.text_score import ReadText
    from charrnn.text.corpus import Corpus

SHOWN = 60  # columns of a line's text, at most

_options = grouped("Options")


def text_arguments(*others: Decorator, verb: str = "Score") -> Decorator:
    """Return a decorator that adds CHECKPOINT, TEXT, and how the text is read.

    The other options are shown after --text. verb is what is done with the text.
    """
    return apply(
        [
            click.argument("checkpoint", required=False, type=click.Path()),
            click.argument("text", nargs=-1, type=click.Path()),
            _options(
                "--text",
                "sentence",
                metavar="TEXT",
                help=f"{verb} this text itself.",
            ),
            *others,
            _options(
                "--encoding",
                metavar="NAME",
                default_text="that of the training text",
                help="Encoding of TEXT.",
            ),
            on_unknown_option(_options, "TEXT"),
        ]
    )


def open_text(
    command: str,
    checkpoint: str | None,
    text: tuple[str, ...],
    sentence: str | None,
    encoding: str | None,
) -> "tuple[LanguageModel, Corpus | None]":
    """Return the model, and the text if one is named; command is named in errors."""
    checkpoint, text = sort_arguments(checkpoint, text, command)
    if text and sentence is not None:
        raise click.UsageError("TEXT and --text exclude each other; give one")
    advice = "for this text itself, use `{} --text {}`"
    check_are_files(command, checkpoint, text, advice)
    model = open_model(checkpoint)
    return model, _read(model, text, sentence, encoding)


def check_are_files(
    command: str, checkpoint: str | None, names: tuple[str, ...], advice: str
) -> None:
    """Raise UsageError if TEXT seems to be the text itself.

    advice has two fields, for the command and for the text.
    """
    named = " ".join(["charrnn", command, *([quote(checkpoint)] if checkpoint else [])])
    for name in names:
        if name != "-" and not exists(name):
            raise click.UsageError(
                f"{name[:SHOWN]}: no such file; {advice.format(named, quote(name))}"
            )


def _read(
    model: "LanguageModel",
    text: tuple[str, ...],
    sentence: str | None,
    encoding: str | None,
) -> "Corpus | None":
    from charrnn.text.reading import from_text, read_corpus

    config = replace(model.corpus.config, max_vocab=0)
    if sentence is not None:
        if model.reads_bytes:
            sentence = as_bytes(sentence)
        return from_text(sentence, replace(config, encoding=""), name="--text")
    if not text:
        return None
    with reading_bar() as progress:
        return read_corpus(
            text,
            replace(config, encoding=encoding or config.encoding),
            seed=model.corpus.seed,
            progress=progress,
        )


def note_left_out(text: "ReadText") -> None:
    """Print how many characters were left out or replaced, if any."""
    if text.skipped or text.replaced:
        note(
            f"{text.skipped:,} characters that the model does not know were left out, "
            f"and {text.replaced:,} replaced by others"
        )


@contextmanager
def advancing_bar(total: int, desc: str = "scoring") -> "Iterator[OnProgress]":
    """Yield a function that is called with the characters done since the last call.

    total is the number of all characters.
    """
    with scoring_bar(desc=desc) as on_progress:
        done = 0

        def advance(characters: int) -> None:
            nonlocal done
            done = min(total, done + characters)
            on_progress(done, total)

        yield advance


def score_as_json(score: "Score", text: "ReadText | None" = None) -> dict[str, Any]:
    """Return a score as JSON can hold it, and what was left out of a text."""
    found = asdict(score) | {"bits": score.bits, "perplexity": score.perplexity}
    left_out = {"skipped": text.skipped, "replaced": text.replaced} if text else {}
    return found | left_out
