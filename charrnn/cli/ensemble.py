"""charrnn ensemble: put trained models together as one."""

import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charrnn.cli.options import (
    GroupedCommand,
    find_corpus,
    grouped,
    note,
    open_model,
    to_json,
)
from charrnn.cli.text_to_score import advancing_bar, score_as_json
from charrnn.shell import quote

if TYPE_CHECKING:
    from charrnn.evaluation.loss import Score
    from charrnn.evaluation.mean_score import MeanScore
    from charrnn.generation.language_model import LanguageModel

_options = grouped("Options")


@click.command(cls=GroupedCommand)
@click.argument("checkpoints", nargs=-1, type=click.Path(), metavar="CHECKPOINT...")
@_options(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default_text="none; the scores are printed and nothing is saved",
    help="File to write, ending in .npz, or a folder.",
)
@_options(
    "--text",
    type=click.Path(),
    help="Path of the text that the models were trained on, if it has moved.",
)
@_options("--no-eval", is_flag=True, help="Save without scoring the models.")
@_options("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_options("--force", is_flag=True, help="Replace an existing file or run.")
def command(
    checkpoints: tuple[str, ...],
    out: Path | None,
    text: str | None,
    no_eval: bool,
    as_json: bool,
    force: bool,
) -> None:
    """Put trained models together as one, which predicts better than each.

    Each CHECKPOINT is a file, a run folder or the name of a run in checkpoints/; two or
    more are needed. Their networks may differ in cell, layers and units, but all must
    have been trained on the same text, with the same part of it held out. The
    probability of the next character is the mean of theirs. Each model is scored on the
    validation part, and so is their mean. FILE is a checkpoint that `charrnn sample`
    and other commands take like any other.
    """
    from charrnn.generation.ensembles import combine, source_of
    from charrnn.generation.files import check_free

    if len(checkpoints) < 2:
        raise click.UsageError("expected two or more models: charrnn ensemble A B")
    if no_eval and not out:
        raise click.UsageError("--no-eval leaves nothing to do; name a file with --out")
    if no_eval and text:
        raise click.UsageError("--text is the text to score on; leave out --no-eval")
    if out:
        check_free(out, force=force)
    models = [open_model(checkpoint) for checkpoint in checkpoints]
    ensemble = combine(models)
    _note_repeated(ensemble)
    found = None if no_eval else _scores(models, source_of(models), text, bool(out))
    if as_json:
        click.echo(to_json(_as_json(models, ensemble, found), sys.stdout.encoding))
    elif found:
        click.echo(_table(models, ensemble, found))
    if out:
        note(f"wrote {ensemble.save(out, force=force)}")
        note(f"Write with it: charrnn sample {quote(str(out))}")
    else:
        note("nothing was saved; --out FILE saves the ensemble")


def _note_repeated(ensemble: "LanguageModel") -> None:
    names: dict[bytes, str] = {}
    for network, about in zip(ensemble.model.members, ensemble.members, strict=True):
        weights = network.params.flat.tobytes()
        if weights in names:
            pair = f"{names[weights]} and {about.name}"
            note(f"the same network counts more than once: {pair}")
        names[weights] = about.name


def _scores(
    models: Sequence["LanguageModel"],
    source: "LanguageModel",
    text: str | None,
    saves: bool,
) -> "MeanScore | None":
    """Return the scores on the validation part.

    If there is none, or its text is missing, return None if the ensemble is saved
    anyway, and else raise TextError.
    """
    from charrnn.errors import TextError
    from charrnn.evaluation.mean_score import score_together

    corpus = find_corpus(source, text)
    if corpus is None:
        trouble = "no text to score the models on; name it with --text"
    else:
        _, val = source.parts_of(corpus)
        if len(val) >= 2:
            predictors = [model.model for model in models]
            networks = sum(len(predictor.members) for predictor in predictors)
            with advancing_bar(networks * (len(val) - 1)) as on_progress:
                return score_together(predictors, val, on_progress=on_progress)
        trouble = "the models were trained on all of their text, with no part held out"
    if not saves:
        raise TextError(f"{trouble}; --out FILE saves the ensemble without scores")
    note(f"not scored: {trouble}")
    return None


def _as_json(
    models: Sequence["LanguageModel"],
    ensemble: "LanguageModel",
    found: "MeanScore | None",
) -> dict[str, object]:
    members = [
        {"name": each.name, "network": each.network} for each in ensemble.members
    ]
    if found is None:
        return {"members": members}
    scored = [
        about | score_as_json(score)
        for about, score in zip(members, found.members, strict=True)
    ]
    given = [
        {"name": model.name, "networks": len(model.members)} | score_as_json(score)
        for model, score in zip(models, found.models, strict=True)
    ]
    mean = score_as_json(found.mean)
    return {"models": given, "members": scored, "mean": mean, "gain": found.gain}


def _table(
    models: Sequence["LanguageModel"], ensemble: "LanguageModel", found: "MeanScore"
) -> str:
    from charrnn.cli.format import shortened, table

    rows = [("", "", "nats/char", "bits/char", "perplexity")]

    def add(name: str, network: str, score: "Score") -> None:
        figures = f"{score.nats:.4f}", f"{score.bits:.4f}", f"{score.perplexity:.3f}"
        rows.append((shortened(name, 30), network, *figures))

    networks = zip(ensemble.members, found.members, strict=True)
    for model, score in zip(models, found.models, strict=True):
        count = len(model.members)
        for about, own in islice(networks, count):
            add(about.name, about.network, own)
        if count > 1:
            add(model.name, f"the mean of these {count}", score)
    is_nested = len(found.models) < len(found.members)
    of_all = f"the mean of all {len(found.members)}" if is_nested else ""
    add("their mean", of_all, found.mean)
    better, worse = ("Their mean", "the best of them")
    if found.gain < 0:
        better, worse = ("The best of them", "their mean")
    by = f"{abs(found.gain):.4f} nats per character"
    return f"{table(rows, heads=2)}\n{better} beats {worse} by {by}."
