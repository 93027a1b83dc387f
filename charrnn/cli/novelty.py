"""charrnn novelty: show how much of a text is copied from the training text."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from charrnn.cli.options import (
    GroupedCommand,
    drawing_options,
    find_corpus,
    grouped,
    open_model,
    reading_bar,
    resolve_seed,
    sort_arguments,
)
from charrnn.cli.text_arguments import resolve_prime
from charrnn.cli.text_to_score import advancing_bar, check_are_files
from charrnn.config import SampleConfig
from charrnn.errors import TextError
from charrnn.shell import quote

if TYPE_CHECKING:
    from charrnn.generation.language_model import LanguageModel
    from charrnn.views.novelty import Novelty

_LENGTH = 5000  # characters of a sample
_DOCUMENTS = 64  # drawn at a time
_SETTINGS = ("temperature", "top_k", "top_p", "min_p", "typical", "loop_penalty")
_options = grouped("Options")


@click.command(cls=GroupedCommand)
@click.argument("checkpoint", required=False, type=click.Path())
@click.argument("texts", nargs=-1, type=click.Path(), metavar="[TEXT]...")
@_options("--sample", is_flag=True, help="Look at a sample of the model.")
@_options(
    "--copies",
    type=click.IntRange(0),
    default=5,
    default_text="5",
    help="Number of the longest copies to list.",
)
@_options(
    "--text",
    type=click.Path(),
    help="Path of the text that the model was trained on, if it has moved.",
)
@_options(
    "--encoding",
    metavar="NAME",
    default_text="that of the training text",
    help="Encoding of TEXT.",
)
@_options("--json", "as_json", is_flag=True, help="Print one JSON object.")
@drawing_options(_LENGTH, *_SETTINGS)
def command(
    checkpoint: str | None,
    texts: tuple[str, ...],
    sample: bool,
    copies: int,
    text: str | None,
    encoding: str | None,
    as_json: bool,
    prime: str,
    prime_file: str | None,
    seed: int | None,
    on_unknown: str,
    **settings: Any,
) -> None:
    """Show how much of a text is copied from the training text.

    TEXT is a file, a folder, several of them, or - for standard input. With --sample,
    it is what the model writes, without the prime. CHECKPOINT is a file or a run
    folder; by default it is the newest run's best model.

    The text is compared with the training part of the text that the model was trained
    on, and so is, as the yardstick, the start of the validation part, which is of the
    same length: people repeat themselves and others, too.
    """
    from charrnn.views.novelty import PASSES, novelty

    checkpoint, texts = sort_arguments(checkpoint, texts, "novelty")
    if sample == bool(texts):
        raise click.UsageError("expected either TEXT, a file, or --sample")
    if not sample:
        _check_no_sampling()
    advice = "to look at this text itself, pipe it to `{0} -`"
    check_are_files("novelty", checkpoint, texts, advice)
    SampleConfig(**settings, seed=seed or 0)  # raises before a text is read
    model = open_model(checkpoint)
    prime = resolve_prime(model, prime, prime_file)
    if sample:
        settings["seed"] = resolve_seed(seed)
        found = _sampled(model, prime, SampleConfig(**settings), on_unknown)
    else:
        found = _read(model, texts, encoding)
    corpus = find_corpus(model, text)
    if corpus is None:
        shown = "--sample" if sample else " ".join(map(quote, texts))
        raise TextError(
            "no training text to compare with; name it: charrnn novelty "
            f"{quote(str(model.path))} {shown} --text PATH"
        )
    with advancing_bar(PASSES * len(corpus.ids), "comparing") as on_progress:
        own, yardstick = novelty(
            model, corpus, found, most=copies, on_progress=on_progress
        )
    if as_json:
        held_out = asdict(yardstick) if yardstick else None
        click.echo(json.dumps({"text": asdict(own), "held_out": held_out}))
    else:
        _print(own, yardstick, model.reads_bytes)


def _check_no_sampling() -> None:
    """Raise UsageError if there is an option that only --sample uses."""
    ctx = click.get_current_context()
    for param in ctx.command.params:
        is_given = ctx.get_parameter_source(param.name or "") in (
            ParameterSource.COMMANDLINE,
        )
        if is_given and getattr(param, "group", "") == "Sampling":
            raise click.UsageError(f"{param.opts[0]} is for --sample; give both")


def _sampled(
    model: "LanguageModel", prime: str, config: SampleConfig, on_unknown: str
) -> str:
    """Return what the model writes: one text, or as many documents as there is room."""
    from charrnn.generation.text_model import joined

    if model.vocab.end_id is None:
        rows = model.draw(prime, config, on_unknown=on_unknown)
        return joined(rows, 1)[0]
    documents: list[str] = []
    room = config.length
    while room > 0:
        numbers = range(len(documents), len(documents) + _DOCUMENTS)
        rows = model.draw(prime, config, texts=numbers, on_unknown=on_unknown)
        drawn = joined(rows, len(numbers))
        documents += drawn
        room -= sum(len(each) + 1 for each in drawn)
    return "\n".join(documents)[: config.length]


def _read(model: "LanguageModel", texts: tuple[str, ...], encoding: str | None) -> str:
    """Return the text of files, read like the training text, as one text."""
    from dataclasses import replace

    from charrnn.text.reading import read_corpus

    config = replace(
        model.corpus.config,
        encoding=encoding or model.corpus.encoding,
        max_vocab=0,
        documents="",
    )
    with reading_bar() as progress:
        return read_corpus(texts, config, progress=progress).text


def _print(own: "Novelty", yardstick: "Novelty | None", is_bytes: bool) -> None:
    from charrnn.cli.format import listing, table

    both = [own, *([yardstick] if yardstick else [])]
    rows = [("", "text", "held out")[: len(both) + 1]]
    rows.append(("characters", *(f"{each.characters:,}" for each in both)))
    for length in own.copied:
        shares = (_percent(each.copied[length]) for each in both)
        rows.append((f"in copies of {length} or more", *shares))
    rows.append(("longest copy", *(f"{each.longest or 'below 20'}" for each in both)))
    for n in own.novel:
        shares = (_percent(each.novel[n]) for each in both)
        rows.append((f"novel {n}-grams", *shares))
    click.echo(table(rows))
    if own.copies:
        heads = ("line", "training text", "characters", "the longest copies")
        lines = [heads]
        for copy in own.copies:
            lines.append(
                (
                    f"{copy.line:,}",
                    _place(copy.corpus_file, copy.corpus_line),
                    f"{len(copy.text):,}",
                    _as_shown(copy.text, is_bytes),
                )
            )
        click.echo(f"\n{listing(lines)}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"


def _place(file: str, line: int | None) -> str:
    from charrnn.text.streams import printable

    number = "-" if line is None else f"{line:,}"
    return f"{printable(file)}:{number}" if file else number


def _as_shown(text: str, is_bytes: bool) -> str:
    if not is_bytes:
        return text
    return text.encode("latin-1").decode("utf-8", "backslashreplace")
